"""Mending a log: what can be made anew is, the rest is set aside; a repair may be killed at any moment, and the next one goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codex.core import files
from codex.sessionlog import leftovers, losses, numbers, quarantine, rollup, schema
from codex.sessionlog import manifest as manifests
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.examination import Examined, Finding, examine, of_rollup, of_text
from codex.sessionlog.failures import compacting
from codex.sessionlog.leftovers import Unnamed
from codex.sessionlog.locks import nobody_begins, only_one
from codex.sessionlog.manifest import Manifest, Part, StoredFile
from codex.sessionlog.parts import FOLDER, quoted, rows_of, sum_in_name, workbench, write_day, write_rollup
from codex.sessionlog.quarantine import Note
from codex.sessionlog.query import EventTable
from codex.sessionlog.reader import LogReader
from codex.sessionlog.store import Store
from codex.sessionlog.text import TextIndex
from codex.sessionlog.writer import cannot_write

if TYPE_CHECKING:
    import duckdb

__all__ = ["Examined", "Finding", "examine", "give_up", "repair"]


def repair(folder: Path) -> tuple[str, ...]:
    """Mend what can be mended; gives what was done, in sentences, none when there was nothing to do.

    Raises:
        CompactorBusy: another process is compacting.
        WorkspaceError: the log cannot be written, or a newer Codex wrote it.
    """
    if not folder.is_dir():
        return ()
    try:
        with only_one(folder), compacting(folder):
            known = manifests.read(folder), manifests.read_before(folder)  # what a newer Codex wrote is refused before anything moves
            done = [*_move_strays(folder), *_mend_manifest(folder, *known)]
            _forget_gone(folder)
            done += [*_mend_parts(folder), *_take_restored(folder), *losses.count_lost(folder)]
            done += _mend_derived(folder)
            if done:
                Compactor(folder).run()
            _keep_to_missing(folder)
            return tuple(done)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(folder / "scratch", ignore_errors=True)


def give_up(folder: Path) -> tuple[str, ...]:
    """Take for given up what is lost now: it is told, and is an alarm no longer. What is lost later is one again.

    Nothing is removed, and what comes back from a backup is taken in all the same.

    Returns:
        What was given up, in sentences; none when nothing is lost.

    Raises:
        CompactorBusy: another process is compacting.
        WorkspaceError: the log cannot be read or written.
    """
    if not folder.is_dir():
        return ()
    try:
        with only_one(folder):
            store = losses.looked_at(folder)
            missing = store.missing()
            count = store.report().missing
            numbers.give_up(folder, missing)
            done = [f"{count:,} events that are missing by the numbers of their sessions were given up."] if count else []
            return (*done, *(f"What {path.name!r} tells of was given up." for path in quarantine.give_up(folder)))
    except OSError as error:
        raise cannot_write(folder, error) from error


def _keep_to_missing(folder: Path) -> None:
    """Let what came back be no longer given up: should it be lost again, it is told."""
    known = numbers.given_up(folder)
    if known:
        missing = losses.looked_at(folder).missing()
        left = {session: min(count, missing.get(session, 0)) for session, count in known.items()}
        numbers.give_up(folder, {session: count for session, count in left.items() if count})


def _move_strays(folder: Path) -> Iterator[str]:
    for path, what in quarantine.strays(folder):
        quarantine.set_aside(folder, path)
        yield f"{str(path.relative_to(folder))!r}, {what}, was moved into {quarantine.NAME}/."
    for path in numbers.damaged(folder):
        quarantine.set_aside(folder, path)
        yield f"{path.name!r}, which could not be read, was moved into {quarantine.NAME}/."


def _take_restored(folder: Path) -> Iterator[str]:
    count = Compactor(folder).take_back_restored()
    if count:
        yield f"{count:,} segments that were put back are compacted again."


# --- MANIFEST ---


def _mend_manifest(folder: Path, known: Manifest | None, before: Manifest | None) -> Iterator[str]:
    if known is not None:
        return
    state = manifests.problem(folder)
    quarantine.keep_copy(folder, folder / manifests.NAME)
    if before is not None:
        files.write_atomic(folder / manifests.NAME, manifests.encode(before))
        yield f"MANIFEST was {state}: the one before (generation {before.generation}) is in its place."
        return
    count, unsummed = _rebuild(folder)
    told = f"; {unsummed:,} of these, of an earlier form, have no sum to compare them with" if unsummed else ""
    yield f"MANIFEST was {state}, and so was the one before: {count:,} events were read from all parts that are there{told}."


def _rebuild(folder: Path) -> tuple[int, int]:
    """Publish a MANIFEST of all parts that can be read, each event once; segments that are still there are compacted again.

    Until it is published, all in one step, every file stays where it is: whoever is killed meanwhile begins anew.

    Returns:
        How many events there are, and of how many parts nobody can say whether they are what was written.
    """
    (folder / "scratch").mkdir(exist_ok=True)
    paths = sorted(path for path in folder.glob(f"{FOLDER}/*/*.parquet") if path.is_file())
    newest = max((path for path in folder.glob("sessions-*.parquet") if path.is_file()), default=None)
    with workbench(folder / "scratch") as connection:
        found = {path: leftovers.part_in(connection, folder, path) for path in paths}
        unreadable = [path for path, part in found.items() if part is None]
        for path in unreadable:
            _keep_unreadable(folder, path, leftovers.rows_in_footer(connection, path))
        taken = leftovers.taken_in(connection, folder, (), [part for part in found.values() if part])
        parts = taken.parts
        if newest is not None:
            numbers.keep(folder, losses.last_numbers(connection, f"read_parquet({quoted(str(newest))})", _rolled(folder, parts)))
        sessions = write_rollup(connection, _rolled(folder, parts), folder, 1) if parts else None
    _keep_others(folder, taken)
    TextIndex(folder).remove()
    manifests.publish(folder, Manifest(parts=tuple(parts), sessions=sessions))
    if newest is not None:
        losses.note_rollup(folder, newest, [str(path.relative_to(folder)) for path in unreadable])
    _remove_unnamed(folder, paths, parts)
    return sum(part.rows for part in parts), sum(not sum_in_name(part.name) for part in parts)


def _keep_unreadable(folder: Path, path: Path, rows: int | None) -> None:
    """Keep a copy of a part that cannot be read, and say that its events may be lost."""
    quarantine.keep_copy(folder, path)
    quarantine.write(folder, Note(parts=(str(path.relative_to(folder)),), rows=rows, lost=None))


def _keep_others(folder: Path, taken: leftovers.Taken) -> None:
    for name, events in taken.others.items():
        quarantine.keep_others(folder, folder / name, events)


def _remove_unnamed(folder: Path, paths: Sequence[Path], parts: Sequence[Part]) -> None:
    """Remove files whose events are in `parts` now, or of which there is a copy."""
    named = {part.name for part in parts}
    for path in paths:
        if str(path.relative_to(folder)) not in named:
            path.unlink(missing_ok=True)


def _forget_gone(folder: Path) -> None:
    """Have the MANIFEST before name no part that a repair which was killed took out, lest it be overlooked when it comes back."""
    before, now = manifests.read_before(folder) or Manifest(), manifests.read(folder) or Manifest()
    known = {file.name for file in (*now.parts, *now.retired)}
    if any(part.name not in known for part in before.parts):
        Compactor(folder).publish()


# --- parts ---


def _mend_parts(folder: Path) -> Iterator[str]:
    """Take parts that are not what was written out of the log, and those that MANIFEST does not know of in."""
    store = losses.looked_at(folder)
    bad = [part for part in store.manifest.parts if part.name in store.damaged]
    found = leftovers.look(store)
    for path in found.unreadable:
        yield _move_unreadable(store, path)
    if bad:
        losses.note_parts(store, bad)
    if not bad and not found.orphans:
        return
    for _, note in quarantine.notes(folder) if found.orphans else ():
        if note.lost is not None and note.spans:
            quarantine.write(folder, note.model_copy(update={"lost": None}))  # some may be among what comes back
    taken = _publish_mended(store, bad, found)
    if found.orphans:
        yield f"MANIFEST did not know of {len(found.orphans):,} parts: {taken.events:,} events were taken in."
    if taken.others:
        count = sum(taken.others.values())
        yield f"{count:,} events have numbers that others have in the log by now; they are kept in {quarantine.NAME}/, and not in the log."


def _move_unreadable(store: Store, path: Path) -> str:
    """Move what is no whole part and not in MANIFEST away, and note what may be lost with it; gives what was done, in a sentence."""
    name = str(path.relative_to(store.folder))
    if quarantine.copy_of(store.folder, path) is not None:  # of a repair that was killed, or as damaged in a backup: it is noted
        path.unlink()
        return f"{name!r}, of which {quarantine.NAME}/ has a copy, was removed."
    rows = leftovers.rows_in_footer(store.cursor(), path)
    if rows is not None:  # what has no end was never a part of anything
        quarantine.write(store.folder, Note(parts=(name,), rows=rows, lost=None))
    quarantine.set_aside(store.folder, path)
    return f"{name!r}, which is no whole part and not in MANIFEST, was moved into {quarantine.NAME}/."


def _publish_mended(store: Store, bad: Sequence[Part], found: Unnamed) -> leftovers.Taken:
    """Publish MANIFEST without `bad`, with the events of orphans; segments that may hold events of `bad` are no longer done.

    One MANIFEST says all of it: with less, whoever is killed here would leave events that count twice, or not at all.

    Returns:
        What was taken in of the orphans.
    """
    with nobody_begins(store.folder / "locks"):  # whoever begins meanwhile would be given numbers that come back
        store.refresh()
        store.sum_again()
        return _publish_while_nobody_begins(store, bad, found)


def _publish_while_nobody_begins(store: Store, bad: Sequence[Part], found: Unnamed) -> leftovers.Taken:
    folder, compactor = store.folder, Compactor(store.folder)
    left = [part.model_copy(update={"indexed": False}) for part in store.manifest.parts if part not in bad]
    there = {path.name for path in LogReader(folder / "segments").paths()} if bad else set[str]()
    done = tuple(each for each in store.manifest.done if each.name not in there)
    (folder / "scratch").mkdir(exist_ok=True)
    with workbench(folder / "scratch") as connection:
        connection.register("live_event_rows", EventTable(store.live).update())
        live = f"(select session, seq, {schema.INSTANT} as time, role, content from live_event_rows)"
        came = [*(part for part, _ in found.orphans), *_replaced(connection, store, bad)]
        taken = leftovers.taken_in(connection, folder, left, came, live)
        parts = [*left, *taken.parts]
        sessions = _rollup_of(connection, compactor, parts)
        if bad:
            numbers.keep(folder, losses.last_numbers(connection, store.rollup(), _rolled(folder, parts)))
    _keep_others(folder, taken)
    compactor.text.remove()  # it has words of parts that go, and nobody could tell which
    # What may come back from a backup under its old name must not go as something that was replaced.
    compactor.publish(parts=tuple(parts), done=done, sessions=sessions, gone={part.name for part in bad})
    _remove_unnamed(folder, [folder / part.name for part in (*bad, *came)], parts)
    if bad:
        compactor.publish()  # now the MANIFEST before names none of them either, and what comes back at once is seen
    return taken


def _replaced(connection: duckdb.DuckDBPyConnection, store: Store, bad: Sequence[Part]) -> list[Part]:
    """New parts of what parts hold that were replaced, by one of `bad` perhaps, and are still there; without sessions that were purged."""
    file = store.manifest.sessions
    if not bad or file is None or file.name in store.damaged:  # then nobody knows what was purged
        return []
    found: list[Part] = []
    for retired in store.manifest.retired:
        part = leftovers.part_in(connection, store.folder, store.folder / retired.name) if retired.name.startswith(f"{FOLDER}/") else None
        if part is None or not any(part.first <= each.last and part.last >= each.first for each in bad):
            continue
        kept = f"select * from {rows_of(store.folder, [part])} where session in (select id from {store.rollup()})"
        connection.execute(f"create or replace temp table kept as {kept}")
        if connection.execute("select count(*) from kept").fetchone() != (0,):
            found.append(write_day(connection, "kept", part.day, store.folder))
    return found


def _rollup_of(connection: duckdb.DuckDBPyConnection, compactor: Compactor, parts: Sequence[Part]) -> StoredFile | None:
    """A new rollup of `parts`, synced, not yet published."""
    return compactor.write_rollup(connection, _rolled(compactor.folder, parts)) if parts else None


def _rolled(folder: Path, parts: Sequence[Part]) -> str:
    """SQL for the rollup of `parts`."""
    return f"({rollup.of_events(rows_of(folder, parts))})"


# --- what is made from parts ---


def _mend_derived(folder: Path) -> Iterator[str]:
    """Make the rollup and the text index anew where they are not what the parts say."""
    store = losses.looked_at(folder)
    file = store.manifest.sessions
    if (file is not None and file.name in store.damaged) or list(of_rollup(store)):
        compactor = Compactor(folder)
        (folder / "scratch").mkdir(exist_ok=True)
        with workbench(folder / "scratch") as connection:
            compactor.publish(sessions=_rollup_of(connection, compactor, compactor.manifest.parts))
        yield "The list of sessions was made anew."
    if list(of_text(store)):
        TextIndex(folder).remove()
        compactor = Compactor(folder)
        compactor.bring_text_up_to_date()
        yield "The text index was made anew."
