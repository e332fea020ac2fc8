"""One segment: a file that exactly one process appends frames to."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import sys
import threading
from pathlib import Path

from codex.core import clock, files
from codex.sessionlog.schema import NAME_SUFFIX

SUFFIX = ".ndjson"
BEGUN = ".new"
"""How the name of a segment ends until it is locked."""


def datasync(descriptor: int) -> None:
    """Make what was written survive a power loss."""
    if sys.platform == "darwin":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


class Segment:
    """A new segment in `folder`, open for appending.

    It is locked (flock) until it is closed or its process ends, so that readers know whether it may still grow, and
    gets its final name only once it is locked. The name is time, pid, chance and version; only the
    version is read from it, and the order.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        stamp = clock.iso(clock.now()).replace(":", "").replace("-", "")
        self.path = folder / f"{stamp}-{os.getpid()}-{secrets.token_hex(4)}{NAME_SUFFIX}"
        self.failed = False
        self.torn = False
        self.size = 0
        self._synced = 0
        self._sync_lock = threading.Lock()
        unnamed = self.path.with_suffix(BEGUN)  # no reader looks at it yet
        self._descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self.path)
            files.fsync_folder(folder)
        except BaseException:
            os.close(self._descriptor)
            unnamed.unlink(missing_ok=True)
            raise

    def write(self, frame: bytes) -> int:
        """Append `frame` whole or not at all; the caller holds the writer's lock.

        Returns:
            The offset up to which the file must be synced for the frame to survive a power loss.

        Raises:
            OSError: no room, or the disk fails; the file ends where it ended before, or `torn` is set.
        """
        start = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, frame)
            if written < len(frame):
                # A file takes less than it is given when there is no room; asking for the rest says why.
                written += os.write(self._descriptor, frame[written:])
            if written < len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:  # also an interrupt: half a frame must not stay
            self._drop_partial(start, start + len(frame))
            raise
        self.size = start + len(frame)
        return self.size

    def _drop_partial(self, start: int, whole: int) -> None:
        try:
            if start < os.fstat(self._descriptor).st_size < whole:
                os.ftruncate(self._descriptor, start)
        except OSError:
            self.torn = True  # nothing may follow the half frame: the writer goes on in a new segment

    def sync(self, upto: int | None = None) -> None:
        """Make the first `upto` bytes, or all, survive a power loss; many waiting threads share one sync.

        Raises:
            OSError: the disk fails; `failed` is set, for a second sync would succeed without having saved anything.
        """
        with self._sync_lock:
            target = self.size
            if self._synced >= (target if upto is None else upto):
                return
            if self.failed:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            try:
                datasync(self._descriptor)
            except OSError:
                self.failed = True
                raise
            self._synced = target

    def close(self) -> None:
        """Sync and seal the file.

        Raises:
            OSError: the disk fails; the file is closed all the same.
        """
        try:
            self.sync()
        finally:
            with self._sync_lock:
                self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
