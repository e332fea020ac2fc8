"""A run as it goes: one line redrawn on a terminal, plain lines in a pipe, or JSON objects. Reading only: to leave it disturbs nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from codex.cli import terminal
from codex.core import numbers

if TYPE_CHECKING:
    from codex.services.metrics import Point
    from codex.services.runs import Followed, RunSummary

WINDOW_POINTS = 30
LONGEST_BAR = 24
LINE_SECONDS = 5.0
LINE_PARTS = 10


class Pace:
    """How fast a run goes, from the last steps of its present attempt."""

    def __init__(self) -> None:
        self._points: list[Point] = []

    def take(self, followed: Followed) -> None:
        """Hear of new steps."""
        started = followed.summary.status.started or 0.0
        known = (*self._points, *followed.points)
        self._points = [point for point in known if point.split == "train" and point.ts >= started][-WINDOW_POINTS:]

    def seconds_left(self, step: int, total: int) -> float | None:
        """Until `total`; None while nothing is known."""
        if len(self._points) < 2:
            return None
        first, last = self._points[0], self._points[-1]
        if last.step <= first.step:
            return None
        return max(0, total - step) * (last.ts - first.ts) / (last.step - first.step)


def facts(followed: Followed, pace: Pace) -> list[str]:
    """What there is to say of a run at work, the most important first: step, loss, speed, time left, what it is doing."""
    status = followed.summary.status
    if not status.step or not status.total:
        since = f" ({numbers.duration(time.time() - status.started)})" if status.started else ""
        return [f"{status.note or status.state}{since}"]
    figures = status.numbers
    said = [f"step {numbers.count(status.step)}/{numbers.count(status.total)}"]
    said += [f"loss {numbers.loss(figures['loss'])}"] if "loss" in figures else []  # until the first step is logged there is none
    if status.state == "stopping":
        return [*said, "stopping, saving first"]
    if status.step < status.total:
        speed, left = figures.get("tokens_per_s"), pace.seconds_left(status.step, status.total)
        said += [f"{numbers.count(speed)} tokens/s"] if speed is not None else []
        said += [f"{numbers.duration(left)} left"] if left is not None else []
    return [*said, *([status.note] if status.note else [])]


class Show(Protocol):
    """One way to show looks at a run."""

    def look(self, followed: Followed) -> None:
        """Show what is new."""
        ...

    def leave(self) -> None:
        """Nothing more will be shown."""
        ...


class Bar:
    """One line, redrawn."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._drawn = False

    def look(self, followed: Followed) -> None:
        """Draw the line anew."""
        self._pace.take(followed)
        status = followed.summary.status
        done = min(1.0, (status.step or 0) / status.total) if status.total else 0.0
        terminal.redraw(self._line(done, facts(followed, self._pace), terminal.width() - 1))
        self._drawn = True

    def leave(self) -> None:
        """Leave the last line standing."""
        if self._drawn:
            terminal.end_redrawn()

    def _line(self, done: float, said: list[str], room: int) -> str:
        """As many facts as fit, and a bar as long as the rest allows; the last fact may be cut, the others are left out whole."""
        texts = [terminal.one_line(each) for each in said]
        kept = texts[:1]
        for text in texts[1:]:
            if terminal.cells("  ".join([*kept, text])) > room:
                break
            kept.append(text)
        words = terminal.clipped("  ".join(kept), room)
        length = min(LONGEST_BAR, room - terminal.cells(words) - 2)
        if length < 4:
            return words
        full, empty = ("█", "░") if terminal.can_show("█░") else ("#", ".")
        filled = int(done * length)
        return f"{full * filled}{empty * (length - filled)}  {words}"


class Lines:
    """A line now and then: when it does something else, at each tenth, and after 5 s, later less often."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._began = self._last = time.monotonic()
        self._note: str | None = None
        self._tenth = 0
        self._said = ""

    def look(self, followed: Followed) -> None:
        """Say a line when it is time for one."""
        self._pace.take(followed)
        status = followed.summary.status
        tenth = (status.step or 0) * LINE_PARTS // status.total if status.total else 0
        now = time.monotonic()
        due = now - self._last >= max(LINE_SECONDS, (now - self._began) / 20)
        if followed.summary.ended or not (due or tenth > self._tenth or status.note != self._note):
            return
        self._last, self._note, self._tenth = now, status.note, tenth
        line = terminal.one_line(f"{followed.summary.run.id}  {'  '.join(facts(followed, self._pace))}")
        if line != self._said:
            terminal.out(line)
        self._said = line

    def leave(self) -> None:
        """Nothing is left open."""


class Objects:
    """A JSON object for each logged step and each change of state."""

    def __init__(self) -> None:
        self._before: tuple[Any, ...] | None = None

    def look(self, followed: Followed) -> None:
        """Write what is new."""
        summary, status = followed.summary, followed.summary.status
        for point in followed.points:
            measured = {"step": point.step, "split": point.split, "loss": point.loss, "ts": point.ts, **point.numbers}
            terminal.record({"event": "step", "run": summary.run.id, **measured})
        now = (status.state, status.note)
        if now != self._before and not summary.ended:
            shown = {"state": status.state, "note": status.note, "step": status.step, "total": status.total}
            terminal.record({"event": "state", "run": summary.run.id, **shown})
        self._before = now

    def leave(self) -> None:
        """The caller writes how it ended."""


def watch(looks: Iterable[Followed], *, as_json: bool) -> RunSummary:
    """Show a run until it has ended, and return how it ended."""
    show: Show = Objects() if as_json else Bar() if terminal.redraws(sys.stdout) else Lines()
    followed = None
    try:
        for followed in looks:
            show.look(followed)
    finally:
        show.leave()
    assert followed is not None, "a run is looked at least once"
    return followed.summary
