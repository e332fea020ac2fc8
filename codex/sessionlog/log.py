"""The session log: everything that happened, in the order in which it happened.

What only compacts, purges, takes in or redacts is imported when it is asked for: most processes only read, and one starts for each query.
"""

from __future__ import annotations

import atexit
import functools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

from codex.core.errors import UserError
from codex.core.events import Event, Kind
from codex.core.paths import Workspace
from codex.sessionlog import annotations
from codex.sessionlog.annotations import Annotation
from codex.sessionlog.failures import reading
from codex.sessionlog.following import tail
from codex.sessionlog.forks import forget_after_fork
from codex.sessionlog.locks import SessionLock, only_one
from codex.sessionlog.lookup import Hit, Lookup, SessionInfo
from codex.sessionlog.manifest import GRACE_SECONDS
from codex.sessionlog.numbers import given
from codex.sessionlog.query import EventTable
from codex.sessionlog.reader import LogReport
from codex.sessionlog.selection import Selection
from codex.sessionlog.session import Session, check_id, new_id
from codex.sessionlog.store import Store
from codex.sessionlog.summary import MARK
from codex.sessionlog.writer import SEGMENT_BYTES, SegmentWriter, cannot_write, make_folder

if TYPE_CHECKING:
    import duckdb

    from codex.sessionlog.compactor import Compacted
    from codex.sessionlog.ingest import Ingested
    from codex.sessionlog.purge import Purged
    from codex.sessionlog.redaction import Redactor


