"""Retention: whole sessions that ended long ago leave the log, with everything that was said of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codex.core import clock
from codex.sessionlog import annotations, rollup
from codex.sessionlog import manifest as manifests
from codex.sessionlog.compactor import Compactor, damaged_part, only_one
from codex.sessionlog.manifest import Part
from codex.sessionlog.parts import rows_of, workbench, write_day
from codex.sessionlog.store import Store

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Purged:
    """What left the log, or would leave it.

    Args:
        sessions: how many.
        events: theirs.
        freed: bytes that the log is smaller by; 0 when nothing was removed yet.
    """

    sessions: int
    events: int
    freed: int = 0


def purge(folder: Path, before: float, *, dry_run: bool = False) -> Purged:
    """Remove the sessions whose last event is older than `before`, and the annotations of their events.

    A session that still stands in a segment that somebody writes to stays, whatever its age. The text of what is removed is
    gone from the disk when this returns; a reader that began before may have to begin anew.

    Args:
        folder: the log's.
        before: seconds since the epoch.
        dry_run: only count.

    Raises:
        CompactorBusy: another process is compacting.
        WorkspaceError: the log cannot be written, or a part is damaged; the log is then as it was.
    """
    if not folder.is_dir():
        return Purged(0, 0)
    if dry_run:
        store = Store(folder)
        store.refresh()
        old = [each for each in store.live.summaries() if each.last < before]
        with workbench(folder / "scratch") as connection:
            kept = _select_old(connection, store, before, [each.id for each in store.live.summaries() if each.last >= before])
        names = {name for name, _ in kept}
        fresh = [each for each in old if each.id not in names]
        return Purged(len(kept) + len(fresh), sum(events for _, events in kept) + sum(each.events for each in old))
    with only_one(folder):
        return _purge(folder, before)


def _select_old(connection: duckdb.DuckDBPyConnection, store: Store, before: float, young: list[str]) -> list[tuple[str, int]]:
    """Fill the table `old` with the sessions that go; gives them, each with its number of compacted events."""
    connection.execute(
        f"create or replace temp table old as select id, events from {store.rollup()}"
        " where last < make_timestamp(?) and not list_contains(?::varchar[], id)",
        [clock.microseconds(before), young],
    )
    rows = rows_of(store.folder, store.parts)
    connection.execute(
        f"insert into old select session, count(*) from {rows} where kind = ? and session not in (select id from old)"
        " and (attributes->>'$.about.session') in (select id from old) group by session"
        " union all select null, 0 where false",
        [annotations.KIND],
    )
    # An annotation session has its opening and its end, too.
    connection.execute(f"update old set events = r.events from {store.rollup()} r where r.id = old.id")
    return connection.execute("select id, events from old").fetchall()


def _purge(folder: Path, before: float) -> Purged:
    compactor = Compactor(folder, grace_seconds=0)
    compactor.run()
    store = Store(folder)
    store.refresh()
    if store.damaged:
        raise damaged_part(store.damaged[0])
    size = sum(part.size for part in compactor.manifest.parts)
    with workbench(folder / "scratch") as connection:
        (folder / "scratch").mkdir(exist_ok=True)
        old = _select_old(connection, store, before, [each.id for each in store.live.summaries()])
        if not old:
            return Purged(0, 0)
        parts = [_without_old(connection, folder, part) for part in compactor.manifest.parts]
        kept = f"(select {', '.join(rollup.TYPES)} from {store.rollup()} where id not in (select id from old))"
        sessions = compactor.write_rollup(connection, kept)
    compactor.publish(parts=tuple(part for part in parts if part is not None), sessions=sessions)
    if compactor.text.exists():
        with compactor.text.writing() as writing:
            writing.forget(name for name, _ in old)
    compactor.publish()  # what was retired may go once a MANIFEST calls it so from the beginning
    compactor.remove_retired()
    freed = size - sum(part.size for part in compactor.manifest.parts)
    return Purged(len(old), sum(events for _, events in old), freed)


def _without_old(connection: duckdb.DuckDBPyConnection, folder: Path, part: Part) -> Part | None:
    """The part without the sessions of the table `old`: itself, a new one, or none."""
    rows = rows_of(folder, [part])
    count = connection.execute(f"select count(*) from {rows} where session in (select id from old)").fetchone()
    if count == (0,):
        return part
    if manifests.sha256(folder / part.name) != part.sha256:
        raise damaged_part(part.name)
    connection.execute(f"create or replace temp table kept as select * from {rows} where session not in (select id from old)")
    if connection.execute("select count(*) from kept").fetchone() == (0,):
        return None
    return write_day(connection, "kept", part.day, folder).model_copy(update={"indexed": part.indexed})
