"""SQL over the log: parts and live events as one, asked by an in-memory DuckDB that can reach nothing else."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from codex.core import clock
from codex.core.errors import UserError
from codex.sessionlog import annotations, rollup, schema
from codex.sessionlog.failures import reading
from codex.sessionlog.forks import forget_after_fork
from codex.sessionlog.parts import quoted, rows_of
from codex.sessionlog.reader import LogReader, read_again
from codex.sessionlog.statements import change_in
from codex.sessionlog.store import Store
from codex.sessionlog.summary import Summary

if TYPE_CHECKING:
    import duckdb

_PART_ROWS = 16_384
_MERGE_CHUNKS = 64
_SHOWN_CHARACTERS = 500

_ARROW = {"varchar": "large_string", "json": "large_string", "bigint": "int64", "double": "float64"}
_EVENT_TYPES = {name: _ARROW[kind] for name, kind in schema.FRAME_TYPES.items()}
_SESSION_COLUMNS = (
    "id",
    "kind",
    "title",
    "epoch_us(r.started) / 1e6 as started",
    "epoch_us(r.last) / 1e6 as last_ts",
    "events",
    "run_id",
    "outcome",
    "errors",
    "tokens_in",
    "tokens_out",
    "redacted",
    *rollup.SETS,
    "last_seq",
    "r.started as time",
    "r.started::date as day",
)
_LOCKS = (
    "set global python_enable_replacements=false",  # a query sees no variable of the caller's
    "set enable_external_access=false",
    "set lock_configuration=true",
)


class EventTable:
    """The good events as one Arrow table that grows with what the reader has read."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._known: list[bytes] | None = None
        self._table: Any = None
        forget_after_fork(self)

    @staticmethod
    def empty() -> Any:
        """A table of no events (`pyarrow.Table`)."""
        return _table(_EVENT_TYPES, _columns(()))

    def update(self) -> Any:
        """The table of everything read so far (`pyarrow.Table`)."""
        with self._lock:
            position = 0 if self._table is None else self._table.num_rows
            known, new = self._reader.arrivals(self._known, position)
            if known is not self._known or self._table is None:
                self._known, self._table = known, self.empty()
            parts = [_table(_EVENT_TYPES, _columns(new[at : at + _PART_ROWS])) for at in range(0, len(new), _PART_ROWS)]
            if parts:
                grown = _arrow().concat_tables([self._table, *parts])
                many = grown.column(0).num_chunks > _MERGE_CHUNKS
                self._table = grown.combine_chunks() if many else grown
            return self._table

    def forget_parent(self) -> None:
        """In a forked child: a lock held by one of the parent's threads would never be released."""
        self._lock = threading.Lock()


def _arrow() -> Any:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]

    return pyarrow


def _columns(lines: Sequence[bytes]) -> dict[str, list[Any]]:
    events = [read_again(line) for line in lines]
    columns: dict[str, list[Any]] = {name: [getattr(event, name) for event in events] for name in _EVENT_TYPES}
    columns["attributes"] = [to_json(value).decode() for value in columns["attributes"]]
    return columns


def _table(types: Mapping[str, str], columns: Mapping[str, Sequence[Any]]) -> Any:
    arrow = _arrow()
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in types.items()])
    return arrow.table({name: columns[name] for name in types}, schema=schema)


def connect_parts(store: Store) -> duckdb.DuckDBPyConnection:
    """A DuckDB with the views of the log, for connections that `add_live`; may read the parts, and, once it is locked, nothing else."""
    import duckdb

    settings: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False, "temp_directory": ""}
    connection = duckdb.connect(":memory:", config=settings)
    allowed = ", ".join(quoted(str(store.folder / file)) for file in _files(store))
    for statement in ("set global timezone = 'UTC'", "set global parquet_metadata_cache = true", f"set allowed_paths = [{allowed}]"):
        connection.execute(statement)
    add_live(connection, store, EventTable.empty())
    define_views(connection, store)
    return connection


def add_live(connection: duckdb.DuckDBPyConnection, store: Store, events: Any) -> None:
    """Give a connection what is not compacted; each has its own, so an answer stays of the moment in which it was asked."""
    connection.register("live_event_rows", events)
    connection.register("live_session_rows", summary_table(store.live.summaries()))


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Have the database of `connection` reach no file but the parts, no network, and no variable of the caller's, for ever."""
    for statement in _LOCKS:
        connection.execute(statement)