class SessionLog:
    """The log of one workspace; made by `open`. Safe across threads, processes and forks."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._locks = folder / "locks"
        self._store = Store(folder)
        self._writer = SegmentWriter(folder / "segments", segment_bytes=segment_bytes)
        self._lookup = Lookup(self._store, EventTable(self._store.live))
        self._open_sessions: list[Session] = []
        self._guard = threading.Lock()
        self._closed = False
        forget_after_fork(self)

    @classmethod
    def open(cls, workspace: Workspace | str | Path | None = None) -> SessionLog:
        """The log of `workspace` (a folder), else of `CODEX_WORKSPACE`, else of `~/.codex-ml`. Makes nothing yet."""
        return cls((workspace if isinstance(workspace, Workspace) else Workspace.locate(workspace)).log)

    def session(
        self,
        kind: Kind,
        title: str = "",
        *,
        id: str | None = None,
        attributes: dict[str, Any] | None = None,
        run_id: str | None = None,
    ) -> Session:
        """Start a session, or go on with one; use it in a `with` block, so that the log says how it ended.

        A session has one writer at a time. Going on with one, its seq continues where it ended, whoever wrote it.

        Args:
            kind: what it is.
            title: what lists call it.
            id: the session to go on with, or the id of the new one; without, a new id is made.
            attributes: anything that JSON can hold, stored with its opening.
            run_id: the run that its events belong to.

        Raises:
            SessionBusy: a live writer has it, or a purge takes long.
            WorkspaceError: the log cannot be written.
            UserError: the kind or id cannot be used, the log is closed, or `redaction.yaml` has a mistake.
        """
        if kind not in get_args(Kind):
            raise UserError(f"session kind {kind!r} is unknown", f"expected one of {', '.join(get_args(Kind))}", "Choose one of these.")
        if self._closed:
            raise UserError("the session log is closed", "expected an open one", "Open it again: `SessionLog.open(...)`.")
        name = new_id(kind) if id is None else check_id(id)
        lock = self._lock(name, new=id is None)
        try:
            next_seq = 0 if id is None else max(self._store.now(lambda: self._store.last_seq(name)), given(self.folder).get(name, -1)) + 1
            session = Session(self._writer, lock, self._redactor, id=name, kind=kind, next_seq=next_seq, run_id=run_id)
            session.append("info", title, attributes={**(attributes or {}), MARK: "continued" if next_seq else "opened"})
        except BaseException:
            lock.release()
            raise
        with self._guard:
            self._open_sessions = [*(held for held in self._open_sessions if not held.closed), session]
            atexit.unregister(self.close)
            atexit.register(self.close)
        return session

    def _lock(self, session: str, *, new: bool = False) -> SessionLock:
        make_folder(self._locks)
        lock = SessionLock(self._locks, session, new=new)
        try:
            lock.acquire()
        except OSError as error:
            raise cannot_write(self._locks, error) from error
        return lock

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the oldest first."""
        return self._lookup.sessions(Selection(), newest_first=False)

    def find(self, selection: Selection | None = None, *, limit: int | None = 50, offset: int = 0, among: Any = None) -> list[SessionInfo]:
        """The sessions that fit, the newest first.

        Args:
            selection: which; without, all.
            limit: how many at most; None for all.
            offset: how many to leave out before.
            among: only those whose `id` is in this Arrow table, in place of `selection.where`; see `codex.services.ask.fitting`.

        Raises:
            UserError: DuckDB cannot make sense of `selection.where`.
        """
        return self._lookup.sessions(selection or Selection(), limit=limit, offset=offset, among=among)

    def events(self, session: str) -> list[Event]:
        """The events of `session` in seq order; none when the log has no such session."""
        return self.since(session, 0)[0]

    def since(self, session: str, position: int) -> tuple[list[Event], int]:
        """What came after `position`, and the position to ask with next; cheap to ask again and again.

        Args:
            session: the session's id; it need not exist yet.
            position: 0 at first, then what the last call returned.
        """

        events = self._store.now(lambda: self._store.events(session, position))
        return events, events[-1].seq + 1 if events else position

    def scan(self, selection: Selection | None = None, *, among: Any = None) -> Iterator[Event]:
        """All events that fit, by session, then seq.

        Args:
            selection: which; without, all.
            among: only those whose `session` and `seq` are in this Arrow table, in place of `selection.where`.

        Raises:
            UserError: DuckDB cannot make sense of `selection.where`.
        """
        return self._lookup.scan(selection or Selection(), among=among)

    def search(
        self,
        words: str,
        selection: Selection | None = None,
        *,
        limit: int = 20,
        prefix: bool = False,
        among: Any = None,
    ) -> list[Hit]:
        """The events whose content has all `words`, the best first; `"words in quotes"` must stand there as they are.

        Args:
            words: what to look for; upper and lower case and accents do not matter, and `snake_case` is two words.
            selection: only among these.
            limit: how many at most.
            prefix: the last word may be the beginning of one: for searching while somebody types.
            among: as of `scan`.

        Raises:
            UserError: there is no word to look for.
        """
        return self._lookup.search(words, selection or Selection(), limit=limit, prefix=prefix, among=among)

    def tail(self, session: str | None = None, follow: bool = False, n: int = 10, *, poll_seconds: float = 0.01) -> Iterator[Event]:
        """The last `n` events, and, with `follow`, those to come until the caller stops.

        Args:
            session: only this session's.
            follow: go on; the iterator then waits for the next event and never ends.
            n: how many to begin with. Events of several sessions come by time, each session's in its own order.
            poll_seconds: how long to wait between looks.
        """
        return tail(self._store, session, follow, n, poll_seconds=poll_seconds)

    def sql(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Ask the views `events`, `sessions` and `annotations` of the log as it is now; `.pl()`, `.df()`, `.fetchall()` give the answer.

        `events` has the columns of `Event`, `sessions` those of `SessionInfo`; `attributes` is JSON (`attributes->>'$.x'`),
        `time` is `ts` or `started` as a UTC timestamp and `day` its date: a condition on one of these two lets a large log be
        read in part. The query reaches neither other files nor the network. Not covered: how much memory and time it takes.

        Raises:
            UserError: the query is not one SELECT, or DuckDB cannot make sense of it.
        """
        return self._lookup.query(query, parameters)

    def rows(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query, as of `sql`; what DuckDB meets in a damaged part while it reads is said in our words.

        Raises:
            UserError: the query is not one SELECT, or DuckDB cannot make sense of it.
            WorkspaceError: a part cannot be read.
        """

        def ask() -> list[tuple[Any, ...]]:
            with reading(self.folder):
                return self.sql(query, parameters).fetchall()

        return self._store.steadily(ask)

    def annotate(
        self, session: str, seq: int, *, rating: int | None = None, note: str | None = None, edit: str | None = None
    ) -> Annotation:
        """Say something of an event; of each thing that can be said the newest counts.

        Args:
            session, seq: the event.
            rating: 1 good, -1 bad, 0 neither.
            note: anything.
            edit: a better content than the event's own.

        Raises:
            UserError: there is no such event, or nothing is said.
        """
        annotation = Annotation(session, seq, rating, note, edit)
        there = self._store.now(lambda: self._store.events(session, seq))
        annotations.check(annotation, [event.seq for event in there[:1]])
        with self.session(annotations.KIND, f"About event {seq} of {session}") as writing:
            writing.append("user", annotation.note or "", attributes=annotation.attributes())
        return annotation

    def annotations(self, session: str) -> dict[int, Annotation]:
        """What was said of the events of `session`, by seq."""
        rows = self.rows("select session, seq, rating, note, edit from annotations where session = ?", [session])
        return {row[1]: Annotation(*row) for row in rows}

    def ingest(self, events: Iterable[Event]) -> Ingested:
        """Add events under the sessions and times that they carry; what the log has already is skipped.

        Where the seqs of a session have gaps, its events are numbered without, in their order, and the attribute `imported` keeps
        the `seq` of each. A session that says something else under a seq that the log has is another one: it goes as a whole under
        an id of its own, `id-2` or the next that is free, and the answer says so. What is added is synced when this returns. When
        it fails, what was added before stays; asking again with the same events goes on.

        Raises:
            UserError: two different events have the same session and seq; nothing was added.
            SessionBusy: a live writer has one of their sessions.
            WorkspaceError: the log cannot be written.
        """
        from codex.sessionlog.ingest import Ingestion

        return Ingestion(self._store, self._writer, self._redactor, self._lock).run(events)

    @functools.cached_property
    def _redactor(self) -> Redactor:
        """By the `redaction.yaml` of the workspace, read when the first event is written."""
        from codex.sessionlog.redaction import load_redactor

        return load_redactor(self.folder.parent)

    def compact(self, *, grace_seconds: float = GRACE_SECONDS) -> Compacted:
        """Make sealed segments into sorted parts and bring the text index up to date; readers and writers go on meanwhile.

        Args:
            grace_seconds: how long files that were replaced are kept for readers that began before.

        Raises:
            CompactorBusy: another process is at it.
            WorkspaceError: the disk is full or fails; nothing is lost.
        """
        from codex.sessionlog.compactor import Compacted, Compactor

        if not self.folder.is_dir():
            return Compacted()
        with only_one(self.folder):
            return Compactor(self.folder, grace_seconds=grace_seconds).run()

    def purge(self, before: float, *, dry_run: bool = False) -> Purged:
        """Remove the sessions whose last event is older than `before` (seconds since the epoch); see `codex.sessionlog.purge`."""
        from codex.sessionlog.purge import purge

        return purge(self.folder, before, dry_run=dry_run)

    def health(self) -> LogReport:
        """What is good and what is not, as far as a look without reading everything again tells."""
        return self._store.now(self._store.report)

    def check(self) -> LogReport:
        """Read every segment from its beginning and sum every part, and say what is good and what is not."""
        store = Store(self.folder)
        store.refresh()
        store.sum_again()
        return store.report()

    def flush(self) -> None:
        """Return when everything written so far survives a power loss.

        Raises:
            WorkspaceError: the disk fails.
        """
        self._writer.flush()

    def close(self) -> None:
        """End the sessions that are still open, sync and seal the segment; reading goes on working.

        Raises:
            WorkspaceError: the disk fails or is full.
        """
        atexit.unregister(self.close)
        self._closed = True
        with self._guard:
            left, self._open_sessions = self._open_sessions, []
        try:
            for session in left:
                session.close("left open", content="the log was closed before the session was")
        finally:
            self._writer.close()

    def forget_parent(self) -> None:
        """In a forked child: a lock held by one of the parent's threads would never be released."""
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
