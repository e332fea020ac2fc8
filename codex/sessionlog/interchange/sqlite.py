"""SQLite files with the table `session_events(ts, session_id, role, message)`, with or without `seq` and our other columns."""

from __future__ import annotations

import math
import sqlite3
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pydantic_core import to_json

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog.interchange.files import cannot_write, new_file
from codex.sessionlog.interchange.rows import ALIASES, Findings, Unfit, column_types, event_of, seconds

TABLE: Final = "session_events"
REQUIRED: Final = ("ts", "session_id", "role", "message")

VIEW_STEPS: Final = 2_000_000_000
"""Steps of SQLite's machine (about half a minute) in which a view must give its next row, for one of a query without end gives none."""
_STEPS: Final = 1_000_000

_NAMES: Final = {ours: theirs for theirs, ours in ALIASES.items()}


def read(path: Path) -> Iterator[Event]:
    """The events of the table `session_events` of the SQLite file at `path`, session by session, in the order of `seq`.

    All rows are checked before the first event comes, in one snapshot of a file that others may go on writing. Without the
    column `seq`, a session's events get one in the order of their times, and of their rows where times are equal. Times, roles,
    session ids and further columns are read as `rows.event_of` says.

    Raises:
        UserError: it is no such file, the table is a view that gives no row for long, or some rows cannot be read; it names the
            first 20 of them, and nothing was given.
    """
    findings = Findings(path.name)
    patience = _Patience()
    try:
        with _connected(path) as connection:
            if _is_view(connection):
                connection.set_progress_handler(patience.ends, _STEPS)
            table = _Table.of(connection, path)
            deque(_events(connection, table, findings, patience), maxlen=0)
            findings.refuse()
            yield from _events(connection, table, findings, patience)
    except sqlite3.Error as error:
        if patience.ended:
            raise UserError(
                f"the view {TABLE} of {str(path)!r} gives no row",
                f"expected one within {VIEW_STEPS:,} steps of SQLite, for its query may have no end",
                f"Make a table of what it gives, and rename that to {TABLE}: `create table … as select * from {TABLE}`.",
            ) from error
        raise UserError(
            f"{str(path)!r} cannot be read ({error})",
            "expected an SQLite file that no program has locked",
            "Check the path, and close the program that writes it.",
        ) from error


def write(path: Path, events: Iterable[Event]) -> int:
    """Write `events` to a new SQLite file: the table `session_events`, indexed by session and seq.

    The columns are `ts`, `session_id`, `role`, `message`, `seq` and our others; `attributes` is JSON. A number that is none is
    the text 'NaN', for SQLite would make it NULL. The file has its name when it is complete.

    Returns:
        How many events there are in it.

    Raises:
        UserError: something is called `path`, it cannot be written, or an event stands in `events` twice.
    """
    with new_file(path) as draft:
        try:
            return _fill(draft, events)
        except sqlite3.IntegrityError as error:
            raise UserError(
                f"{str(path)!r} was not written, for two events have the same session and seq ({error})",
                "expected each event once",
                "Export from a log, which has each once.",
            ) from error
        except sqlite3.Error as error:
            raise cannot_write(path, error) from error


def _fill(draft: Path, events: Iterable[Event]) -> int:
    types = column_types()
    required = [ALIASES.get(name, name) for name in REQUIRED]
    order = [*required, *(name for name in types if name not in required)]
    columns = ", ".join(f"{_NAMES.get(name, name)} {types[name]}" for name in order)
    places = ", ".join("?" for _ in order)
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = off")  # a draft that is not finished is removed, never mended
        connection.execute("pragma synchronous = off")  # it is synced as a whole when it gets its name
        connection.execute("begin")
        connection.execute(f"create table {TABLE} ({columns})")
        connection.executemany(f"insert into {TABLE} values ({places})", (_stored(event, order) for event in events))
        connection.execute(f"create unique index {TABLE}_by_session on {TABLE} (session_id, seq)")
        connection.execute("commit")
        return connection.execute(f"select count(*) from {TABLE}").fetchone()[0]


def _stored(event: Event, order: list[str]) -> list[Any]:
    values: list[Any] = [getattr(event, name) for name in order]
    values[order.index("attributes")] = to_json(event.attributes, inf_nan_mode="strings").decode()
    return ["NaN" if isinstance(value, float) and math.isnan(value) else value for value in values]


@dataclass
class _Patience:
    """Ends a query that gives no row for long."""

    steps: int = 0
    ended: bool = False

    def ends(self) -> bool:
        """Whether to end the query; asked every million steps."""
        self.steps += _STEPS
        self.ended = self.steps > VIEW_STEPS
        return self.ended


