"""Two events under one number: numbers whose events were lost were given again, and then what had them came back from a backup.

None of them is dropped. A number is another event's when time, role or content differ; all events of that session that came back
together are then a session of their own, `<id>-restored-<8 hex>`, numbered from 0. What is the same in all of these counts once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from codex.sessionlog.parts import quoted
from codex.sessionlog.session import MAX_ID

if TYPE_CHECKING:
    import duckdb

SAME: Final = "session, seq, time, said"
"""By which an event is known, in rows of `with_said`."""
_MARK: Final = "-restored-"
_MARK_CHARACTERS: Final = 8


def with_said(rows: str) -> str:
    """SQL for `rows` with a column `said`: a hash of who says what."""
    return f"(select *, hash(role, content) as said from {rows})"


def mark_of(source: str) -> str:
    """How the names of sessions end that came back with `source`, a text that is another for each and always the same."""
    return _MARK + hashlib.sha256(source.encode()).hexdigest()[:_MARK_CHARACTERS]


def renamed(session: str, mark: str) -> str:
    """SQL for the name of a session that is kept apart; `session` is SQL as well."""
    return f"(left({session}, {MAX_ID - len(mark)}) || {quoted(mark)})"


def keep_apart(connection: duckdb.DuckDBPyConnection, table: str, which: str, mark: str) -> None:
    """Make sessions of their own of the rows of `table` for which `which`, SQL, holds."""
    seq = "row_number() over (partition by session order by seq, time) - 1"
    connection.execute(
        f"create or replace temp table {table} as select * from {table} where not ({which})"
        f" union all by name select * replace ({renamed('session', mark)} as session, ({seq}) as seq) from {table} where {which}"
    )
