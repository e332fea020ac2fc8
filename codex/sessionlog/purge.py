"""Retention: whole sessions that ended long ago leave the log, with everything that was said of them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codex.sessionlog import annotations, rollup
from codex.sessionlog import manifest as manifests
from codex.sessionlog.compactor import Compactor, damaged_part
from codex.sessionlog.frames import parse
from codex.sessionlog.locks import is_locked, only_one
from codex.sessionlog.manifest import Part
from codex.sessionlog.parts import rows_of, workbench, write_day
from codex.sessionlog.query import EventTable, add_live, connect_parts
from codex.sessionlog.store import Store

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Purged:
    """What left the log, or would leave it.

    Args:
        sessions: how many, those of what was said of their events among them.
        events: theirs.
        freed: bytes that the log is smaller by; 0 when nothing was removed yet.
        held: sessions of what was said of removed events that stay, for they stand in a segment that a process writes to.
    """

    sessions: int
    events: int
    freed: int = 0
    held: int = 0


def purge(folder: Path, before: float, *, dry_run: bool = False) -> Purged:
    """Remove the sessions whose last event is older than `before`, and the annotations of events that are not there any more.

    What stands in a segment that somebody writes to stays, whatever its age. The text of what is removed is gone from the
    disk when this returns, and its words from the text index, which is made anew; a reader that began before may have to begin anew.

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
        old, held = _select_old(store, before, _growing(folder / "segments"))
        return Purged(len(old), sum(old.values()), held=held)
    with only_one(folder):
        return _purge(folder, before)


def _growing(segments: Path) -> set[str]:
    """The sessions that have events in a segment that somebody writes to."""
    found: set[str] = set()
    for path in segments.iterdir() if segments.is_dir() else ():
        with open(path, "rb") as file:
            if is_locked(file.fileno()):
                found |= {good.event.session for good in parse(path.name, file.read()).good}
    return found


def _select_old(store: Store, before: float, staying: Collection[str]) -> tuple[dict[str, int], int]:
    """The sessions that go, each with its number of events; and how many that say something of them stay."""
    with connect_parts(store) as connection:
        add_live(connection, store, EventTable(store.live).update())
        connection.execute(
            f"""create temp table old as select id from sessions
            where last_ts < $before and kind <> '{annotations.KIND}' and not list_contains($staying::varchar[], id)""",
            {"before": before, "staying": sorted(staying)},
        )
        # What was said of a session that is not there any more was held when that session went.
        about = "(attributes->>'$.about.session')"
        connection.execute(
            f"create temp table said as select distinct session as id from events where kind = '{annotations.KIND}'"
            f" and {about} is not null and ({about} in (select id from old) or {about} not in (select id from sessions))"
        )
        question = "select id, events from sessions where id in (select id from old union all select id from said)"
        found: dict[str, int] = dict(connection.execute(question).fetchall())
    held = found.keys() & set(staying)
    return {name: events for name, events in found.items() if name not in held}, len(held)


def _purge(folder: Path, before: float) -> Purged:
    compactor = Compactor(folder, grace_seconds=-math.inf)  # what is replaced goes at once, even if a clock that ran ahead replaced it
    compactor.run()
    store = Store(folder)
    store.refresh()
    if store.damaged:
        raise damaged_part(store.damaged[0])
    old, held = _select_old(store, before, {each.id for each in store.live.summaries()})
    if not old:
        return Purged(0, 0, held=held)
    size = sum(part.size for part in compactor.manifest.parts)
    with workbench(folder / "scratch") as connection:
        (folder / "scratch").mkdir(exist_ok=True)
        connection.execute("create temp table old as select unnest(?::varchar[]) as id", [list(old)])
        parts = [_without_old(connection, folder, part) for part in compactor.manifest.parts]
        kept = f"(select {', '.join(rollup.TYPES)} from {store.rollup()} where id not in (select id from old))"
        sessions = compactor.write_rollup(connection, kept)
    # The index keeps the words of what is only deleted from it, and must not outlive the parts that it is of.
    compactor.forget_text()
    left = tuple(part.model_copy(update={"indexed": False}) for part in parts if part is not None)
    compactor.publish(parts=left, sessions=sessions)
    compactor.bring_text_up_to_date()
    compactor.remove_retired()
    freed = size - sum(part.size for part in compactor.manifest.parts)
    return Purged(len(old), sum(old.values()), freed, held)


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
    return write_day(connection, "kept", part.day, folder)
