"""What a body may do with its context."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codex.runs.context import Heart, RunContext, StopFlag, StopRequested
from codex.runs.record import Run
from codex.runs.status import Status, read_status, status_file


def make(folder: Path) -> tuple[RunContext, Heart, StopFlag]:
    stop = StopFlag()
    heart = Heart(folder, Status("starting", 1), stop)
    return RunContext(Run("r-0001", "count", "t", 1.0, (), folder), 1, heart, stop), heart, stop


def test_progress_at_each_step_writes_seldom_and_loses_nothing(tmp_path: Path) -> None:
    context, heart, _ = make(tmp_path)
    heart.start()
    seen: set[tuple[int, int]] = set()
    for step in range(3000):
        context.progress(step=step, loss=float(step))
        written = status_file(tmp_path).stat()
        seen.add((written.st_ino, written.st_mtime_ns))
    status = heart.close()
    assert len(seen) < 300, "3000 steps are not 3000 writes"
    assert status == read_status(tmp_path) and status.step == 2999 and status.numbers == {"loss": 2999.0}


def test_progress_keeps_what_it_is_not_told_again(tmp_path: Path) -> None:
    context, heart, _ = make(tmp_path)
    context.progress(step=1, total=5, note="trains", loss=2.0, rate=0.1)
    context.progress(step=2, loss=float("inf"))
    context.progress(note="judges \udcff")
    heart.start()
    status = heart.close()
    assert (status.step, status.total, status.note, status.numbers) == (2, 5, "judges \\udcff", {"loss": None, "rate": 0.1})
    assert (status.state, status.attempt) == ("running", 1)


def test_stop_shows_and_leaves_the_body(tmp_path: Path) -> None:
    context, heart, stop = make(tmp_path)
    context.check_stop()
    assert not context.stop_requested
    stop.raised = True
    assert context.stop_requested
    with pytest.raises(StopRequested):
        context.check_stop()
    heart.start()
    assert heart.close().state == "stopping"


def test_status_that_cannot_be_written_does_not_end_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    context, heart, _ = make(folder)
    heart.start()
    shutil.rmtree(folder)
    for _ in range(3):
        context.progress(step=1)
        heart.beat()
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"
    folder.mkdir()
    context.progress(step=2)
    assert heart.close() == read_status(folder) and read_status(folder).step == 2
