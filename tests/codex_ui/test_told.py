"""Runs in a few words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codex.core import clock
from codex.core.paths import Workspace
from codex.runs.status import Reason
from codex.services import runs
from codex.services.metrics import Point
from codex.services.runs import RunSummary
from codex_ui.told import elapsed, primary, silence, time_left, verdict_short, verdict_word
from tests.made import Made

BEGAN = 1000.0


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(Workspace(tmp_path / "workspace").create())


def _summary(made: Made, name: str = "last") -> RunSummary:
    return runs.show(name, workspace=made.workspace)


def _points(steps: range, pace: float = 2.0) -> list[Point]:
    return [Point(step, "train", 1.0, BEGAN + pace * step, {}) for step in steps]


def test_verdict_of_a_judged_run_is_a_word_and_a_number(made: Made) -> None:
    made.finished()
    run = _summary(made)
    assert verdict_word(run) == "Better"
    assert verdict_short(run).startswith("better −")
    row = primary(run)
    assert row is not None and row["name"] == "answer-loss"


@pytest.mark.parametrize("report", [None, {}, {"verdict": None}, {"verdict": {"metrics": []}}])
def test_run_without_a_verdict_has_a_dash(made: Made, report: dict[str, Any] | None) -> None:
    made.run(state="stopped", reason=Reason("stopped", "Stopped."))
    run = replace(_summary(made), report=report, verdict=None)
    assert (verdict_word(run), verdict_short(run), primary(run)) == (None, "–", None)


def test_no_difference_has_no_number(made: Made) -> None:
    made.finished()
    assert verdict_short(replace(_summary(made), verdict="No difference shown: 1.0 to 1.1")) == "no difference shown"


def test_time_left_is_the_pace_of_the_last_steps(made: Made) -> None:
    made.running(step=40, total=100, started=BEGAN)
    assert time_left(_summary(made), _points(range(1, 41))) == "2 min left"


@pytest.mark.parametrize(
    ("status", "points", "told"),
    [
        ({"step": None}, [], "first step in some seconds"),
        ({"step": 2}, _points(range(1, 3)), ""),
        ({"step": 100, "note": "judging"}, _points(range(1, 101)), "judging"),
        ({"step": 100, "note": "saving"}, _points(range(1, 101)), "saving"),
        ({"state": "stopping", "step": 9}, _points(range(1, 10)), "saves, then stops"),
        ({"total": None, "step": 9}, _points(range(1, 10)), ""),
    ],
)
def test_time_left_says_what_it_does_where_nobody_can_tell(made: Made, status: dict[str, Any], points: list[Point], told: str) -> None:
    made.running(**{"started": BEGAN, **status})
    assert time_left(_summary(made), points) == told


def test_time_left_after_a_resume_is_not_that_of_the_attempt_before(made: Made) -> None:
    made.running(step=40, total=100, started=BEGAN + 1000)
    assert time_left(_summary(made), _points(range(1, 41))) == "first step in some seconds"


def test_ended_run_has_no_time_left_and_the_time_it_took(made: Made) -> None:
    made.finished()
    run = _summary(made)
    assert time_left(run, _points(range(1, 101))) == ""
    assert elapsed(run) == 72
    assert silence(run) is None


def test_running_run_has_time_so_far_and_a_sign_of_life(made: Made) -> None:
    made.running(heartbeat=clock.now() - 5)
    run = _summary(made)
    assert 59 < (elapsed(run) or 0) < 70
    assert 4 < (silence(run) or 0) < 12


def test_report_that_cannot_be_read_is_unknown_and_not_unjudged(made: Made) -> None:
    run = made.finished()
    assert verdict_short(_summary(made)).startswith("better")
    run.report.write_text("{")
    assert verdict_short(_summary(made)) == "unknown"
    run.report.unlink()
    assert verdict_short(_summary(made)) == "–"
