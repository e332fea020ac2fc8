"""What is wrong with a log, and mending it: damage is named, what can be made anew is, the rest is set aside."""

from __future__ import annotations

import filecmp
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codex.core import clock, files
from codex.core.errors import WorkspaceError
from codex.sessionlog import manifest as manifests
from codex.sessionlog import rollup, schema
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.failures import compacting
from codex.sessionlog.locks import only_one
from codex.sessionlog.manifest import Manifest, Part, StoredFile
from codex.sessionlog.parts import FOLDER, rows_of, workbench, write_day, write_rollup
from codex.sessionlog.reader import LogReader, LogReport, newer
from codex.sessionlog.store import Store
from codex.sessionlog.text import TextIndex
from codex.sessionlog.writer import cannot_write, make_folder

if TYPE_CHECKING:
    import duckdb

Harm = Literal["events lost", "search incomplete", "none"]
QUARANTINE = "quarantine"
LOST = "lost-events."  # how the names of notes in quarantine/ begin that say which events were lost


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Args:
        what: a sentence.
        where: the file's path below the log's folder; empty for the log as a whole.
        harm: what it costs.
        fix: what to do.
    """

    what: str
    where: str
    harm: Harm
    fix: str


@dataclass(frozen=True)
class Examined:
    """What an examination found; `report` is None when MANIFEST cannot be read, for then nobody can say what the log is."""

    findings: tuple[Finding, ...]
    report: LogReport | None

    @property
    def ok(self) -> bool:
        """Whether nothing harms."""
        return all(finding.harm == "none" for finding in self.findings)


_REPAIR = "`codex-ml logs doctor --repair`"


def examine(folder: Path) -> Examined:
    """Read every frame, sum every part, and compare rollup and text index with the parts. Changes nothing.

    Raises:
        WorkspaceError: the log cannot be read at all.
    """
    store = Store(folder)
    if manifests.read(folder) is None:
        gone = not (folder / manifests.NAME).exists()
        text = f"MANIFEST, the list of parts, is {'missing' if gone else 'damaged'}"
        return Examined((Finding(text, manifests.NAME, "events lost", f"{_REPAIR} restores it; no event is lost by that."),), None)
    store.refresh()
    store.sum_again()
    report = store.report()
    found = [*_of_segments(report), *_of_parts(store, report), *_of_rollup(store), *_of_text(store), *_of_quarantine(folder)]
    return Examined(tuple(found), report)


def _of_segments(report: LogReport) -> Iterator[Finding]:
    for bad in report.bad:
        what = f"{bad.size:,} bytes at offset {bad.offset:,} are no whole event ({bad.reason})"
        yield Finding(what, f"segments/{bad.segment}", "events lost", "They are skipped; compaction keeps them in quarantine/.")
    for torn in report.torn:
        what = f"the writer was killed within an event at offset {torn.offset:,}; it had not been acknowledged"
        yield Finding(what, f"segments/{torn.segment}", "none", "Nothing to do.")
    if report.duplicates:
        yield Finding(f"{report.duplicates:,} events stand there twice and count once", "", "none", "Nothing to do.")
    if report.missing:
        what = f"{report.missing:,} events are missing by the numbers of their sessions"
        yield Finding(what, "", "events lost", "Restore the file that held them from a backup, if there is one.")


def _of_parts(store: Store, report: LogReport) -> Iterator[Finding]:
    rows = {part.name: part.rows for part in store.manifest.parts}
    for name in report.damaged_parts:
        if name in rows:
            what = f"the part is not what was written; its {rows[name]:,} events are not read"
            fix = f"Restore it from a backup; or {_REPAIR}, which reads its events from their segments where those are still there."
            yield Finding(what, name, "events lost", fix)
        else:
            yield Finding(
                "the rollup of sessions is not what was written", name, "none", f"{_REPAIR} makes it anew; meanwhile lists are slow."
            )


def _of_rollup(store: Store) -> Iterator[Finding]:
    file = store.manifest.sessions
    if store.damaged or file is None:
        return
    anew, kept = f"({rollup.of_events(rows_of(store.folder, store.parts))})", store.rollup()
    names = ", ".join(rollup.TYPES)
    differ = store.ask(f"select count(*) from ((select {names} from {anew}) except all (select {names} from {kept}))")[0][0]
    extra = store.ask(f"select count(*) from {kept} where id not in (select id from {anew})")[0][0]
    if differ or extra:
        what = f"{max(differ, extra):,} sessions are listed otherwise than their events say"
        yield Finding(what, file.name, "none", f"{_REPAIR} makes the list anew.")


def _of_text(store: Store) -> Iterator[Finding]:
    indexed = [part for part in store.parts if part.indexed]
    if not indexed:
        return
    index = TextIndex(store.folder)
    if index.exists() and (damage := index.damage()):
        yield Finding(f"the text index is damaged: {damage}", "text-1", "search incomplete", f"{_REPAIR} makes it anew.")
        return
    try:
        with index.in_words():
            there = int(index.open().searcher().num_docs) if index.exists() else 0
    except WorkspaceError as error:
        yield Finding(str(error), "text-1", "search incomplete", f"{_REPAIR} makes it anew.")
        return
    wanted = store.ask(f"select count(*) from {rows_of(store.folder, indexed)} where content != ''")[0][0]
    if there != wanted:
        what = f"the text index knows {there:,} of {wanted:,} texts"
        yield Finding(what, "text-1", "search incomplete", f"{_REPAIR} makes it anew.")


def _of_quarantine(folder: Path) -> Iterator[Finding]:
    for path in sorted((folder / QUARANTINE).glob("*")):
        where = f"{QUARANTINE}/{path.name}"
        if path.name.startswith(LOST):
            fix = "Restore the log from a backup, if there is one; delete this file when you have given them up."
            yield Finding(_lost(path), where, "events lost", fix)
            continue
        what = "damaged data was set aside here earlier"
        if path.suffix == ".json":
            frames = json.loads(path.read_bytes())["frames"]
            what = f"{len(frames):,} damaged frames were set aside here by compaction"
        yield Finding(what, where, "none", "Delete it when you do not need it.")


def _lost(note: Path) -> str:
    known = json.loads(note.read_bytes())
    of = f"of {len(known['parts']):,} damaged parts"
    if known["lost"] is not None:
        return f"{known['lost']:,} events {of} are lost"
    return f"events {of} may be lost, " + ("nobody knows how many" if known["rows"] is None else f"{known['rows']:,} at most")


def repair(folder: Path) -> tuple[str, ...]:
    """Mend what can be mended; gives what was done, in sentences, none when there was nothing to do.

    Raises:
        CompactorBusy: another process is compacting.
        WorkspaceError: the log cannot be written.
    """
    if not folder.is_dir():
        return ()
    try:
        with only_one(folder), compacting(folder):
            done = [*_mend_manifest(folder), *_set_damaged_parts_aside(folder)]
            done += _mend_derived(folder)
            if done:
                Compactor(folder).run()
            return tuple(done)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _mend_manifest(folder: Path) -> Iterator[str]:
    if manifests.read(folder) is not None:
        return
    state = "damaged" if (folder / manifests.NAME).exists() else "missing"
    _keep_copy(folder, folder / manifests.NAME)
    before = manifests.read_before(folder)
    if before is not None and before.generation and all((folder / part.name).is_file() for part in before.parts):
        files.write_atomic(folder / manifests.NAME, manifests.encode(before))
        yield f"MANIFEST was {state}: the one before (generation {before.generation}) is in its place."
        return
    count = _rebuild(folder)
    yield f"MANIFEST was {state}, and so was the one before: {count:,} events were read from all parts that are there."


def _rebuild(folder: Path) -> int:
    """Publish a MANIFEST of all parts that can be read, each event once; segments that are still there are compacted again.

    Until it is published, all in one step, every file stays where it is: whoever is killed meanwhile begins anew.
    """
    parts: list[Part] = []
    (folder / "scratch").mkdir(exist_ok=True)
    paths = sorted(folder.glob(f"{FOLDER}/*/*.parquet"))
    with workbench(folder / "scratch") as connection:
        connection.execute("create temp table seen (session varchar, seq bigint)")
        found_in = {path: _part_in(connection, folder, path) for path in paths}
        _set_unreadable_aside(connection, folder, [path for path, part in found_in.items() if part is None])
        for found in sorted(
            (part for part in found_in.values() if part), key=lambda part: -part.rows
        ):  # the largest first, for small ones may have become one of these
            part = _not_seen(connection, folder, found)
            if part is not None:
                connection.execute(f"insert into seen select session, seq from {rows_of(folder, [part])}")
                parts.append(part)
        sessions = write_rollup(connection, f"({rollup.of_events(rows_of(folder, parts))})", folder, 1) if parts else None
    TextIndex(folder).remove()
    manifests.publish(folder, Manifest(parts=tuple(parts), sessions=sessions))
    named = {part.name for part in parts}
    for path in paths:
        if str(path.relative_to(folder)) not in named:
            path.unlink()
    return sum(part.rows for part in parts)


def _part_in(connection: duckdb.DuckDBPyConnection, folder: Path, path: Path) -> Part | None:
    """The part that a file is, read whole; None when it cannot be read."""
    import duckdb

    try:
        version = connection.execute("select value from parquet_kv_metadata(?) where key = 'codex_schema'", [str(path)]).fetchone()
        if version is None:
            return None
        if not schema.readable(int(bytes(version[0]))):
            raise newer(path.name)
        known = manifests.stored(folder, str(path.relative_to(folder)))
        part = Part(**known.model_dump(), day=path.parent.name, rows=0, first=0, last=0, schema_version=int(bytes(version[0])))
        facts = connection.execute(
            f"select count(*), epoch_us(min(time)) / 1e6, epoch_us(max(time)) / 1e6, bit_xor(hash(r)) from {rows_of(folder, [part])} r"
        ).fetchone()
    except (duckdb.Error, ValueError):
        return None
    assert facts is not None, "an aggregate gives one row"
    return part.model_copy(update={"rows": facts[0], "first": facts[1], "last": facts[2]})


def _set_unreadable_aside(connection: duckdb.DuckDBPyConnection, folder: Path, paths: Sequence[Path]) -> None:
    import duckdb

    for path in paths:
        _keep_copy(folder, path)
        try:
            rows = connection.execute("select num_rows from parquet_file_metadata(?)", [str(path)]).fetchall()[0][0]
        except duckdb.Error:
            rows = None
        name = str(path.relative_to(folder))
        _write_note(_note_of(folder, name), [name], rows)


def _not_seen(connection: duckdb.DuckDBPyConnection, folder: Path, part: Part) -> Part | None:
    """The part without the events of the table `seen`: itself, a new one, or none."""
    new = f"(select * from {rows_of(folder, [part])} anti join seen using (session, seq))"
    count = connection.execute(f"select count(*) from {new}").fetchone()
    if count == (part.rows,):
        return part
    return None if count == (0,) else write_day(connection, new, part.day, folder)


def _set_damaged_parts_aside(folder: Path) -> Iterator[str]:
    """Take parts that are not what was written out of the log, and read what their segments still hold again."""
    store = Store(folder)
    store.refresh()
    store.sum_again()
    parts = [part for part in store.manifest.parts if part.name in store.damaged]
    if not parts:
        return
    for part in parts:
        _keep_copy(folder, folder / part.name)
    rows, note = sum(part.rows for part in parts), _note_of(folder, parts[0].name)
    _write_note(note, [part.name for part in parts], rows)
    compactor = Compactor(folder)
    left = tuple(part for part in store.manifest.parts if part not in parts)
    there = {path.name for path in LogReader(folder / "segments").paths()}
    again = {each.name for each in store.manifest.done if each.name in there}
    # One MANIFEST says all of it: with less, whoever is killed here would leave events that count twice, or not at all.
    done = tuple(each for each in store.manifest.done if each.name not in again)
    compactor.publish(parts=left, done=done, sessions=_rollup_of(compactor, left))
    for part in parts:
        (folder / part.name).unlink(missing_ok=True)
    saved = compactor.take_again(again)
    lost = rows - saved
    if lost:
        _write_note(note, [part.name for part in parts], rows, lost)
    else:
        note.unlink()
    told = f"{saved:,} events were read from segments again, {lost:,} events are lost"
    yield f"{len(parts):,} damaged parts with {rows:,} events were set aside in {QUARANTINE}/; {told}."


def _rollup_of(compactor: Compactor, parts: Sequence[Part]) -> StoredFile | None:
    """A new rollup of `parts`, synced, not yet published."""
    if not parts:
        return None
    (compactor.folder / "scratch").mkdir(exist_ok=True)
    with workbench(compactor.folder / "scratch") as connection:
        return compactor.write_rollup(connection, f"({rollup.of_events(rows_of(compactor.folder, parts))})")


def _note_of(folder: Path, part: str) -> Path:
    """Where it says what was lost with damaged parts, of which `part` is the first."""
    return folder / QUARANTINE / f"{LOST}{Path(part).stem}.json"


def _write_note(note: Path, parts: Sequence[str], rows: int | None, lost: int | None = None) -> None:
    """Say that `parts` with so many rows were damaged; `lost` is how many no segment had, None when nobody has looked yet."""
    make_folder(note.parent)
    files.write_atomic(note, json.dumps({"parts": list(parts), "rows": rows, "lost": lost}))


def _mend_derived(folder: Path) -> Iterator[str]:
    """Make the rollup and the text index anew where they are not what the parts say."""
    store = Store(folder)
    store.refresh()
    store.sum_again()
    file = store.manifest.sessions
    if (file is not None and file.name in store.damaged) or list(_of_rollup(store)):
        compactor = Compactor(folder)
        compactor.publish(sessions=_rollup_of(compactor, compactor.manifest.parts))
        yield "The list of sessions was made anew."
    if list(_of_text(store)):
        TextIndex(folder).remove()
        compactor = Compactor(folder)
        compactor.bring_text_up_to_date()
        yield "The text index was made anew."


def _keep_copy(folder: Path, path: Path) -> None:
    """Put a copy of a file into quarantine, under a name that says where it is and when that was, and leave the file."""
    if not path.exists():
        return
    home = folder / QUARANTINE
    make_folder(home)
    name = str(path.relative_to(folder)).replace("/", "-")
    if any(filecmp.cmp(path, other, shallow=False) for other in home.glob(f"{name}.*")):
        return  # whoever did this before was killed
    try:
        os.link(path, home / f"{name}.{round(clock.now())}")  # a second name needs no room
        files.fsync_folder(home)
    except OSError:
        files.write_atomic(home / f"{name}.{round(clock.now())}", path.read_bytes())
