"""How a run goes, as far as anyone can tell from outside: what it says of itself, checked against what is alive."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codex.core import clock
from codex.core.errors import RunError
from codex.runs.attempts import conclude, ended, ending_of_the_vanished, stop_asked
from codex.runs.locks import RunLock
from codex.runs.record import Run, read_run
from codex.runs.status import State, Status, host_name, read_status

OTHER_HOST_SILENT_SECONDS = 60.0
SETTLING_SECONDS = 0.1


@dataclass(frozen=True)
class RunView:
    """A run and how it goes.

    Args:
        run: what it is.
        status: how it goes; checked against what is alive.
        problem: what of it could not be read or checked; None when all is well.
    """

    run: Run
    status: Status
    problem: str | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def state(self) -> State:
        """The run's state."""
        return self.status.state

    @property
    def active(self) -> bool:
        """Whether a process is at work on it."""
        return self.status.active

    @property
    def silent_seconds(self) -> float | None:
        """How long an active run has said nothing; None for one that is not active."""
        return max(0.0, clock.now() - self.status.heartbeat) if self.active and self.status.heartbeat is not None else None

    def to_json(self) -> dict[str, Any]:
        """The view as JSON values."""
        values = asdict(self.run)
        return {**values, "folder": str(self.run.folder), **asdict(self.status), "problem": self.problem}


def view_run(folder: Path) -> RunView:
    """The run in `folder` as it stands; never fails on a damaged one, but says so in `problem`.

    Raises:
        RunError: the folder is gone.
    """
    run, problem = _read_run(folder)
    try:
        status = read_status(folder)
    except ValueError as error:
        return RunView(run, Status(state="unreadable"), problem or f"status.json cannot be read: {error}")
    if not status.active:
        return RunView(run, status, problem)
    status, doubt = _reconcile(folder, status)
    return RunView(run, status, problem or doubt)


def _read_run(folder: Path) -> tuple[Run, str | None]:
    try:
        return read_run(folder), None
    except RunError as error:
        if not folder.is_dir():
            raise
        return Run(folder.name, "", "", 0.0, (), folder), str(error)


def _reconcile(folder: Path, status: Status) -> tuple[Status, str | None]:
    """`status`, which claims that a process is at work, and what keeps us from being sure of it."""
    if status.anyone_lives():
        return _show_stop(folder, status), None
    try:
        lock = RunLock.take(folder, patience_s=SETTLING_SECONDS)
    except FileNotFoundError as error:
        raise RunError(f"{str(folder)!r} is gone", "expected a run", "List the runs: `codex-ml runs list`.") from error
    except OSError as error:
        return status, f"whether it still runs cannot be told: {error.strerror or error}"
    if lock is None:  # it runs where its processes cannot be seen from here, or somebody has just settled it
        return _read_again(folder, status), None
    with lock:
        status = _read_again(folder, status)
        if not status.active or status.anyone_lives() or _heard_from_elsewhere(status):
            return status, None
        ending = ending_of_the_vanished(folder, status)
        try:
            return conclude(folder, status, ending), None
        except OSError as error:
            return ended(status, ending), f"how it ended could not be written down: {error.strerror or error}"


def _read_again(folder: Path, status: Status) -> Status:
    try:
        return read_status(folder)
    except ValueError:
        return status


def _show_stop(folder: Path, status: Status) -> Status:
    """A worker deep in one long computation has not seen the signal yet, but was asked."""
    if status.state == "running" and stop_asked(folder, status.attempt):
        return replace(status, state="stopping")
    return status


def _heard_from_elsewhere(status: Status) -> bool:
    """Whether another machine, whose locks may not reach us, has said a word of late."""
    return status.host != host_name() and clock.now() - (status.heartbeat or 0.0) < OTHER_HOST_SILENT_SECONDS