def define_views(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Define the views of the log over its parts and what `add_live` gave."""
    stored = ", ".join("epoch_us(time) / 1e6 as ts" if name == "ts" else name for name in schema.EVENTS)
    live = {"attributes": "attributes::json as attributes", "time": f"{schema.INSTANT} as time", "day": f"{schema.INSTANT}::date as day"}
    unstored = ", ".join(live.get(name, name) for name in schema.EVENTS)
    rows = f"select {stored} from {rows_of(store.folder, store.parts)} union all select {unstored} from live_event_rows"
    with reading(store.folder):  # DuckDB looks into the parts for their columns
        connection.execute(f"create or replace view events as {rows}")
        connection.execute(f"create or replace view sessions as {_sessions(store)}")
        connection.execute(f"create or replace view annotations as {annotations.VIEW}")


def _files(store: Store) -> list[str]:
    sessions = store.manifest.sessions
    return [*(part.name for part in store.parts), *([sessions.name] if sessions else [])]


def _sessions(store: Store) -> str:
    """SQL for the view `sessions`: rows of the rollup, of live sessions, and, folded, of those that are both."""
    names = ", ".join(rollup.TYPES)
    both = "(select id from live_session_rows)"
    kept, live = f"select {names} from {store.rollup()}", f"select {names} from live_session_rows"
    folded = rollup.folded(f"({kept} where id in {both} union all {live})")
    rows = f"({kept} where id not in {both} union all select {names} from ({folded})) r"
    return f"select {', '.join(_SESSION_COLUMNS)} from {rows}"


def summary_table(summaries: Sequence[Summary]) -> Any:
    """Summaries as an Arrow table with the columns of the rollup."""
    arrow = _arrow()
    kinds = {
        "varchar": arrow.string(),
        "bigint": arrow.int64(),
        "timestamp": arrow.timestamp("us"),
        "varchar[]": arrow.list_(arrow.string()),
    }
    columns: dict[str, Any] = {}
    for name, kind in rollup.TYPES.items():
        values = [getattr(each, name) for each in summaries]
        if kind == "timestamp":
            values = [clock.microseconds(value) for value in values]
        elif kind == "varchar[]":
            values = [sorted(value) for value in values]
        columns[name] = arrow.array(values, type=kinds[kind])
    return arrow.table(columns)


def run_query(
    query: str, parameters: Sequence[Any] | Mapping[str, Any] | None, *, connection: duckdb.DuckDBPyConnection
) -> duckdb.DuckDBPyRelation:
    """Ask a person's `query` on a locked connection, see `lock`.

    Args:
        query: one SELECT, or EXPLAIN, DESCRIBE, SUMMARIZE, PIVOT, FROM.
        parameters: values for `?` or `$name`.
        connection: for this query alone.

    Raises:
        UserError: the query is not one question, or DuckDB cannot make sense of it.
    """
    import duckdb

    # DuckDB calls `with x as (copy … to 'file') select 1` a SELECT, and would let it write over a part.
    if change := change_in(query):
        raise _not_answered(query, f"{change}; the log is only read")
    try:
        kinds = [statement.type for statement in connection.extract_statements(query)]
        asks = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)
        relation = connection.sql(query, params=parameters) if len(kinds) == 1 and kinds[0] in asks else None
    except duckdb.Error as error:
        raise _not_answered(query, " ".join(str(error).partition("\n\nLINE")[0].split())) from error
    except ValueError as error:  # a statement of a type that the binding does not know
        raise _not_answered(query, "it is not one SELECT; the log is only read") from error
    if relation is None:
        raise _not_answered(query, "it is not one SELECT; the log is only read")
    return relation


def _not_answered(query: str, why: str) -> UserError:
    shown = query if len(query) <= _SHOWN_CHARACTERS else query[:_SHOWN_CHARACTERS] + "…"
    return UserError(
        f"the query {shown!r} cannot be answered ({why})",
        "expected one SELECT over the views `events`, `sessions` and `annotations`",
        "`select * from events limit 5` shows the columns.",
    )
