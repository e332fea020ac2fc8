"""Adding events of elsewhere to a log: what it has already is skipped, and another session of the same name gets a name of its own.

Two files may both call their conversation `default`. Whether an event is the same is told by what it says, not by its number alone:
when a session that comes in says something else under a number that is taken, the two are different sessions, and it goes as a
whole under `default-2`, or the next such name that is free or holds it already. That is known only after all of its events were
looked at, so they wait in a temporary file, and one session of the log is held in memory at a time.

Only our writers number each session from 0 without gaps; a column that counts through all sessions, or an export of some events,
does not. What comes in is numbered on without gaps, so that a gap in the log is always a loss. What was its number stays known.
"""

from __future__ import annotations

import itertools
import reprlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Final, cast

from codex.core import clock
from codex.core.errors import UserError, WorkspaceError
from codex.core.events import Event
from codex.sessionlog import annotations
from codex.sessionlog.frames import decode, encode
from codex.sessionlog.locks import SessionLock
from codex.sessionlog.numbers import given
from codex.sessionlog.places import Another, Held, Placed, Row
from codex.sessionlog.redaction import Redactor
from codex.sessionlog.session import MAX_ID, check_id, without_secrets
from codex.sessionlog.store import Store
from codex.sessionlog.writer import SegmentWriter

KEPT: Final = "imported"
"""The attribute that holds what an event was where it came from and is here no more: its session, its role, columns of its own."""

_SAID: Final = ("role", "kind", "tool", "model", "latency_ms", "tokens_in", "tokens_out", "run_id", "step", "loss")


@dataclass(frozen=True)
class Ingested:
    """What `SessionLog.ingest` did.

    Args:
        added: how many events it added.
        skipped: how many the log had already.
        renamed: sessions whose id is another one's in this log, as their id → the id under which they are here.
    """

    added: int
    skipped: int
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])


class Ingestion:
    """Adds events to one log.

    Args:
        store: the log as it is read.
        writer: where to write.
        redactor: takes secrets out of what is added.
        lock: gives the right to write a session.
    """

    def __init__(self, store: Store, writer: SegmentWriter, redactor: Redactor, lock: Callable[[str], SessionLock]) -> None:
        self._store = store
        self._writer = writer
        self._redactor = redactor
        self._lock = lock
        self._counts = {True: 0, False: 0}
        self._renamed: dict[str, str] = {}

    def run(self, events: Iterable[Event]) -> Ingested:
        """Add `events`; see `SessionLog.ingest`."""
        import sqlite3

        try:
            with closing(_Waiting(sqlite3.connect("", isolation_level=None))) as waiting:
                for event in events:
                    waiting.add(self._clean(event))
                for session in waiting.sessions():
                    self._add(waiting, session)
        except sqlite3.Error as error:
            raise WorkspaceError(
                f"the temporary file of an import cannot be used ({error})",
                "expected room for what is imported",
                "Make room, or name a folder that has some: `TMPDIR=DIR`.",
            ) from error
        self._writer.flush()
        return Ingested(self._counts[False], self._counts[True], self._renamed)

    def _clean(self, event: Event) -> Event:
        check_id(event.session)
        fields = {"content": event.content, "attributes": event.attributes, "redacted": event.redacted}
        cleaned = without_secrets(fields, self._redactor)
        clean = event if cleaned is fields else event.model_copy(update=cleaned)
        wrong = annotations.misfit(clean)
        if wrong is not None:
            raise UserError(
                f"`{wrong.name}` of annotation {event.seq} of session {event.session!r} is {reprlib.repr(wrong.value)}",
                f"{wrong.expected}, so nothing was imported",
                "Correct it, or leave the event out.",
            )
        return clean

    def _add(self, waiting: _Waiting, session: str) -> None:
        """Write one session under the first name that is its own."""
        for name in _names(session):
            lock = self._lock(name)
            try:
                held = self._store.now(partial(self._held, name))
                try:
                    deque(held.places(waiting.rows(session), whole=name != session), maxlen=0)
                except Another:
                    continue
                for placed in held.places(waiting.rows(session), whole=name != session):
                    self._counts[placed.known] += 1
                    self._write(waiting, session, name, placed)
                if name != session:
                    self._renamed[session] = name
                return
            finally:
                lock.release()

    def _held(self, name: str) -> Held:
        """What the log holds under a name, each event by its number and what it says, less what is called a secret today."""
        held = Held(given=given(self._store.folder).get(name, -1))
        for event in self._store.events(name):
            held.add(Row(-1, event.seq, _origin(event), _print(event, self._redactor.redact(event.content)[0])))
        return held

    def _write(self, waiting: _Waiting, session: str, name: str, placed: Placed) -> None:
        moved = name != session or placed.seq != placed.row.seq
        if moved:
            waiting.moved(session, placed.row.seq, name, placed.seq)
        if placed.known:
            return
        frame, about = waiting.frame(placed.row.id)
        if moved or placed.anew or about:
            event = _read(frame)
            kept: dict[str, Any] = {"session_id": session} if name != session else {}
            if placed.anew:
                kept["seq"] = placed.row.seq
            attributes = _about(event.attributes, waiting) if about else event.attributes
            frame = encode(event.model_copy(update={"session": name, "seq": placed.seq, "attributes": _keeping(attributes, kept)}))
        self._writer.write(frame)