def _is_view(connection: sqlite3.Connection) -> bool:
    query = "select exists (select 1 from sqlite_master where type = 'view' and lower(name) = ?)"
    return bool(connection.execute(query, [TABLE]).fetchone()[0])


@contextmanager
def _connected(path: Path) -> Generator[sqlite3.Connection]:
    """A read-only connection that sees one state of the file until it is closed."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
        connection.text_factory = _text
        connection.create_function("codex_seconds", 1, _seconds_or_null, deterministic=True)
        connection.execute("begin")
        yield connection


def _text(raw: bytes) -> str:
    """Text of the file; what is no UTF-8 becomes lone surrogates, so that it is found with its row and not thrown."""
    return raw.decode(errors="surrogateescape")


def _seconds_or_null(value: Any) -> float | None:
    try:
        return seconds(value)
    except Unfit:
        return None


@dataclass(frozen=True)
class _Table:
    """How the table is read.

    Args:
        columns: the names of its columns, as they stand there.
        query: what gives its rows in order, each led by its rowid, which is NULL where it has none.
        has_seq: whether its events are numbered.
    """

    columns: tuple[str, ...]
    query: str
    has_seq: bool

    @classmethod
    def of(cls, connection: sqlite3.Connection, path: Path) -> Self:
        """Look at the table.

        Raises:
            UserError: there is none, or it lacks a column.
        """
        found = connection.execute("select name, type from pragma_table_xinfo(?) where hidden <> 1", (TABLE,)).fetchall()
        types = {name.lower(): declared.upper() for name, declared in found}
        if not all(name in types for name in REQUIRED):
            raise _unlike(connection, path, [name for name, _ in found])
        has_seq = "seq" in types and connection.execute(f"select exists (select 1 from {TABLE} where seq is not null)").fetchone()[0]
        numbered = _has_rowid(connection)
        # A number and a text that look alike are one session, so they must come together; a TEXT column makes them one already.
        session = "session_id" if "CHAR" in types["session_id"] or "TEXT" in types["session_id"] else "cast(session_id as text)"
        order = "seq" if has_seq else f"codex_seconds(ts), {'rowid' if numbered else 'role, message'}"
        names = tuple(name for name, _ in found if has_seq or name.lower() != "seq")
        chosen = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names)
        return cls(names, f"select {'rowid' if numbered else 'null'}, {chosen} from {TABLE} order by {session}, {order}", bool(has_seq))


def _has_rowid(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute(f"select rowid from {TABLE} limit 0")
    except sqlite3.OperationalError:  # a view, or a table made WITHOUT ROWID
        return False
    return True


def _unlike(connection: sqlite3.Connection, path: Path, columns: list[str]) -> UserError:
    tables = [name for (name,) in connection.execute("select name from sqlite_master where type in ('table', 'view') order by name")]
    has = f"{TABLE!r} has the columns {', '.join(columns)}" if columns else f"the tables are {', '.join(tables) or 'none'}"
    return UserError(
        f"{str(path)!r} has no table {TABLE}({', '.join(REQUIRED)}): {has}",
        "expected that table, with `seq` and further columns where there are any",
        f"Make a view of what is there: `create view {TABLE} as select … as ts, … as session_id, … as role, … as message from …`.",
    )


def _events(connection: sqlite3.Connection, table: _Table, findings: Findings, patience: _Patience) -> Iterator[Event]:
    """The events in order; what is wrong with a row goes to `findings`, and the row is left out."""
    names = [name.lower() if name.lower() in _KNOWN else name for name in table.columns]
    before: Event | None = None
    for number, (rowid, *values) in enumerate(connection.execute(table.query), 1):
        patience.steps = 0
        row = dict(zip(names, values, strict=True))
        if not table.has_seq:
            row["seq"] = 0
        where = f"row {number if rowid is None else rowid}"
        event = event_of(row, where, findings)
        if event is None:
            continue
        same = before is not None and before.session == event.session
        if before is not None and same and not table.has_seq:
            event = event.model_copy(update={"seq": before.seq + 1})
        elif before is not None and same and before.seq == event.seq:
            findings.add(where, f"`seq` is {event.seq}, as in another row of session {event.session!r}", _TWICE)
        before = event
        yield event


_KNOWN: Final = frozenset({*Event.model_fields, *ALIASES})
_TWICE: Final = Unfit("expected each `seq` of a session once", "Remove one of the two rows, or the column `seq`, to number them anew.")
