"""The lock of a run's folder: who holds it may run, settle or delete the run, and nobody else."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

POLL_SECONDS = 0.02


def lock_file(folder: Path) -> Path:
    """`.lock` of a run's folder."""
    return folder / ".lock"


class RunLock:
    """An exclusive lock on a run's folder, held through an open file.

    The kernel frees it when the last process that shares the open file is gone, however it went. A supervisor
    shares it with its worker, so the lock is free only when neither lives.

    Args:
        descriptor: the open file that holds the lock.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, folder: Path, *, patience_s: float = 0.0) -> RunLock | None:
        """The lock of `folder`, or None when someone else holds it for longer than `patience_s`.

        Raises:
            FileNotFoundError: the folder is gone.
            OSError: the lock file cannot be opened.
        """
        deadline = time.monotonic() + patience_s
        while True:
            lock = cls._try(folder)
            if lock is not None or time.monotonic() >= deadline:
                return lock
            time.sleep(POLL_SECONDS)

    @classmethod
    def _try(cls, folder: Path) -> RunLock | None:
        descriptor = os.open(lock_file(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        try:
            # The folder may have been renamed away by a delete between opening and locking.
            if not os.path.samestat(os.fstat(descriptor), lock_file(folder).stat()):
                raise FileNotFoundError(f"{folder} was replaced")
        except OSError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Free the lock for all who share it."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