class _Waiting:
    """Events that wait in a temporary file, session by session, in the order of their numbers; secrets were taken out of them."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        for setting in ("journal_mode = off", "synchronous = off"):
            connection.execute(f"pragma {setting}")
        connection.execute("begin")
        connection.execute("create table event (id integer primary key, session, seq, origin, print, about, frame)")
        connection.execute("create table moved (session, seq, name, new_seq, primary key (session, seq)) without rowid")

    def add(self, event: Event) -> None:
        """Take an event."""
        frame = encode(event)
        stored = _read(frame)  # text that is no Unicode is mended on the way
        about = event.kind == annotations.KIND
        row = (event.session, event.seq, _origin(event), _print(stored, stored.content), about, frame)
        self._connection.execute("insert into event (session, seq, origin, print, about, frame) values (?, ?, ?, ?, ?, ?)", row)

    def sessions(self) -> list[str]:
        """The sessions, what is said of others' events last, for those may move.

        Raises:
            UserError: two events claim the same place.
        """
        self._connection.execute("create index by_session on event (session, seq, print)")
        twice = self._connection.execute(
            "select session, seq from event group by session, seq having count(distinct print) > 1 limit 1"
        ).fetchone()
        if twice is not None:
            raise UserError(
                f"two different events are number {twice[1]} of session {twice[0]!r}",
                "expected each number of a session once, so nothing was imported",
                "Import each source as a file of its own, or leave `seq` out of all rows to number them anew.",
            )
        return [name for (name,) in self._connection.execute("select session from event group by session order by max(about), session")]

    def rows(self, session: str) -> Iterator[Row]:
        """The events of a session in the order of their numbers."""
        query = "select id, seq, origin, print from event where session = ? order by seq, id"
        return map(Row._make, self._connection.execute(query, [session]))

    def frame(self, id: int) -> tuple[bytes, bool]:
        """An event's frame, and whether it says something of another event."""
        frame, about = self._connection.execute("select frame, about from event where id = ?", [id]).fetchone()
        return frame, bool(about)

    def moved(self, session: str, seq: int, name: str, new_seq: int) -> None:
        """Note that an event is somewhere else now."""
        self._connection.execute("insert or ignore into moved values (?, ?, ?, ?)", [session, seq, name, new_seq])

    def place(self, session: str, seq: int) -> tuple[str, int]:
        """Where the event that was there is now."""
        query = "select name, new_seq from moved where session = ? and seq = ?"
        return self._connection.execute(query, [session, seq]).fetchone() or (session, seq)

    def close(self) -> None:
        """Remove the file."""
        self._connection.close()


def _names(session: str) -> Iterator[str]:
    """The id, then `id-2`, `id-3` …"""
    yield session
    for number in itertools.count(2):
        ending = f"-{number}"
        yield session[: MAX_ID - len(ending)] + ending


def _print(event: Event, content: str) -> bytes:
    """What an event says, in 16 bytes: everything but its place, its attributes and its count of secrets."""
    said = (clock.microseconds(event.ts), content, *(getattr(event, name) for name in _SAID))
    return blake2b(repr(said).encode(), digest_size=16).digest()


def _origin(event: Event) -> int | None:
    """The number that an event had before an import numbered it anew; None when none did."""
    match event.attributes.get(KEPT):
        case {"seq": int(seq)} if 0 <= seq <= 2**53:
            return seq
        case _:
            return None


def _read(frame: bytes) -> Event:
    event = decode(frame[:-1])
    if event is None:
        raise UserError("attributes nest too deeply to be read back", "expected fewer than 200 levels", "Flatten them.")
    return event


def _keeping(attributes: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """The attributes with what an event was where it came from; what an earlier import kept stays as it is."""
    before = attributes.get(KEPT)
    if not kept:
        return attributes
    return {**attributes, KEPT: {**kept, **(cast("dict[str, Any]", before) if isinstance(before, dict) else {})}}


def _about(attributes: dict[str, Any], waiting: _Waiting) -> dict[str, Any]:
    """The attributes of an annotation, which are about the event wherever that is now."""
    about = attributes.get("about")
    match about:
        case {"session": str(session), "seq": int(seq)} if -(2**63) <= seq < 2**63:
            name, new_seq = waiting.place(session, seq)
            return attributes if (name, new_seq) == (session, seq) else {**attributes, "about": {**about, "session": name, "seq": new_seq}}
        case _:
            return attributes
