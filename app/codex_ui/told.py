"""A run in a few words, for tables and cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codex.core import clock, numbers
from codex.services.metrics import Point
from codex.services.runs import RunSummary

VERDICTS = ("Better", "Worse", "No difference shown")
LEAST_STEPS = 3
"""Steps after which a rate says something."""


def verdict_word(run: RunSummary) -> str | None:
    """ "Better", "Worse", "No difference shown", or None."""
    word = run.verdict.partition(":")[0] if run.verdict else ""
    return word if word in VERDICTS else None


def primary(run: RunSummary) -> dict[str, Any] | None:
    """The verdict's main metric as its report holds it."""
    verdict = (run.report or {}).get("verdict") or {}
    return next((row for row in verdict.get("metrics", ()) if row["name"] == "answer-loss"), None)


def verdict_short(run: RunSummary) -> str:
    """ "better −1.65", "unknown" where the report cannot be read, or a dash."""
    word, row = verdict_word(run), primary(run)
    if word is not None:
        change = f" {numbers.signed(row['difference']['value'], max(2, row['decimals']))}" if row and word != "No difference shown" else ""
        return f"{word.lower()}{change}"
    return "unknown" if run.report is None and run.verdict else numbers.MISSING


def time_left(run: RunSummary, points: Sequence[Point]) -> str:
    """How long a run will still train, at the pace of its last steps; what it is doing where nobody can tell."""
    status = run.status
    timed = [point for point in points if point.split == "train" and point.ts >= (status.started or 0.0)][-50:]
    if run.ended:
        return ""
    if status.state == "stopping":
        return "saves, then stops"
    if status.total is None or len(timed) < LEAST_STEPS or timed[-1].step <= timed[0].step:
        return "first step in some seconds" if not timed else ""
    if (status.step or 0) >= status.total:
        return status.note
    pace = (timed[-1].ts - timed[0].ts) / (timed[-1].step - timed[0].step)
    return f"{numbers.duration(max(1.0, pace * (status.total - timed[-1].step)))} left"


def elapsed(run: RunSummary) -> float | None:
    """Seconds of the current or last attempt."""
    status = run.status
    return run.seconds if run.ended else clock.now() - status.started if status.started is not None else None


def silence(run: RunSummary) -> float | None:
    """Seconds since a run last said that it lives."""
    status = run.status
    return max(0.0, clock.now() - status.heartbeat) if status.active and status.heartbeat is not None else None
