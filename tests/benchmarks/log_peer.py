"""The peer of the session log's benchmark: SQLite with WAL, indexes and FTS5, set up as its users would.

It has an index on each column that is filtered by. `COVERING` are indexes made for just the three sums of the benchmark, as
somebody may who asks nothing else; they answer from the index alone, and are measured apart.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

COLUMNS = (
    "session", "seq", "ts", "role", "kind", "content", "attributes", "tool", "model", "latency_ms", "tokens_in", "tokens_out",
    "run_id", "step", "loss",
)  # fmt: skip
TABLE = (
    "create table events (id integer primary key, session text not null, seq integer not null, ts real not null,"
    " role text not null, kind text not null, content text not null, attributes text not null, tool text, model text, latency_ms real,"
    " tokens_in integer, tokens_out integer, run_id text, step integer, loss real)"
)
INDEXES = (
    "create unique index by_session on events (session, seq)",
    "create index by_time on events (ts)",
    "create index by_role on events (role)",
    "create index by_kind on events (kind)",
    "create index by_tool on events (tool) where tool is not null",
    "create index by_model on events (model) where model is not null",
    "create index by_run on events (run_id) where run_id is not null",
)
COVERING = {
    "covering_day": "(cast(ts / 86400 as integer), role)",
    "covering_tool": "(tool, latency_ms) where tool is not null",
    "covering_model": "(model, tokens_in, tokens_out) where model is not null",
}
BATCH = 50_000
INSERT = f"insert into events ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})"


def connect(path: Path, synchronous: str = "full") -> sqlite3.Connection:
    """The database, in WAL mode, with 64 MiB of page cache."""
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    for setting in ("journal_mode = wal", f"synchronous = {synchronous}", "cache_size = -65536", "temp_store = memory"):
        connection.execute(f"pragma {setting}")
    return connection


def create(path: Path) -> sqlite3.Connection:
    """An empty database for appending, with the indexes that keep a session and the newest events quick."""
    connection = connect(path)
    for statement in (TABLE, *INDEXES):
        connection.execute(statement)
    return connection


def row(event: dict[str, Any]) -> tuple[Any, ...]:
    """An event of `log_data.Events` as a row."""
    filled = {"content": "", **event, "attributes": json.dumps(event.get("attributes", {}))}
    return tuple(filled.get(name) for name in COLUMNS)


def _batches(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def fill(path: Path, events: Iterable[dict[str, Any]]) -> None:
    """Load events, then make the indexes and the text index, which is quicker than keeping them meanwhile; compact and analyse."""
    connection = connect(path, "off")
    connection.execute(TABLE)
    for batch in _batches(map(row, events)):
        connection.execute("begin")
        connection.executemany(INSERT, batch)
        connection.execute("commit")
    for statement in INDEXES:
        connection.execute(statement)
    connection.execute("create virtual table texts using fts5(content, content='events', content_rowid='id', detail=full)")
    connection.execute("insert into texts(rowid, content) select id, content from events where content != ''")
    for statement in ("insert into texts(texts) values ('optimize')", "analyze", "pragma wal_checkpoint(truncate)"):
        connection.execute(statement)
    connection.close()


def cover(connection: sqlite3.Connection) -> None:
    """Make the indexes that the three sums are answered from alone."""
    for name, columns in COVERING.items():
        connection.execute(f"create index {name} on events {columns}")
    connection.execute("analyze")


def uncover(connection: sqlite3.Connection) -> None:
    """Drop them again."""
    for name in COVERING:
        connection.execute(f"drop index if exists {name}")


def counts(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Events by day and role."""
    return connection.execute("select cast(ts / 86400 as integer), role, count(*) from events group by 1, 2 order by 1, 2").fetchall()


def p95(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """The 95th percentile of latency of each tool, by sorting each tool's: the quickest way that SQLite has."""
    tools = connection.execute("select tool, count(latency_ms) from events where tool is not null group by tool order by tool").fetchall()
    query = "select latency_ms from events where tool = ? and latency_ms is not null order by latency_ms limit 1 offset ?"
    return [(tool, connection.execute(query, (tool, -(-95 * count // 100) - 1)).fetchone()[0]) for tool, count in tools]


def tokens(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Tokens read and written by each model."""
    return connection.execute(
        "select model, sum(tokens_in), sum(tokens_out) from events where model is not null group by model order by model"
    ).fetchall()


def search(connection: sqlite3.Connection, words: str) -> list[tuple[Any, ...]]:
    """The 20 best events that have all words, with their texts highlighted."""
    return connection.execute(
        "select session, seq, events.content, snippet(texts, 0, '[', ']', '…', 24), rank from texts join events on events.id = texts.rowid"
        " where texts match ? order by rank limit 20",
        (words,),
    ).fetchall()


def session(connection: sqlite3.Connection, name: str) -> list[tuple[Any, ...]]:
    """A session's events."""
    return connection.execute("select * from events where session = ? order by seq", (name,)).fetchall()


def recent(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """The newest 100 events."""
    return connection.execute("select * from events order by ts desc limit 100").fetchall()
