"""Parts that MANIFEST does not name: what a killed compactor left, or, when MANIFEST is lost or an old one, events.

A leftover's events all stand elsewhere too, in parts that are named or in segments that are not done; so it may go. A part with an
event that nothing else has is an orphan: it is never removed, and `codex-ml logs doctor --repair` takes it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codex.core.errors import WorkspaceError
from codex.sessionlog import manifest as manifests
from codex.sessionlog import quarantine, schema
from codex.sessionlog.manifest import Manifest, Part
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
    """How many events of a part stand neither in an intact part that is named nor in a segment that is not done."""
    others = [each for each in store.between(part.first, part.last) if manifests.is_intact(store.folder, each)]
    keys = store.ask(
        f"select session, seq from {rows_of(store.folder, [part])} anti join {rows_of(store.folder, others)} using (session, seq)"
    )
    return sum(store.live.one(session, seq) is None for session, seq in keys)


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
            "Take them in: `codex-ml logs doctor --repair`. No event is lost by that.",
        )
    for path in found.leftovers:
        path.unlink(missing_ok=True)
    for path in found.unreadable:
        quarantine.set_aside(folder, path)


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


def taken_in(connection: duckdb.DuckDBPyConnection, folder: Path, named: Sequence[Part], found: Sequence[Part]) -> list[Part]:
    """Parts of the events of `found` that `named` lack, each once: these files, or new ones that are synced and not yet published."""
    first, last = min((part.first for part in found), default=0), max((part.last for part in found), default=0)
    near = [part for part in named if part.last >= first and part.first <= last]
    connection.execute(f"create or replace temp table seen as select session, seq from {rows_of(folder, near)}")
    taken: list[Part] = []
    for each in sorted(found, key=lambda part: -part.rows):  # the largest first, for small ones may have become one of these
        part = _not_seen(connection, folder, each)
        if part is not None:
            connection.execute(f"insert into seen select session, seq from {rows_of(folder, [part])}")
            taken.append(part)
    return taken


def _not_seen(connection: duckdb.DuckDBPyConnection, folder: Path, part: Part) -> Part | None:
    """The part without the events of the table `seen`: itself, a new one, or none."""
    new = f"(select * from {rows_of(folder, [part])} anti join seen using (session, seq))"
    count = connection.execute(f"select count(*) from {new}").fetchone()
    if count == (part.rows,):
        return part
    return None if count == (0,) else write_day(connection, new, part.day, folder)
