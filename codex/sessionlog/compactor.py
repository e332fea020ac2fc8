"""Compaction: sealed segments become parts, small parts become larger ones, and what is no longer needed goes.

One compactor at a time (flock on `locks/compactor.lock`). It may be killed at every moment: files that MANIFEST does not name
are nothing, and the next compactor removes them; MANIFEST is replaced in one step, after everything that it names is on the
disk. What it stops naming is removed later, by a compactor that finds it retired for longer than `grace_seconds`: until then a
reader that began before can finish.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codex.core import clock, files
from codex.core.errors import WorkspaceError
from codex.sessionlog import leftovers, quarantine, rollup, schema
from codex.sessionlog import manifest as manifests
from codex.sessionlog.failures import compacting
from codex.sessionlog.frames import Damage
from codex.sessionlog.locks import is_locked
from codex.sessionlog.manifest import GRACE_SECONDS, Manifest, Part, Retired, StoredFile
from codex.sessionlog.numbers import SAME, with_said
from codex.sessionlog.parts import (
    are_repeated,
    days_of,
    mergeable,
    others_of,
    quoted,
    read_segments,
    rows_of,
    workbench,
    write_day,
    write_rollup,
)
from codex.sessionlog.reader import LogReader
from codex.sessionlog.text import IndexDamaged, TextIndex
from codex.sessionlog.writer import cannot_write, make_folder

if TYPE_CHECKING:
    import duckdb

BATCH_BYTES: Final = 256 * 2**20
SMALL_ROWS: Final = 1_000_000
MERGE_BYTES: Final = 256 * 2**20  # what is merged at once; DuckDB, which may take 1 GiB, holds it more than once
MERGE_AT: Final = 4  # this many small parts of one day become one


@dataclass(frozen=True)
class Compacted:
    """What one compaction did.

    Args:
        segments: sealed segments that became parts.
        events: their events.
        merged: parts that went into larger ones.
        damaged: frames that were set aside, in `quarantine/`.
        removed: files that nobody needs any more.
        unmerged: why small parts stayed as they are, when that failed; empty when it did not.
    """

    segments: int = 0
    events: int = 0
    merged: int = 0
    damaged: int = 0
    removed: int = 0
    unmerged: str = ""


class Compactor:
    """Works on one log; hold `locks.only_one` while you use it.

    Args:
        folder: the log's.
        grace_seconds: how long files that were replaced are kept for readers that began before.
    """

    def __init__(self, folder: Path, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self.folder = folder
        self._grace = grace_seconds
        self._segments = folder / "segments"
        self._scratch = folder / "scratch"
        self.text = TextIndex(folder)
        self._text_checked = False
        known = manifests.read(folder)
        if known is None:
            raise manifests.damaged(folder)
        self.manifest: Manifest = known

    def run(self) -> Compacted:
        """Compact what is sealed, merge what is small, bring the text index up to date, and remove what is no longer needed.

        Raises:
            WorkspaceError: the disk is full or fails; the log is as it was after the last step that succeeded.
        """
        try:
            self.clear_leftovers()
            done = Compacted()
            with compacting(self.folder), workbench(self._scratch) as connection:
                self._mend_rollup(connection)
                self.take_back_restored()
                for batch in self._batches(self._sealed()):
                    events, damaged = self._take(connection, batch)
                    done = Compacted(done.segments + len(batch), done.events + events, damaged=done.damaged + damaged)
                merged, unmerged = self._merge(connection)
                self.bring_text_up_to_date()
            removed = self.remove_retired()
            return Compacted(done.segments, done.events, merged, done.damaged, removed, unmerged)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise in_the_way(self.folder, error) from error
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    # --- what nobody names ---

    def clear_leftovers(self) -> None:
        """Remove what a compactor that died had begun: see `leftovers.clear`."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        for home in (self.folder, self.folder / quarantine.NAME):
            for begun in home.glob(".*.tmp"):  # only who has the lock writes such
                begun.unlink(missing_ok=True)
        leftovers.clear(self.folder, self.manifest)

    def take_back_restored(self) -> int:
        """Count segments that were put back with events that no part has as not compacted; gives how many."""
        back = {path.name for path in leftovers.restored(self.folder, self.manifest)}
        if back:
            self._publish(done=tuple(each for each in self.manifest.done if each.name not in back))
        return len(back)

    # --- segments become parts ---

    def _batches(self, paths: Sequence[Path]) -> Iterator[list[Path]]:
        """Segments, in groups that fit in memory."""
        batch: list[Path] = []
        size = 0
        for path in paths:
            batch.append(path)
            size += path.stat().st_size
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _sealed(self) -> list[Path]:
        """Segments, the oldest first, that nobody will write to any more: their writer has closed them, or is dead."""
        done = {each.name for each in self.manifest.done}
        found = [path for path in LogReader(self._segments).paths() if path.name not in done]
        return [path for path in found if schema.readable(schema.version_of(path.name)) and not _growing(path)]

    def _take(self, connection: duckdb.DuckDBPyConnection, batch: Sequence[Path]) -> tuple[int, int]:
        if not self.manifest.generation:
            self._publish()  # from now on parts without a MANIFEST say that it was lost
        states = {path: path.stat() for path in batch}
        damaged = read_segments(connection, batch, self._scratch)
        self._drop_compacted(connection, batch)
        self._quarantine(damaged)
        parts = [write_day(connection, "fresh", day, self.folder) for day in days_of(connection, "fresh")]
        sessions = self._roll(connection, parts)
        now = clock.now()
        self._publish(
            parts=(*self.manifest.parts, *parts),
            sessions=sessions,
            done=(
                *self.manifest.done,
                *(Retired(name=path.name, since=now, size=state.st_size, modified=state.st_mtime_ns) for path, state in states.items()),
            ),
        )
        return sum(part.rows for part in parts), len(damaged)

    def _drop_compacted(self, connection: duckdb.DuckDBPyConnection, batch: Sequence[Path]) -> None:
        """Leave out events that a part has already: a segment may have been copied, or come late. Others of their numbers are set aside."""
        there = self._compacted_late(connection)
        if there is None and not are_repeated(connection):
            return
        connection.execute(f"create or replace temp table there as select {SAME} from {with_said(there or rows_of(self.folder, ()))}")
        connection.execute(f"delete from fresh where (session, seq, time, hash(role, content)) in (select {SAME} from there)")
        others = others_of(connection)
        for source, events in others.items():
            quarantine.keep_others(self.folder, batch[source], events)
        if others:
            connection.execute("delete from fresh where rowid in (select id from others)")

    def _compacted_late(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        """SQL for the compacted events of the sessions that have some of `fresh` before their end; None when there are none."""
        if not self.manifest.parts:
            return None
        connection.execute(
            f"create or replace temp table late as select r.id, r.started, r.last from {self._rollup()} r"
            " join (select session, min(seq) as least from fresh group by session) f on r.id = f.session and f.least <= r.last_seq"
        )
        span = connection.execute("select epoch_us(min(started)) / 1e6, epoch_us(max(last)) / 1e6 from late").fetchone()
        assert span is not None, "an aggregate gives one row"
        if span[0] is None:
            return None
        parts = [part for part in self.manifest.parts if part.last >= span[0] and part.first <= span[1]]
        for part in parts:
            if not manifests.looks_intact(self.folder, part) and not manifests.is_intact(self.folder, part):
                raise damaged_part(part.name)
        rows = rows_of(self.folder, parts)
        return f"(select * from {rows} where session in (select id from late))"

    def _rollup(self) -> str:
        file = self.manifest.sessions
        return self._rollup_of_parts() if file is None else f"read_parquet({quoted(str(self.folder / file.name))})"

    def _rollup_of_parts(self) -> str:
        """SQL for the rollup, made from the parts, which are what counts: a rollup may be missing or damaged."""
        for part in self.manifest.parts:
            if not manifests.looks_intact(self.folder, part):
                raise damaged_part(part.name)
        rows = rows_of(self.folder, self.manifest.parts)
        return f"({rollup.of_events(rows)})" if self.manifest.parts else rollup.empty()

    def _mend_rollup(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the rollup anew when it is not what was written."""
        file = self.manifest.sessions
        if self.manifest.parts and (file is None or not manifests.is_intact(self.folder, file)):
            self._publish(sessions=self.write_rollup(connection, self._rollup_of_parts()))

    def _quarantine(self, damaged: Sequence[tuple[Path, Damage]]) -> None:
        """Keep what was skipped, byte for byte, for whoever wants to look."""
        import json

        by_segment: dict[Path, list[dict[str, object]]] = {}
        for path, damage in damaged:
            with open(path, "rb") as file:
                file.seek(damage.offset)
                raw = base64.b64encode(file.read(damage.size)).decode()
            by_segment.setdefault(path, []).append({"offset": damage.offset, "size": damage.size, "reason": damage.reason, "base64": raw})
        for path, entries in by_segment.items():
            make_folder(self.folder / "quarantine")
            files.write_atomic(self.folder / "quarantine" / f"{path.name}.json", json.dumps({"segment": path.name, "frames": entries}))

    def _roll(self, connection: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> StoredFile | None:
        """Write the rollup of what is published and of `parts`."""
        if not parts:
            return self.manifest.sessions
        fresh = rollup.of_events(rows_of(self.folder, parts))
        return self.write_rollup(connection, f"(select * from {self._rollup()} union all by name {fresh})")

    def write_rollup(self, connection: duckdb.DuckDBPyConnection, rows: str) -> StoredFile:
        """See `parts.write_rollup`."""
        return write_rollup(connection, rows, self.folder, self.manifest.generation + 1)

    def _publish(self, *, gone: Collection[str] = (), **changes: object) -> None:
        """Publish the manifest with `changes`; files that it stops naming are retired, but for those `gone` that the caller removes."""
        wanted = self.manifest.model_copy(update=changes)
        before = [*self.manifest.parts, *((self.manifest.sessions,) if self.manifest.sessions else ())]
        after = {file.name for file in (*wanted.parts, *((wanted.sessions,) if wanted.sessions else ()))}
        now = clock.now()
        retired = tuple(Retired(name=file.name, since=now) for file in before if file.name not in (*after, *gone))
        self.manifest = manifests.publish(self.folder, wanted.model_copy(update={"retired": (*wanted.retired, *retired)}))

    publish = _publish

    # --- small parts become large ---

    def _merge(self, connection: duckdb.DuckDBPyConnection) -> tuple[int, str]:
        """Merge small parts; gives how many, and why it failed when it did: that is no reason to leave everything else undone."""
        merged, unmerged = 0, ""
        connection.execute("drop table if exists fresh")  # it takes memory that a merge needs
        for day in sorted({part.day for part in self.manifest.parts}):
            try:
                with compacting(self.folder):
                    merged += self._merge_day(connection, day)
            except OSError as error:
                unmerged = str(cannot_write(self.folder, error))
            except WorkspaceError as error:
                unmerged = str(error)
            connection.execute("drop table if exists merging")
        return merged, unmerged

    def _merge_day(self, connection: duckdb.DuckDBPyConnection, day: str) -> int:
        small = [part for part in self.manifest.parts if part.day == day and part.rows < SMALL_ROWS]
        merged = 0
        for group in mergeable(connection, self.folder, small, least=MERGE_AT, limit=MERGE_BYTES) if len(small) >= MERGE_AT else ():
            self.bring_text_up_to_date()
            names = {part.name for part in group}
            parts = [part for part in self.manifest.parts if part.name in names]
            self.replace(connection, day, parts, rows_of(self.folder, parts))
            merged += len(parts)
        return merged

    def replace(self, connection: duckdb.DuckDBPyConnection, day: str, old: Sequence[Part], rows: str) -> None:
        """Put `rows` in the place of the parts `old` of a day, whose sums are checked first, lest damage be written anew."""
        for part in old:
            if manifests.sha256(self.folder / part.name) != part.sha256:
                raise damaged_part(part.name)
        connection.execute(f"create or replace temp table merging as select * from {rows}")
        names = {part.name for part in old}
        kept = [part for part in self.manifest.parts if part.name not in names]
        empty = connection.execute("select count(*) from merging").fetchone() == (0,)
        new = [] if empty else [write_day(connection, "merging", day, self.folder)]
        new = [part.model_copy(update={"indexed": all(each.indexed for each in old)}) for part in new]
        connection.execute("drop table merging")
        self._publish(parts=(*kept, *new))

    # --- text ---

    def bring_text_up_to_date(self) -> None:
        """Put the rows of every part that the text index lacks into it; a damaged one is made anew from the parts."""
        nothing = not any(part.indexed for part in self.manifest.parts)  # then whatever stands there is of parts that are gone
        if not self._text_checked and (nothing or not self.text.exists() or self.text.damage() is not None):
            self.forget_text()
        self._text_checked = True
        try:
            self._index_waiting()
        except IndexDamaged:  # in a way that no sum tells
            self.forget_text()
            self._index_waiting()

    def forget_text(self) -> None:
        """Remove the text index, after MANIFEST says of no part that it is in there."""
        if any(part.indexed for part in self.manifest.parts):
            self._publish(parts=tuple(part.model_copy(update={"indexed": False}) for part in self.manifest.parts))
        self.text.remove()

    def _index_waiting(self) -> None:
        waiting = [part for part in self.manifest.parts if not part.indexed]
        if not waiting:
            return
        with self.text.writing() as writing:
            for part in waiting:
                writing.add(part)
        names = {part.name for part in waiting}
        self._publish(
            parts=tuple(part.model_copy(update={"indexed": True}) if part.name in names else part for part in self.manifest.parts)
        )

    # --- what nobody needs any more ---

    def remove_retired(self) -> int:
        """Remove files that were retired before the newest MANIFEST and longer ago than the grace; gives how many."""
        if not all(manifests.looks_intact(self.folder, part) or manifests.is_intact(self.folder, part) for part in self.manifest.parts):
            return 0  # what was replaced may be all that is left of the events of a part
        now = clock.now()
        before = manifests.read_before(self.folder) or Manifest()
        known = {each.name for each in (*before.done, *before.retired)}
        if any(self._due(each, now) and each.name not in known for each in (*self.manifest.done, *self.manifest.retired)):
            self._publish()  # else it would stay for as long as nothing else is published
            before = manifests.read_before(self.folder) or Manifest()
        old_done = {each.name for each in before.done}
        old_retired = {each.name for each in before.retired}
        done = [each for each in self.manifest.done if self._due(each, now) and each.name in old_done]
        retired = [each for each in self.manifest.retired if self._due(each, now) and each.name in old_retired]
        if not done and not retired:
            return 0
        for each in done:
            (self._segments / each.name).unlink(missing_ok=True)
        for each in retired:
            (self.folder / each.name).unlink(missing_ok=True)
        homes = {(self.folder / each.name).parent for each in retired}
        for home in (homes | {self._segments}) if done else homes:
            if home.is_dir():  # what a power loss brought back would be in no MANIFEST
                files.fsync_folder(home)
        self._publish(
            done=tuple(each for each in self.manifest.done if each not in done),
            retired=tuple(each for each in self.manifest.retired if each not in retired),
        )
        return len(done) + len(retired)

    def _due(self, file: Retired, now: float) -> bool:
        """Whether the grace is over; a time further ahead than the grace was taken by a clock that ran ahead."""
        return abs(now - file.since) >= self._grace


def _growing(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def in_the_way(folder: Path, error: OSError) -> WorkspaceError:
    """What it is called when a file stands where a folder of the log should be, or a folder where a file should."""
    return WorkspaceError(
        f"the session log in {str(folder)!r} cannot be compacted ({error.strerror or error}: {error.filename2 or error.filename!r})",
        "expected no other program's files among its own",
        "Have it moved out of the way: `codex-ml logs doctor --repair`.",
    )


def damaged_part(name: str) -> WorkspaceError:
    """What a part that is not what was published is called."""
    return WorkspaceError(
        f"the part {name!r} of the session log is damaged",
        "expected the bytes that were published",
        "See what can be saved: `codex-ml logs doctor`.",
    )
