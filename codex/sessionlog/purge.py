"""Retention: whole sessions that ended long ago leave the log, with everything that was said of them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codex.core.errors import WorkspaceError
from codex.sessionlog import annotations, numbers, quarantine, rollup
from codex.sessionlog import manifest as manifests
from codex.sessionlog.compactor import Compactor, damaged_part
from codex.sessionlog.failures import compacting, reading
from codex.sessionlog.frames import parse
from codex.sessionlog.locks import held, is_locked, nobody_begins, only_one
from codex.sessionlog.manifest import Part, StoredFile
from codex.sessionlog.parts import rows_of, workbench, write_day
from codex.sessionlog.query import EventTable, add_live, connect_parts
from codex.sessionlog.reader import LogReader
from codex.sessionlog.store import Store
from codex.sessionlog.writer import cannot_write

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
        quarantined: files in `quarantine/` with what was damaged once; they stay as they are, and may hold text of what was removed.
    """

    sessions: int
    events: int
    freed: int = 0
    held: int = 0
    quarantined: int = 0


def purge(folder: Path, before: float, *, dry_run: bool = False) -> Purged:
    """Remove the sessions whose last event is older than `before`, and the annotations of events that are not there any more.

    What stands in a segment that somebody writes to stays, whatever its age, and so does a session that somebody goes on with
    meanwhile. The text of what is removed is gone from the disk when this returns, but for copies in `quarantine/`, which are
    counted; and so are its words from the text index, which is made anew. A reader that began before may have to begin anew.

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
        return _count(folder, before)
    try:
        with only_one(folder), compacting(folder):
            try:
                return _purge(folder, before)
            finally:
                shutil.rmtree(folder / "scratch", ignore_errors=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _count(folder: Path, before: float) -> Purged:
    """What would go, without a lock: whoever compacts meanwhile may remove what is being read."""
    store = Store(folder)
    while True:
        manifest = store.refresh()
        try:
            with reading(folder):
                old, bound = _select_old(store, before, _growing(folder / "segments"))
            return Purged(len(old), sum(old.values()), held=bound, quarantined=_quarantined(folder))
        except WorkspaceError:
            if store.refresh() is manifest:
                raise


def _quarantined(folder: Path) -> int:
    return sum(not quarantine.is_note(path) for path in (folder / quarantine.NAME).glob("*"))


def _growing(segments: Path) -> set[str]:
    """The sessions that have events in a segment that somebody writes to."""
    found: set[str] = set()
    for path in LogReader(segments).paths():
        try:
            with open(path, "rb") as file:
                if is_locked(file.fileno()):
                    found |= {good.event.session for good in parse(path.name, file.read()).good}
        except FileNotFoundError:  # compacted meanwhile, so nobody writes to it
            continue
        except OSError as error:
            raise manifests.cannot_read(segments, error) from error
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
    bound = found.keys() & set(staying)
    return {name: events for name, events in found.items() if name not in bound}, len(bound)


def _purge(folder: Path, before: float) -> Purged:
    compactor = Compactor(folder, grace_seconds=-math.inf)  # what is replaced goes at once, even if a clock that ran ahead replaced it
    compactor.run()
    store = Store(folder)
    store.refresh()
    if store.damaged:
        raise damaged_part(store.damaged[0])
    size = sum(part.size for part in compactor.manifest.parts)
    staying = {each.id for each in store.live.summaries()}
    while True:
        old, bound = _select_old(store, before, staying)
        if not old:
            return Purged(0, 0, held=bound, quarantined=_quarantined(folder))
        parts, sessions = _rewritten(compactor, store, old)
        with nobody_begins(folder / "locks"):
            back = _continued(store, old)
            if not back:
                numbers.forget(folder, old)  # before they go, lest one that is begun anew after a kill has a gap at its beginning
                compactor.forget_text()  # it keeps the words of what is only deleted from it, and must not outlive the parts that it is of
                compactor.publish(parts=parts, sessions=sessions)
                break
        staying |= back
    compactor.bring_text_up_to_date()
    compactor.remove_retired()
    freed = size - sum(part.size for part in compactor.manifest.parts)
    return Purged(len(old), sum(old.values()), freed, bound, _quarantined(folder))


def _rewritten(compactor: Compactor, store: Store, old: Collection[str]) -> tuple[tuple[Part, ...], StoredFile]:
    """The parts and the rollup without the sessions `old`, not yet published."""
    folder = compactor.folder
    with workbench(folder / "scratch") as connection:
        (folder / "scratch").mkdir(exist_ok=True)
        connection.execute("create temp table old as select unnest(?::varchar[]) as id", [list(old)])
        parts = [_without_old(connection, folder, part) for part in compactor.manifest.parts]
        kept = f"(select {', '.join(rollup.TYPES)} from {store.rollup()} where id not in (select id from old))"
        sessions = compactor.write_rollup(connection, kept)
    return tuple(part.model_copy(update={"indexed": False}) for part in parts if part is not None), sessions


def _continued(store: Store, old: Collection[str]) -> set[str]:
    """Those of `old` that somebody goes on with since they were chosen."""
    store.refresh()
    return held(store.folder / "locks", old) | {each.id for each in store.live.summaries() if each.id in old}


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
