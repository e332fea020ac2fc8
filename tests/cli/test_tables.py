"""Columns line up, and fit a window."""

from __future__ import annotations

import io

import pytest

from codex.cli.tables import table
from codex.cli.terminal import Painted, cells

ROWS = [["r-0001", Painted("finished", "good"), "9", "A title " * 20], ["r-0002", "中文", "1,000", "x\ny\x1b[0m"]]


def test_table_in_a_pipe_is_whole_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    table(["run", "state", "step", "title"], ROWS, right=[2])
    heading, first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(("A title " * 20).strip())
    assert second == "r-0002  中文      1,000  x y\\x1b[0m"
    column = heading.index("title")
    assert heading[column - 2 - 4 : column] == "step  "
    assert first.index("A title") == column


@pytest.mark.parametrize("columns", [40, 60, 100, 300])
def test_table_on_a_terminal_fits_the_window(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    table(["run", "state", "step", "title"], ROWS, right=[2])
    lines = stream.getvalue().splitlines()
    assert max(map(cells, lines)) <= columns
    assert all(line.startswith(("run", "r-000")) for line in lines)
