"""The writing side: frames go into this process's own segment, at once; syncing is per event or in groups."""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass
from pathlib import Path

from codex.core import files
from codex.core.errors import WorkspaceError
from codex.sessionlog.forks import forget_after_fork
from codex.sessionlog.segment import Segment

SEGMENT_BYTES = 32 * 2**20
GROUP_SECONDS = 0.01

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def cannot_write(folder: Path, error: OSError) -> WorkspaceError:
    """`error` in words that a person can act on."""
    if error.errno in _FULL:
        fix = "Free some room, or name another workspace: `--workspace DIR`."
    else:
        fix = "Make the folder writable, or name another workspace: `--workspace DIR`."
    return WorkspaceError(
        f"the session log in {str(folder)!r} cannot be written ({error.strerror or error})",
        "expected a folder that you may write, on a disk with room",
        fix,
    )


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it so that they survive a power loss.

    Raises:
        WorkspaceError: it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            files.fsync_folder(made.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error


@dataclass(frozen=True)
class Ticket:
    """Where a written frame ends, to be synced up to."""

    segment: Segment
    upto: int


class SegmentWriter:
    """Appends frames to segments of its own; safe across threads and after a fork.

    Args:
        folder: where segments are; made on the first write.
        segment_bytes: a segment that would grow past this is sealed and the next one begun.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._start_afresh()
        forget_after_fork(self)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: OSError | None = None

    def write(self, frame: bytes) -> Ticket:
        """Append `frame`; every reader sees it from now on.

        Raises:
            WorkspaceError: it cannot be written, and is not in the log; or an earlier group could not be synced.
        """
        with self._lock:
            self._raise_failure()
            try:
                segment = self._room_for(len(frame))
                return Ticket(segment, segment.write(frame))
            except OSError as error:
                raise cannot_write(self._folder, error) from error

    def _room_for(self, frame_bytes: int) -> Segment:
        segment = self._segment
        if segment is not None and (segment.failed or segment.torn or 0 < segment.size > self._segment_bytes - frame_bytes):
            self._segment = None
            self._retire(segment)
        if self._segment is None:
            make_folder(self._folder)
            self._segment = Segment(self._folder)
        return self._segment

    def _retire(self, segment: Segment) -> None:
        if segment.failed:  # said already, to whoever waited for that sync
            segment.abandon()
        else:
            segment.close()

    def sync(self, ticket: Ticket) -> None:
        """Return when the ticket's frame survives a power loss.

        Raises:
            WorkspaceError: the disk fails; the frame may or may not be in the log after a power loss.
        """
        try:
            ticket.segment.sync(ticket.upto)
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    def sync_soon(self) -> None:
        """Have what was written synced within some 10 ms, together with what comes meanwhile."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closing.is_set():
                    self._thread = threading.Thread(target=self._sync_groups, name="sessionlog-sync", daemon=True)
                    self._thread.start()
        self._wake.set()

    def _sync_groups(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(GROUP_SECONDS)
            self._wake.clear()
            segment = self._segment
            if segment is None:
                continue
            try:
                segment.sync()
            except OSError as error:
                self._failure = error  # raised by the next write, flush or close

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise cannot_write(self._folder, failure) from failure

    def flush(self) -> None:
        """Return when everything written so far survives a power loss.

        Raises:
            WorkspaceError: the disk fails.
        """
        with self._lock:
            self._raise_failure()
            segment = self._segment
        if segment is not None:
            self.sync(Ticket(segment, segment.size))

    def close(self) -> None:
        """Sync and seal the segment; a later write would begin a new one.

        Raises:
            WorkspaceError: the disk fails.
        """
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            segment, self._segment = self._segment, None
            self._closing, self._thread = threading.Event(), None
            try:
                if segment is not None:
                    self._retire(segment)
            except OSError as error:
                raise cannot_write(self._folder, error) from error
            self._raise_failure()

    def forget_parent(self) -> None:
        """In a forked child: leave the parent's segment alone, and begin an own one on the first write."""
        self._start_afresh()
        if self._segment is not None:
            self._segment.abandon()
            self._segment = None
