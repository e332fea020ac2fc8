"""What a run's body is given: what to do, whether to stop, and where to say how it goes."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

from codex.core import clock
from codex.core.errors import CodexError
from codex.runs.endings import plain
from codex.runs.record import Run
from codex.runs.status import State, Status, finite, write_status

HEARTBEAT_SECONDS = 2.0
TICK_SECONDS = 0.5
SHORTEST_BETWEEN_WRITES_SECONDS = 0.2

log = logging.getLogger(__name__)


class StopRequested(CodexError):
    """Raised by `RunContext.check_stop` once somebody asked the run to stop; the body saves and lets it pass.

    Args:
        left: what is there and what is missing, as a sentence, where a newest checkpoint does not tell it all.
    """

    def __init__(self, left: str = "") -> None:
        super().__init__("the run was asked to stop")
        self.left = left


class StopFlag:
    """Set once, by a signal's handler; takes no lock, for a handler may interrupt whoever holds it."""

    raised = False


class Heart:
    """Keeps `status.json` true: every 2 s, and sooner when there is something new.

    Args:
        folder: the run's folder.
        status: what it says first.
        stop: shows as `stopping` once it is raised.
    """

    def __init__(self, folder: Path, status: Status, stop: StopFlag) -> None:
        self._folder = folder
        self._status = status
        self._stop = stop
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._written_at = 0.0
        self._new = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the status now, and go on doing so."""
        self.beat()
        self._thread.start()

    def tell(self, *, step: int | None, total: int | None, note: str | None, numbers: dict[str, float]) -> None:
        """Change what is said; written at once, or, within 0.2 s of the last time, a little later."""
        with self._lock:
            self._status = replace(
                self._status,
                step=self._status.step if step is None else int(step),  # a number of numpy or torch would not do for JSON
                total=self._status.total if total is None else int(total),
                note=self._status.note if note is None else plain(note),
                numbers={**self._status.numbers, **finite(numbers)},
            )
            self._new = True
        if time.monotonic() - self._written_at >= SHORTEST_BETWEEN_WRITES_SECONDS:
            self.beat()

    def close(self) -> Status:
        """Stop beating, and return the last that was said, which is on the disk as far as the disk takes it."""
        self._closed.set()
        self._thread.join()
        self.beat()
        return self._status

    def _beat_on(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            if self._new or self._shows() != self._status.state or time.monotonic() - self._written_at >= HEARTBEAT_SECONDS:
                self.beat()

    def _shows(self) -> State:
        return "stopping" if self._stop.raised else "running"

    def beat(self) -> None:
        """Write the status now; what keeps it from being written is logged, once."""
        with self._lock:
            self._status = replace(self._status, state=self._shows(), heartbeat=clock.now())
            self._new, self._written_at = False, time.monotonic()
            try:
                write_status(self._folder, self._status, durable=False)
                self._trouble = ""
            except (OSError, MemoryError) as error:
                # A run must not die of its own pulse. Whatever fills the disk or the memory stops the work itself, by name.
                if self._trouble != str(error):
                    self._trouble = str(error)
                    log.warning("status.json could not be written: %s", error)


class RunContext:
    """What a run's body is given.

    Args:
        run: what the run is, and where its files are.
        attempt: 1 for the first launch, 2 after the first resume.
        heart: writes `status.json`.
        stop: raised when the run should save and end.
    """

    def __init__(self, run: Run, attempt: int, heart: Heart, stop: StopFlag) -> None:
        self.run = run
        self.attempt = attempt
        self._heart = heart
        self._stop = stop

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked the run to stop; a body that returns all the same has finished, one that leaves calls `check_stop`."""
        return self._stop.raised

    def check_stop(self, left: str = "") -> None:
        """Leave the body if somebody asked the run to stop; `left` becomes a part of the reason, as `StopRequested` has it.

        Raises:
            StopRequested: somebody did.
        """
        if self._stop.raised:
            raise StopRequested(left)

    def progress(self, *, step: int | None = None, total: int | None = None, note: str | None = None, **numbers: float) -> None:
        """Say how far the run is; cheap enough to call at each step, and the last call is never lost.

        Args:
            step: steps done so far.
            total: steps to do.
            note: what it is doing, in words.
            numbers: latest figures by name; they stay until they are given again.
        """
        self._heart.tell(step=step, total=total, note=note, numbers=numbers)
