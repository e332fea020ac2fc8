"""The series of a training run, as the session log holds them: each step once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codex.core.events import Event
from codex.runs.record import Run
from codex.sessionlog import SessionLog


@dataclass(frozen=True)
class Point:
    """One logged step.

    Args:
        step: optimizer steps done.
        split: "train" or "heldout".
        loss: nats a token; None when it was not finite.
        ts: when it was logged, seconds since the epoch.
        numbers: learning_rate, grad_norm, tokens, tokens_per_s, memory_gib, where they were measured.
    """

    step: int
    split: str
    loss: float | None
    ts: float
    numbers: dict[str, Any]


def session_of(run: Run) -> str:
    """The id of the log session that belongs to `run`: it carries the birth, for a folder may be moved to another workspace's number."""
    return f"{run.id}-{int(run.created)}"


def point_of(event: Event) -> Point | None:
    """The step that an event tells of; None when it tells of none."""
    if event.step is None or "split" not in event.attributes:
        return None
    numbers = {key: value for key, value in event.attributes.items() if key not in ("split", "attempt")}
    return Point(event.step, str(event.attributes["split"]), event.loss, event.ts, numbers)


class SeriesReader:
    """Reads a run's points as they come; asking again costs only what is new.

    Args:
        log: where they are; kept open between looks.
        session_id: the run's session.
    """

    def __init__(self, log: SessionLog, session_id: str) -> None:
        self._log = log
        self._session_id = session_id
        self._position = 0

    def new(self) -> list[Point]:
        """Points logged since the last call, in the order of the log; a replayed step that came out differently comes again."""
        events, self._position = self._log.since(self._session_id, self._position)
        return [point for point in map(point_of, events) if point is not None]


def series(log: SessionLog, session_id: str) -> list[Point]:
    """The points of a run in the order of steps; a replayed step counts as it came out last."""
    latest = {(point.step, point.split): point for point in SeriesReader(log, session_id).new()}
    return [latest[key] for key in sorted(latest)]
