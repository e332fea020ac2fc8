"""One writer of a session at a time, and one compactor of a log.

The locks are flocks on files in `locks/`: the system lets go of one however its process ends, so a session whose writer was
killed can be continued at once. Not covered: network file systems whose flock is local to each machine.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path

from codex.core.errors import UserError
from codex.sessionlog.forks import forget_after_fork
from codex.sessionlog.writer import cannot_write, make_folder

_COMPACTOR = "compactor.lock"
_PURGE = ".purge.lock"  # no session's lock begins with a dot but the one of a session called `compactor`
_PATIENCE_SECONDS = 1.0  # a process that was just killed needs a moment until the system has closed its files
_PURGE_SECONDS = 30.0  # a purge publishes MANIFEST a few times, each with fsyncs, and is then done


class SessionBusy(UserError):
    """Another live writer has the session."""


class CompactorBusy(UserError):
    """Another process is compacting this log."""


def is_locked(descriptor: int) -> bool:
    """Whether another open file holds the lock that a writer keeps on its segment while it lives."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True  # held, or a file system that cannot say: then it must be taken for alive
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _lock_of(folder: Path, session: str) -> Path:
    name = f"{session}.lock"
    return folder / (f".session-{name}" if name == _COMPACTOR else name)


def _locked(path: Path) -> int:
    """A descriptor of the file at `path`, made where there is none, that holds its lock.

    Raises:
        BlockingIOError: another open file holds it.
        OSError: the file cannot be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the file after we opened it; a lock on that inode guards nothing.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def only_one(folder: Path) -> Generator[None]:
    """Be the only one who changes the compacted log in `folder`.

    Raises:
        CompactorBusy: another process is at it.
        WorkspaceError: the log cannot be written.
    """
    locks = folder / "locks"
    make_folder(locks)
    try:
        descriptor = _locked(locks / _COMPACTOR)
    except BlockingIOError as error:
        raise CompactorBusy(
            "the session log is being compacted by another process",
            "expected one compactor at a time",
            "Wait until it is done; readers and writers go on meanwhile.",
        ) from error
    except OSError as error:
        raise cannot_write(locks, error) from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def nobody_begins(folder: Path) -> Generator[None]:
    """Have whoever wants to go on with a session wait; those that `held` names before are written on. For the one compactor only.

    Args:
        folder: where lock files are; must exist.
    """
    path = folder / _PURGE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def held(folder: Path, sessions: Collection[str]) -> set[str]:
    """Those of `sessions` that a live writer has."""
    there = {path.name for path in folder.iterdir()}
    return {session for session in sessions if (path := _lock_of(folder, session)).name in there and _is_held(path)}


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


class SessionLock:
    """The right to write one session, from `acquire` to `release` or the end of the process.

    Args:
        folder: where lock files are; must exist.
        session: the session's id.
        new: nobody has had this id before, so no purge can be about to remove the session, and it waits for none.
    """

    def __init__(self, folder: Path, session: str, *, new: bool = False) -> None:
        self._path = _lock_of(folder, session)
        self._session = session
        self._new = new
        self._descriptor: int | None = None
        forget_after_fork(self)

    def acquire(self) -> None:
        """Take the lock, waiting up to a second for a writer that is just ending, and longer for a purge, which always ends soon.

        Raises:
            SessionBusy: a live writer holds it, or a purge takes long.
            OSError: the lock file cannot be made.
        """
        now = time.monotonic()
        deadline, of_purge = now + _PATIENCE_SECONDS, now + _PURGE_SECONDS
        while not self._try():
            now, purging = time.monotonic(), self._is_purging()
            if purging:
                deadline = now + _PATIENCE_SECONDS
            if now > (of_purge if purging else deadline):
                raise self._busy(purging=purging)
            time.sleep(0.02)

    def _busy(self, *, purging: bool) -> SessionBusy:
        if purging:
            return SessionBusy(
                f"session {self._session!r} waits for a purge or a repair of the log",
                f"expected it to be done within {_PURGE_SECONDS:.0f} s",
                "Try again when it has ended; a new session need not wait.",
            )
        return SessionBusy(
            f"session {self._session!r} is being written by {self._holder()}",
            "expected one writer of a session at a time",
            "Wait until it ends or stop it, or start a session of your own by leaving out `id`.",
        )

    def _try(self) -> bool:
        try:
            descriptor = _locked(self._path)
        except BlockingIOError:
            return False
        if self._is_purging():  # asked with our lock in hand: either we see the purge, or it sees us
            self._path.unlink(missing_ok=True)
            os.close(descriptor)
            return False
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def _is_purging(self) -> bool:
        return not self._new and _is_held(self._path.with_name(_PURGE))

    def _holder(self) -> str:
        try:
            pid = self._path.read_text()
        except FileNotFoundError:
            pid = ""
        return "this process already" if pid == str(os.getpid()) else f"process {pid}" if pid else "another process"

    def release(self) -> None:
        """Let the next writer in."""
        if self._descriptor is None:
            return
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def forget_parent(self) -> None:
        """In a forked child: close our copy; the parent's lock stays as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
