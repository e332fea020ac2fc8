"""What reaches a terminal: nothing that it would obey, nothing wider than it, colours only where they are wanted."""

from __future__ import annotations

import contextlib
import io
import json
import unicodedata

import pytest

from codex.cli import terminal
from codex.core.errors import Problem, UserError


class Tty(io.StringIO):
    """A stream that says that a person looks at it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def painted(*parts: terminal.Part, stream: io.StringIO) -> str:
    """What `out` writes to `stream`."""
    with contextlib.redirect_stdout(stream):
        terminal.out(*parts)
    return stream.getvalue()


def test_printable_every_character_that_a_terminal_obeys_becomes_an_escape() -> None:
    shown = terminal.printable("".join(map(chr, range(0x11000))))
    left = {character for character in shown if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")}
    assert left == {"\n", "\t"}
    assert not any(
        unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for character in shown
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[2J", "\\x1b[2J"), ("a\rb", "a\\rb"), ("\u202eexe", "\\u202eexe"), ("é 中 🙂\n", "é 中 🙂\n"), ("\udcff", "\\udcff")],
)
def test_printable_keeps_text_and_shows_the_rest(text: str, shown: str) -> None:
    assert terminal.printable(text) == shown


def test_one_line_joins_lines_with_a_blank() -> None:
    assert terminal.one_line(" a \n\n  b\tc\x07 ") == "a b c\\x07"


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("中文", 4), ("é", 1), ("e\u0301", 1), ("", 0)])
def test_cells_counts_columns(text: str, cells: int) -> None:
    assert terminal.cells(text) == cells


@pytest.mark.parametrize("text", ["plain text", "中文中文中文", "a中b文c", ""])
@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_clipped_is_never_wider_and_keeps_what_fits(text: str, width: int) -> None:
    cut = terminal.clipped(text, width)
    assert terminal.cells(cut) <= width
    assert cut == text if terminal.cells(text) <= width else cut.endswith("…")


def test_out_paints_on_a_terminal_and_not_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    parts = (terminal.Painted("finished", "good"), " \x1b[31m")
    assert painted(*parts, stream=Tty()) == "\x1b[32mfinished\x1b[0m \\x1b[31m\n"
    assert painted(*parts, stream=io.StringIO()) == "finished \\x1b[31m\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "")])
def test_out_without_colours_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, value)
    assert painted(terminal.Painted("finished", "good"), stream=Tty()) == "finished\n"


def test_out_to_a_closed_output_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    terminal.out("nobody hears this")


def test_out_to_a_full_disk_is_a_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); expected"):
            terminal.out("text")


def test_document_holds_what_json_cannot_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    from datetime import UTC, datetime
    from pathlib import Path

    value = {
        "nan": float("nan"),
        "inf": [float("-inf")],
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "path": Path("a"),
        1: {"x"},
        "fine": 0.5,
        "no": None,
    }
    terminal.document(value)
    read = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert read == {
        "nan": "NaN",
        "inf": ["-Infinity"],
        "when": "2026-01-02T00:00:00+00:00",
        "path": "a",
        "1": ["x"],
        "fine": 0.5,
        "no": None,
    }


def test_complain_writes_one_problem_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    problems = (Problem("`a` is 1", "expected 2", "Set `a=2`."), Problem("two\nlines \x1b", "expected one", "Join.", "file:3"))
    terminal.complain(problems, as_json=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "Error: `a` is 1; expected 2. Set `a=2`.\nError: two lines \\x1b (file:3); expected one. Join.\n"


def test_complain_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.complain((Problem("`a` is 1", "expected 2", "Set `a=2`.", "override a=1"),), as_json=True)
    assert json.loads(capsys.readouterr().err) == {
        "errors": [{"what": "`a` is 1", "expected": "expected 2", "fix": "Set `a=2`.", "where": "override a=1"}]
    }
