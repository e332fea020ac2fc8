"""A followed run as a line redrawn, as plain lines, and as JSON objects."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from codex.cli import progress, terminal
from codex.runs.record import Run
from codex.runs.status import Reason, Status
from codex.services.metrics import Point
from codex.services.runs import Followed, RunSummary

RUN = Run("r-0007", "training", "A run", 0.0, (), Path("/nowhere/r-0007"))
BEGAN = 1_000_000.0


class Tty(io.StringIO):
    """A stream that says that a person looks at it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def look(
    step: int, *, total: int = 100, state: str = "running", note: str = "training", points: Iterable[Point] = (), **numbers: float | None
) -> Followed:
    """One look at a run that is at `step`."""
    figures = {"loss": 4.5812, "tokens_per_s": 2700.0, **numbers}
    reason = Reason("finished", "Finished.") if state == "finished" else None
    status = Status(state=state, step=step, total=total, note=note, numbers=figures, started=BEGAN, reason=reason)  # pyright: ignore[reportArgumentType]
    return Followed(RunSummary(RUN, status, "qlora-docstrings", None, None), tuple(points))


def point(step: int, seconds: float, split: str = "train") -> Point:
    """A step that was logged `seconds` after the beginning."""
    return Point(step, split, 5.0, BEGAN + seconds, {"tokens_per_s": 2700.0})


def run_of(count: int, seconds_a_step: float = 2.0) -> Iterator[Followed]:
    """A whole run, one look a step."""
    for step in range(1, count + 1):
        yield look(step, total=count, points=[point(step, step * seconds_a_step)])
    yield look(count, total=count, note="judging the base")
    yield look(count, total=count, note="judging the adapter", state="finished")


def shown(looks: Iterable[Followed], stream: io.StringIO, *, as_json: bool = False) -> str:
    """What `watch` writes to `stream`."""
    with contextlib.redirect_stdout(stream):
        progress.watch(looks, as_json=as_json)
    return stream.getvalue()


def test_pace_seconds_left_is_steps_left_times_the_mean_of_the_last_steps() -> None:
    pace = progress.Pace()
    for step in range(1, 101):
        pace.take(look(step, points=[point(step, step * 10.0 if step < 60 else 600 + (step - 60) * 2.0)]))
    assert pace.seconds_left(100, 150) == pytest.approx(50 * 2.0)


def test_pace_leaves_out_steps_of_earlier_attempts_and_held_out_losses() -> None:
    pace = progress.Pace()
    pace.take(look(3, points=[point(1, -5000.0), point(2, 2.0), point(2, 900.0, "heldout"), point(3, 4.0)]))
    assert pace.seconds_left(3, 10) == pytest.approx(7 * 2.0)


def test_pace_is_unknown_after_one_step() -> None:
    pace = progress.Pace()
    pace.take(look(1, points=[point(1, 1.0)]))
    assert pace.seconds_left(1, 10) is None


def test_facts_say_step_loss_speed_time_left_and_note() -> None:
    pace = progress.Pace()
    for followed in (look(36, points=[point(36, 72.0)]), look(37, points=[point(37, 74.0)])):
        pace.take(followed)
    assert progress.facts(look(37), pace) == ["step 37/100", "loss 4.581", "2,700 tokens/s", "2 min 6 s left", "training"]


def test_facts_of_a_resumed_run_that_has_no_loss_yet_leave_it_out() -> None:
    seen = look(37, note="reading the data")
    seen = replace(seen, summary=replace(seen.summary, status=replace(seen.summary.status, numbers={})))
    assert progress.facts(seen, progress.Pace()) == ["step 37/100", "reading the data"]


def test_facts_of_a_loss_that_is_not_finite_is_a_dash() -> None:
    assert "loss –" in progress.facts(look(37, loss=None), progress.Pace())


def test_facts_before_the_first_step_say_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: BEGAN + 12)
    assert progress.facts(look(0, note="loading the model"), progress.Pace()) == ["loading the model (12 s)"]


def test_facts_of_a_stopping_run_say_that_it_saves() -> None:
    assert progress.facts(look(37, state="stopping"), progress.Pace())[-1] == "stopping, saving first"


@pytest.mark.parametrize("columns", [20, 25, 40, 60, 80, 200])
def test_bar_is_one_line_no_wider_than_the_window(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    drawn = shown(run_of(12), Tty())
    assert drawn.count("\n") == 1
    assert drawn.endswith("\n")
    frames = [frame.removesuffix("\x1b[K") for frame in drawn.rstrip("\n").split("\r")[1:]]
    assert len(frames) == 14
    assert max(map(terminal.cells, frames)) <= columns - 1
    assert all("step " in frame for frame in frames)


def test_bar_grows_with_the_steps_and_drops_facts_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    wide = shown([look(25), look(50), look(100)], Tty()).split("\r")[1:]
    filled = [frame.count("█") for frame in wide]
    assert filled[0] * 4 == filled[1] * 2 == filled[2] == 24
    monkeypatch.setenv("COLUMNS", "30")
    narrow = shown([look(50)], Tty())
    assert "step 50/100  loss 4.581" in narrow
    assert "tokens/s" not in narrow


def test_bar_in_a_terminal_without_blocks_is_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Tty()
    stream.encoding = "ascii"  # pyright: ignore[reportAttributeAccessIssue]
    assert "############............" in shown([look(50)], stream)


def test_bar_shows_a_note_from_outside_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31m" not in shown([look(0, note="\x1b[31mevil\nnote")], Tty())


def test_lines_in_a_pipe_come_at_each_tenth_and_each_note() -> None:
    lines = shown(run_of(100), io.StringIO()).splitlines()
    assert lines[0].startswith("r-0007  step 1/100  loss 4.581")
    assert [int(match[1]) for line in lines if (match := re.search(r"step (\d+)/100 .*training", line))] == [1, *range(10, 101, 10)]
    assert lines[-1] == "r-0007  step 100/100  loss 4.581  judging the base"
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_lines_come_after_five_seconds_and_later_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def looks() -> Iterator[Followed]:
        for second in range(2000):
            now[0] = float(second)
            yield look(1 + second % 90, total=10_000, points=[])

    times = len(shown(looks(), io.StringIO()).splitlines())
    assert 20 + 40 < times < 20 + 80  # 20 in the first 100 s, then one in each twentieth of the time so far: 20 ln(20) is 60


def test_objects_hold_every_step_once_and_every_change_of_state() -> None:
    records = [json.loads(line) for line in shown(run_of(5), io.StringIO(), as_json=True).splitlines()]
    assert [record["step"] for record in records if record["event"] == "step"] == [1, 2, 3, 4, 5]
    assert [record["note"] for record in records if record["event"] == "state"] == ["training", "judging the base"]
    assert records[0] == {
        "event": "step",
        "run": "r-0007",
        "step": 1,
        "split": "train",
        "loss": 5.0,
        "ts": BEGAN + 2.0,
        "tokens_per_s": 2700.0,
    }


def test_watch_interrupted_ends_the_line_and_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def looks() -> Iterator[Followed]:
        yield look(5)
        raise KeyboardInterrupt

    stream = Tty()
    with pytest.raises(KeyboardInterrupt):
        shown(looks(), stream)
    assert stream.getvalue().endswith("\x1b[K\n")
