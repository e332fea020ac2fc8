"""One attempt of a run, from taking its lock to writing down how it ended."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from codex.core import clock
from codex.core.errors import RunError
from codex.core.files import write_json_atomic
from codex.runs.checkpoints import sweep
from codex.runs.endings import forced, log_tail, lost, restarted
from codex.runs.locks import RunLock
from codex.runs.record import Run, json_object, log_file, read_run
from codex.runs.status import Ending, ProcessId, Status, ending_json, host_name, parse_ending, read_status, write_status

LOCK_PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 0.1
RESERVE_BYTES = 64 * 1024
"""Kept on the disk during an attempt, so that a run that filled the disk can still say so."""


@dataclass(frozen=True)
class Attempt:
    """A run that this process may run, for it holds the lock.

    Args:
        run: the run.
        status: how it stood when the attempt began.
        lock: held for as long as the attempt lasts.
        log_start: where this attempt's part of `worker.log` begins, in bytes.
    """

    run: Run
    status: Status
    lock: RunLock
    log_start: int


def begin(folder: Path, *, supervised: bool) -> Attempt:
    """Take the run in `folder` and write down that it starts.

    Args:
        folder: the run's folder.
        supervised: this process watches a worker; otherwise it is the worker itself.

    Raises:
        RunError: it runs already, has finished, is no run, or its folder cannot be written.
    """
    run = read_run(folder)
    try:
        lock = _take_lock(run)
        try:
            return _begin_locked(run, lock, supervised=supervised)
        except BaseException:
            lock.release()
            raise
    except FileNotFoundError as error:
        raise RunError(f"run {run.id!r} was deleted meanwhile", "expected a run", "List the runs: `codex-ml runs list`.") from error
    except OSError as error:
        raise RunError(
            f"run {run.id!r} cannot be started: {str(folder)!r} cannot be written ({error.strerror or error})",
            "expected a folder that you may write, on a disk with room",
            "Make room or mend the folder's rights, then start it again.",
        ) from error


def _take_lock(run: Run) -> RunLock:
    # Who holds it may only look whether the run lives, or be about to leave.
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while (lock := RunLock.take(run.folder, patience_s=RETRY_SECONDS)) is None:
        if _seems_to_run(run.folder) or time.monotonic() > deadline:
            raise _runs_already(run)
    return lock


def _runs_already(run: Run) -> RunError:
    fix = f"Follow it, or stop it first: `codex-ml runs stop {run.id}`."
    return RunError(f"run {run.id!r} runs already", "expected one that does not run", fix)


def _seems_to_run(folder: Path) -> bool:
    try:
        status = read_status(folder)
    except ValueError:
        return False
    return status.active and status.anyone_lives()


def _begin_locked(run: Run, lock: RunLock, *, supervised: bool) -> Attempt:
    try:
        before = read_status(run.folder)
    except ValueError:
        before = Status(attempt=1)  # damaged; it was launched before, or there would be no damage
    if before.state == "finished":
        raise RunError(f"run {run.id!r} has finished", "expected one that has not", "Start a new run.")
    if before.active and before.anyone_lives():  # on a file system that does not keep locks
        raise _runs_already(run)
    _clear(run.folder)
    (run.folder / ".reserve").write_bytes(os.urandom(RESERVE_BYTES))
    now, own = clock.now(), ProcessId.own()
    status = Status(
        state="starting",
        attempt=before.attempt + 1,
        heartbeat=now,
        started=now,
        supervisor=own if supervised else None,
        worker=None if supervised else own,
        boot=clock.boot_id(),
        host=host_name(),
    )
    write_status(run.folder, status)
    log = log_file(run.folder)
    return Attempt(run, status, lock, log.stat().st_size if log.exists() else 0)


def _clear(folder: Path) -> None:
    """Remove what earlier attempts left behind."""
    sweep(folder)
    for leftover in (folder / "ending.json", folder / "stop.json", *folder.glob(".*.tmp")):
        leftover.unlink(missing_ok=True)


def leave_word(folder: Path, attempt: int, ending: Ending) -> None:
    """Write down, as the worker, how this attempt ended, for the supervisor or whoever looks first."""
    (folder / ".reserve").unlink(missing_ok=True)
    write_json_atomic(folder / "ending.json", ending_json(ending, attempt))


def last_word(folder: Path, attempt: int) -> Ending | None:
    """How the worker said that this attempt ended; None when it said nothing that can be read."""
    try:
        return parse_ending((folder / "ending.json").read_text(encoding="utf-8"), attempt)
    except (OSError, ValueError):
        return None


def ask_stop(folder: Path, attempt: int, *, force: bool) -> None:
    """Write down that a person asked this attempt to stop, so that its ending is not taken for an accident."""
    write_json_atomic(folder / "stop.json", {"attempt": attempt, "force": force, "ts": clock.now()}, durable=False)


def stop_asked(folder: Path, attempt: int) -> str | None:
    """How a person asked this attempt to stop: `"stop"`, `"force"`, or None."""
    try:
        asked = json_object((folder / "stop.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if asked.get("attempt") != attempt:
        return None
    return "force" if asked.get("force") is True else "stop"


def conclude(folder: Path, status: Status, ending: Ending) -> Status:
    """Write down how an attempt ended; the lock must be held.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    (folder / ".reserve").unlink(missing_ok=True)
    final = ended(status, ending)
    write_status(folder, final)
    return final


def ended(status: Status, ending: Ending) -> Status:
    """`status` of an attempt that ended so."""
    return replace(status, state=ending.state, reason=ending.reason, ended=ending.ts)


def ending_of_the_vanished(folder: Path, status: Status) -> Ending:
    """How an attempt ended whose processes are all gone, from what they left behind."""
    word = last_word(folder, status.attempt)
    if word is not None:
        return word
    if stop_asked(folder, status.attempt) == "force":
        return forced()
    last_seen = status.heartbeat or status.started or clock.now()
    if status.boot != clock.boot_id() and status.host == host_name():
        return restarted(last_seen)
    return lost(last_seen, log_tail(log_file(folder)))
