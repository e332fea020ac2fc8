"""Finding sessions and events: lists by conditions, ranked search by words, all events that are selected."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from codex.core import clock
from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog import annotations, schema, text
from codex.sessionlog.failures import reading
from codex.sessionlog.forks import forget_after_fork, keep_for_ever
from codex.sessionlog.manifest import Manifest
from codex.sessionlog.parts import rows_of
from codex.sessionlog.query import EventTable, add_live, connect_parts, lock, run_query
from codex.sessionlog.reader import read_again
from codex.sessionlog.selection import Selection
from codex.sessionlog.snippets import snippet
from codex.sessionlog.store import Store, event_of
from codex.sessionlog.summary import Summary

if TYPE_CHECKING:
    import duckdb
    import tantivy

_EVENT_NAMES: Final = ", ".join(schema.FRAME_TYPES)
_INFO: Final = "id, kind, title, started, last_ts, events, run_id, outcome, errors, tokens_in, tokens_out, redacted"
_RATED: Final = """(
    select session, arg_max(rating, (rated, seq)) as rating, count(*) filter (rating = 1) as good, count(*) filter (rating = -1) as bad
    from annotations where rating is not null group by session
)"""
FETCH_ROWS: Final = 5_000
KEYS: Final = {"sessions": ("id",), "events": ("session", "seq")}
"""What names a row of each view."""


@dataclass(frozen=True)
class SessionInfo:
    """One session in a list.

    Args:
        id: its id.
        kind: what it is: chat, training, …
        title: as given when it was opened.
        started: when its first event was written, seconds since the epoch.
        last_ts: when its last event was written.
        events: how many it has.
        run_id: the run it belongs to, when it does.
        outcome: how it ended: finished, failed, interrupted, or what its writer said; None while it is open, and when
            its writer was killed.
        errors: how many of its events are errors.
        tokens_in, tokens_out: tokens that models read and wrote in it.
        redacted: how many secrets were taken out.
        rating: the one that was given last to an event of it: 1 good, -1 bad, 0 neither; None when nothing of it is rated.
        rated_good, rated_bad: how many of its events are rated so; `Selection.rating` takes those of which at least one is.
    """

    id: str
    kind: str
    title: str
    started: float
    last_ts: float
    events: int
    run_id: str | None
    outcome: str | None
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    redacted: int = 0
    rating: int | None = None
    rated_good: int = 0
    rated_bad: int = 0


@dataclass(frozen=True)
class Hit:
    """An event that a search found.

    Args:
        score: how well it fits (BM25); what is not compacted yet is ranked by statistics of its own.
        event: it.
        snippet: the part of its content that fits best.
        marks: where the words are in the snippet, as (start, end).
    """

    score: float
    event: Event
    snippet: str
    marks: tuple[tuple[int, int], ...]


class Lookup:
    """Answers questions about one log. Safe across threads.

    Args:
        store: what is asked; refreshed by every question.
        table: its live events.
    """

    def __init__(self, store: Store, table: EventTable) -> None:
        self._store = store
        self._table = table
        self._start_afresh()
        forget_after_fork(self)

    def _start_afresh(self) -> None:
        self._disk = text.TextIndex(self._store.folder)
        self._lock = threading.RLock()
        self._base: duckdb.DuckDBPyConnection | None = None
        self._views: tuple[Manifest, tuple[str, ...]] = Manifest(), ()
        self._memory: tuple[object, int, text.TextInMemory | None] = (None, 0, None)

    def forget_parent(self) -> None:
        """In a forked child: a lock held by one of the parent's threads would never be released."""
        keep_for_ever(self._base, self._disk, self._memory)
        self._start_afresh()

    def _ask(self, question: str, parameters: Sequence[Any], among: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a question of our own to the views of the log as it is now."""

        def ask() -> list[tuple[Any, ...]]:
            with reading(self._store.folder):
                return self._cursor(among).execute(question, list(parameters)).fetchall()

        return self._store.steadily(ask)

    def _cursor(self, among: Any = None) -> duckdb.DuckDBPyConnection:
        """A connection of its own, for its answer may be read long after the next question; with the table `among`, if any."""
        with self._lock:
            cursor = self._store.steadily(self._connected).cursor()
            add_live(cursor, self._store, self._table.update())
            if among is not None:
                cursor.register("among", among)
            return cursor

    def _connected(self) -> duckdb.DuckDBPyConnection:
        """A connection to the parts as they are now."""
        manifest, damaged = self._store.refresh(), self._store.damaged
        if self._base is None or self._views[0] is not manifest or self._views[1] != damaged:
            self._base = connect_parts(self._store)
            lock(self._base)
            self._views = manifest, damaged
        return self._base

    def query(self, question: str, parameters: Any) -> duckdb.DuckDBPyRelation:
        """See `SessionLog.sql`."""
        return self._store.steadily(lambda: run_query(question, parameters, connection=self._cursor()))

    def sessions(
        self, selection: Selection, *, limit: int | None = None, offset: int = 0, newest_first: bool = True, among: Any = None
    ) -> list[SessionInfo]:
        """The sessions that fit, by when they started."""
        if selection == Selection() and among is None and limit is None and not self._store.refresh().parts:
            summaries = self._store.live.summaries()
            if all(each.kind != annotations.KIND for each in summaries):  # then nothing needs DuckDB, whose import takes a moment
                return sorted(map(_info, summaries), key=lambda info: (info.started, info.id), reverse=newest_first)
        conditions, parameters = _session_conditions(selection)
        among = self._among(selection.where, "sessions", among)
        if among is not None:
            conditions.append("id in (select id from among)")
        order = "desc" if newest_first else "asc"
        if selection.rating is not None:
            conditions.append("id in (select session from annotations where rating = ?)")
            parameters.append(selection.rating)
        text = (
            f"select {_INFO}, rating, coalesce(good, 0), coalesce(bad, 0) from sessions left join {_RATED} r on r.session = id"
            f" where {' and '.join(['true', *conditions])} order by started {order}, id {order}"
            + (f" limit {int(limit)}" if limit is not None else "")
            + (f" offset {int(offset)}" if offset else "")
        )
        return [SessionInfo(*row) for row in self._ask(text, parameters, among)]

    def _among(self, where: str, view: str, among: Any) -> Any:
        """`among`, else the keys of what fits a condition, asked on a connection that can do nothing else; None where there is neither."""
        if not where.strip():
            return among
        assert among is None, "keys are the answer to a condition"
        return self.query(f"select {', '.join(KEYS[view])} from {view} where ({where}\n)", None).to_arrow_table()

    def scan(self, selection: Selection, *, among: Any = None) -> Iterator[Event]:
        """All events that fit, by session, then seq; read in stretches, so that the log may be larger than memory."""
        conditions, parameters = _event_conditions(selection)
        if selection.rating is not None:
            conditions.append("(session, seq) in (select session, seq from annotations where rating = ?)")
            parameters.append(selection.rating)
        among = self._among(selection.where, "events", among)
        if among is not None:
            conditions.append("(session, seq) in (select session, seq from among)")
        query = f"select {_EVENT_NAMES} from events where {' and '.join(['true', *conditions])} order by session, seq"

        def begin() -> tuple[duckdb.DuckDBPyConnection, list[tuple[Any, ...]]]:
            with reading(self._store.folder):
                rows = self._cursor(among).execute(query, parameters)
                return rows, rows.fetchmany(FETCH_ROWS)

        rows, stretch = self._store.steadily(begin)
        while stretch:
            yield from map(event_of, stretch)
            with reading(self._store.folder):
                stretch = rows.fetchmany(FETCH_ROWS)

    # --- words ---

    def search(self, words: str, selection: Selection, *, limit: int = 20, prefix: bool = False, among: Any = None) -> list[Hit]:
        """The events whose content has all `words`, the best first; a phrase in double quotes must stand there as it is.

        Raises:
            UserError: there is no word in `words`.
        """
        if not text.words_of(words):
            raise UserError(f"the search {words!r} has no word", "expected letters or digits", "For example: `timeout error`.")
        phrases = [phrase.casefold() for phrase in words.split('"')[1::2] if phrase.strip()]
        bounds = (selection.since, selection.until, selection.run_id, selection.rating)
        among = self._among(selection.where, "events", among)
        exact = bool(phrases or among is not None or any(each is not None for each in bounds))
        hits: list[Hit] = []
        wanted, offset = limit, 0
        fits = self._fits(selection) if exact else None
        while True:
            found = self.ranked(words, selection, limit=wanted, offset=offset, prefix=prefix)
            fitting = found if among is None else self._those(found, among)
            events = self._store.now(partial(self._events, fitting))
            for each in fitting:
                event = events.get((each.session, each.seq))
                if event is None or not _has(event, phrases) or (fits and not fits(event)):
                    continue
                hits.append(Hit(each.score, event, *snippet(event.content, words)))
            if len(hits) >= limit or len(found) < wanted:
                return hits[:limit]
            offset, wanted = offset + wanted, wanted * 2

    def _those(self, found: Sequence[text.Found], among: Any) -> list[text.Found]:
        """Those of `found` that are in `among`, which may be much more than Python would hold as values."""
        keys = "select unnest(?::varchar[]) as session, unnest(?::bigint[]) as seq"
        sought = [[each.session for each in found], [each.seq for each in found]]
        there = set(self._ask(f"select session, seq from ({keys}) where (session, seq) in (select session, seq from among)", sought, among))
        return [each for each in found if (each.session, each.seq) in there]

    def ranked(self, words: str, selection: Selection, *, limit: int = 20, offset: int = 0, prefix: bool = False) -> list[text.Found]:
        """Which events have all `words`, the best first, without their texts."""
        if limit + offset < 1:  # tantivy panics
            return []
        return self._store.now(lambda: self._ranked(words, selection, limit=limit, offset=offset, prefix=prefix))

    def _ranked(self, words: str, selection: Selection, *, limit: int, offset: int, prefix: bool) -> list[text.Found]:
        best: dict[tuple[str, int], text.Found] = {}
        with self._disk.in_words():
            for index in self._indexes():
                query = text.query_of(index, words, selection, prefix=prefix)
                if query is not None:
                    for found in text.look(index, query, limit + offset):
                        best.setdefault((found.session, found.seq), found)
        ordered = sorted(best.values(), key=lambda found: (-found.score, found.session, found.seq))
        return ordered[offset : offset + limit]

    def _indexes(self) -> Iterator[tantivy.Index]:
        with self._lock:
            if any(part.indexed for part in self._store.parts) and self._disk.exists():
                yield self._disk.open(self._store.manifest)
            memory = self._unindexed()
            if memory is not None:
                yield memory.index

    def _unindexed(self) -> text.TextInMemory | None:
        """An index of live events, and of parts that the one on disk does not have."""
        arrived = self._store.live.arrived
        there = self._disk.exists()
        waiting = [part for part in self._store.parts if not (part.indexed and there)]
        key = (self._store.manifest, there)
        known, done, memory = self._memory
        if memory is None or known != (id(arrived), *map(id, key)):
            memory, done = None, 0
            if waiting or arrived:
                memory = text.TextInMemory()
                if waiting:
                    memory.add(self._store.ask(f"select {text.COLUMNS} from {rows_of(self._store.folder, waiting)} where content != ''"))
        if memory is not None and len(arrived) > done:
            memory.add(map(_row, arrived[done:]))
        self._memory = ((id(arrived), *map(id, key)), len(arrived), memory)
        return memory

    def _events(self, found: Sequence[text.Found]) -> dict[tuple[str, int], Event]:
        """The events of what a search found."""
        events: dict[tuple[str, int], Event] = {}
        stored: dict[str, list[text.Found]] = {}
        for each in found:
            live = self._store.live.one(each.session, each.seq)
            if live is not None:
                events[each.session, each.seq] = live
            else:
                stored.setdefault(each.day, []).append(each)
        for event in self._store.picked({day: [(each.session, each.seq) for each in those] for day, those in stored.items()}):
            events[event.session, event.seq] = event
        return events

    def _fits(self, selection: Selection) -> Any:
        keys: set[tuple[str, int]] | None = None
        if selection.rating is not None:
            keys = set(self._ask("select session, seq from annotations where rating = ?", [selection.rating]))

        def fits(event: Event) -> bool:
            return (
                (selection.since is None or event.ts >= selection.since)
                and (selection.until is None or event.ts < selection.until)
                and (selection.run_id is None or event.run_id == selection.run_id)
                and (keys is None or (event.session, event.seq) in keys)
            )

        return fits


def _info(summary: Summary) -> SessionInfo:
    unlike = ("last_ts", "rating", "rated_good", "rated_bad")
    same = {name: getattr(summary, name) for name in SessionInfo.__dataclass_fields__ if name not in unlike}
    return SessionInfo(last_ts=summary.last, **same)


def _row(line: bytes) -> tuple[Any, ...]:
    from datetime import UTC, datetime

    event = read_again(line)
    day = datetime.fromtimestamp(event.ts, UTC).date()
    return event.session, event.seq, day, event.role, event.kind, event.tool, event.model, event.content


def _has(event: Event, phrases: Sequence[str]) -> bool:
    content = event.content.casefold() if phrases else ""
    return all(phrase in content for phrase in phrases)


def _session_conditions(selection: Selection) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []

    def add(condition: str, value: Any) -> None:
        conditions.append(condition)
        parameters.append(value)

    if selection.since is not None:
        add("last_ts >= ?", selection.since)
    if selection.until is not None:
        add("started < ?", selection.until)
    if selection.run_id is not None:
        add("run_id = ?", selection.run_id)
    for column, values in (("kind", selection.kinds), ("id", selection.sessions)):
        if values:
            add(f"list_contains(?, {column})", list(values))
    for column, values in (("roles", selection.roles), ("tools", selection.tools), ("models", selection.models)):
        if values:
            add(f"list_has_any({column}, ?)", list(values))
    return conditions, parameters


def _event_conditions(selection: Selection) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []

    def add(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if selection.since is not None:
        add("time >= make_timestamp(?)", clock.microseconds(selection.since))
    if selection.until is not None:
        add("time < make_timestamp(?)", clock.microseconds(selection.until))
    if selection.run_id is not None:
        add("run_id = ?", selection.run_id)
    named = (("kind", selection.kinds), ("role", selection.roles), ("tool", selection.tools), ("model", selection.models))
    for column, values in (*named, ("session", selection.sessions)):
        if values:
            add(f"{column} in ({', '.join('?' for _ in values)})", *values)
    return conditions, parameters
