"""Parts that MANIFEST does not name: what a killed compactor left, or, when MANIFEST is lost or an old one, events.

A leftover's events all stand elsewhere too, the same word for word, in parts that are named or in segments that are not done; so it may
go. A part with an event that nothing else has is an orphan: it is never removed, and `codex-ml logs doctor --repair` takes it in. Where
another event has its number by now, that one stays in the log, and the part is kept in `quarantine/` too: see `numbers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codex.core import clock
from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.sessionlog import manifest as manifests
from codex.sessionlog import quarantine, schema
from codex.sessionlog.frames import parse
from codex.sessionlog.manifest import Manifest, Part
from codex.sessionlog.numbers import SAME, with_said
from codex.sessionlog.parts import FOLDER, UNFINISHED, rows_of, sum_in_name, write_day
from codex.sessionlog.store import Store

if TYPE_CHECKING:
    import duckdb

_PATTERNS: Final = (f"{FOLDER}/*/*.parquet", "sessions-*.parquet")


@dataclass(frozen=True)
class Unnamed:
    """Files that MANIFEST does not name.

    Args:
        leftovers: nothing is lost when they go.
        orphans: parts with events that nothing else has, each with how many.
        unreadable: whatever they held, they are no whole parts.
    """

    leftovers: tuple[Path, ...] = ()
    orphans: tuple[tuple[Part, int], ...] = ()
    unreadable: tuple[Path, ...] = ()

    @property
    def events(self) -> int:
        """How many events nothing else has."""
        return sum(count for _, count in self.orphans)


def unnamed(folder: Path, manifest: Manifest) -> list[Path]:
    """Parts and rollups, whole or begun, that neither `manifest` nor the one before it names."""
    named = {file.name for file in manifest.retired}
    for each in (manifest, manifests.read_before(folder) or Manifest()):
        named |= {file.name for file in each.parts}
        named |= {each.sessions.name} if each.sessions else set()
    found = (path for pattern in _PATTERNS for path in folder.glob(pattern))
    return sorted(path for path in found if str(path.relative_to(folder)) not in named and path.is_file())


def look(store: Store) -> Unnamed:
    """What the files are that MANIFEST does not name; reads them whole.

    Args:
        store: as it is now.

    Raises:
        WorkspaceError: a newer Codex wrote one.
    """
    leftovers: list[Path] = []
    orphans: list[tuple[Part, int]] = []
    unreadable: list[Path] = []
    for path in unnamed(store.folder, store.manifest):
        if path.parent == store.folder or path.name.startswith(UNFINISHED):
            leftovers.append(path)
            continue
        part = part_in(store.cursor(), store.folder, path)
        if part is None:
            unreadable += [path] if path.exists() else []  # a compactor at work may have removed it
        elif count := _alone(store, part):
            orphans.append((part, count))
        else:
            leftovers.append(path)
    return Unnamed(tuple(leftovers), tuple(orphans), tuple(unreadable))


def _alone(store: Store, part: Part) -> int:
    """How many events of a part stand, as they are, neither in an intact part that is named nor in a segment that is not done."""
    others = [each for each in store.between(part.first, part.last) if manifests.is_intact(store.folder, each)]
    here, there = (with_said(rows_of(store.folder, parts)) for parts in ([part], others))
    left = store.ask(f"select session, seq, epoch_us(time) from {here} anti join {there} using ({SAME})")
    return sum(not _is_at(store.live.one(session, seq), time) for session, seq, time in left)


def _is_at(event: Event | None, time: int) -> bool:
    """Whether there is an event and it is of that microsecond."""
    return event is not None and clock.microseconds(event.ts) == time


def clear(folder: Path, manifest: Manifest) -> None:
    """Remove what a compactor that died had begun; what cannot be read is set aside. Reads no part when there is nothing.

    Raises:
        WorkspaceError: a part that MANIFEST does not name has events that nothing else has; nothing was removed.
    """
    if not unnamed(folder, manifest):
        return
    store = Store(folder)
    store.refresh()
    found = look(store)
    if found.orphans:
        raise WorkspaceError(
            f"parts of the session log hold {found.events:,} events that its MANIFEST does not know of, {found.orphans[0][0].name!r} first",
            "expected the MANIFEST that was written last; a backup or another program may have put an old one there",
            "Take them in: `codex-ml logs doctor --repair`; no event is lost by that. Or, where a purge had removed them, delete the file.",
        )
    for path in found.leftovers:
        path.unlink(missing_ok=True)
    for path in found.unreadable:
        quarantine.set_aside(folder, path)


def restored(folder: Path, manifest: Manifest) -> list[Path]:
    """Segments that are compacted, were changed or put back since, and hold an event that no part that can be read has."""
    found: list[Path] = []
    store = Store(folder)
    for each in manifest.done:
        path = folder / "segments" / each.name
        try:
            state = path.stat()
            if each.size is None or (state.st_size, state.st_mtime_ns) == (each.size, each.modified):
                continue
            events = [good.event for good in parse(path.name, path.read_bytes()).good]
        except FileNotFoundError:
            continue
        if events and _lacks(store, events):
            found.append(path)
    return found


def _lacks(store: Store, events: Sequence[Event]) -> bool:
    """Whether an event stands, by number and time, in no part that can be read."""
    store.refresh()
    times = [event.ts for event in events]
    rows = rows_of(store.folder, store.between(min(times), max(times)))
    sessions = sorted({event.session for event in events})
    there = set(store.ask(f"select session, seq, epoch_us(time) from {rows} where list_contains(?::varchar[], session)", [sessions]))
    return any((event.session, event.seq, clock.microseconds(event.ts)) not in there for event in events)


def part_in(connection: duckdb.DuckDBPyConnection, folder: Path, path: Path) -> Part | None:
    """The part that a file is, read whole and compared with the sum in its name; None when it is none, or damaged.

    Raises:
        WorkspaceError: a newer Codex wrote it.
    """
    import duckdb

    try:
        version = connection.execute("select value from parquet_kv_metadata(?) where key = 'codex_schema'", [str(path)]).fetchone()
        if version is None:
            return None
        if not schema.readable(int(bytes(version[0]))):
            raise schema.newer(path.name)
        known = manifests.stored(folder, str(path.relative_to(folder)))
        if not known.sha256.startswith(sum_in_name(path.name)):
            return None
        part = Part(**known.model_dump(), day=path.parent.name, rows=0, first=0, last=0, schema_version=int(bytes(version[0])))
        facts = connection.execute(
            f"select count(*), epoch_us(min(time)) / 1e6, epoch_us(max(time)) / 1e6, bit_xor(hash(r)) from {rows_of(folder, [part])} r"
        ).fetchone()
    except (duckdb.Error, ValueError, FileNotFoundError):
        return None
    assert facts is not None, "an aggregate gives one row"
    return None if not facts[0] else part.model_copy(update={"rows": facts[0], "first": facts[1], "last": facts[2]})


def rows_in_footer(connection: duckdb.DuckDBPyConnection, path: Path) -> int | None:
    """How many rows a file says that it has; None when it does not say."""
    import duckdb

    try:
        return int(connection.execute("select num_rows from parquet_file_metadata(?)", [str(path)]).fetchall()[0][0])
    except duckdb.Error:
        return None


@dataclass(frozen=True)
class Taken:
    """What was taken in.

    Args:
        parts: files that were found, or new ones that are synced and not yet published.
        events: how many the log did not have.
        others: how many are left out of each file, by its name, for others have their numbers.
    """

    parts: tuple[Part, ...] = ()
    events: int = 0
    others: Mapping[str, int] = field(default_factory=dict[str, int])


def taken_in(connection: duckdb.DuckDBPyConnection, folder: Path, named: Sequence[Part], found: Sequence[Part], live: str = "") -> Taken:
    """Parts of the events of `found` that `named` and `live`, SQL for rows, lack, each once.

    Where two have one number, what `named` and `live` have stays, and of two that are found the one of the newer part is taken.
    """
    came = rows_of(folder, found)
    known = " union all by name ".join(f"select {SAME} from {with_said(rows)}" for rows in (rows_of(folder, named), live) if rows)
    connection.execute(f"create or replace temp table seen as select * from ({known}) where session in (select session from {came})")
    parts: list[Part] = []
    others: dict[str, int] = {}
    for part in sorted(found, key=lambda part: (-part.last, -part.rows)):  # the larger first of two as new, which both may be of one
        rows = f"{with_said(rows_of(folder, [part]))} anti join seen using ({SAME})"
        connection.execute(f"create or replace temp table new as select * exclude (said) from {rows}")
        (left,) = connection.execute("delete from new where (session, seq) in (select session, seq from seen)").fetchall()[0]
        if left:
            others[part.name] = int(left)
        (count,) = connection.execute("select count(*) from new").fetchall()[0]
        if count:
            parts.append(part if count == part.rows else write_day(connection, "new", part.day, folder))
            connection.execute(f"insert into seen select {SAME} from {with_said('new')}")
    return Taken(tuple(parts), sum(part.rows for part in parts), others)
