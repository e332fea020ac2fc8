"""What is wrong with a log: each thing is named, with what it costs and what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from codex.core.errors import WorkspaceError
from codex.sessionlog import manifest as manifests
from codex.sessionlog import numbers, quarantine, rollup
from codex.sessionlog.leftovers import look, restored
from codex.sessionlog.parts import rows_of
from codex.sessionlog.reader import LogReport
from codex.sessionlog.store import Store
from codex.sessionlog.text import TextIndex

Harm = Literal["events lost", "search incomplete", "given up", "none"]
LOOKS: Final = 5
"""How often a log that changes meanwhile is looked at, at most."""
PAUSE_SECONDS: Final = 0.2
"""A pause before a text index counts as incomplete, for what goes into it is there a moment before MANIFEST says so."""
REPAIR: Final = "`codex-ml logs doctor --repair`"
GIVE_UP: Final = "`codex-ml logs doctor --give-up`"
_RESTORE: Final = f"Restore the log from a backup, if there is one; delete this file when you have them again; or {GIVE_UP}."
_NOT_NEEDED: Final = "Delete it when you do not need it."


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
        """Whether nothing harms, but for what was given up."""
        return all(finding.harm in ("none", "given up") for finding in self.findings)

    @property
    def given_up(self) -> bool:
        """Whether something was lost and given up."""
        return any(finding.harm == "given up" for finding in self.findings)


def examine(folder: Path) -> Examined:
    """Read every frame, sum every part, and compare rollup and text index with the parts. Changes nothing.

    What it finds in a log that is compacted or purged meanwhile may be no harm: then it looks again, a few times at most.

    Raises:
        WorkspaceError: the log cannot be read at all, or a newer Codex wrote it.
    """
    for _ in range(LOOKS - 1):
        before = _state(folder)
        try:
            found = _look(folder)
        except WorkspaceError:
            if _state(folder) == before:
                raise
            continue
        if any(finding.harm == "search incomplete" for finding in found.findings):
            time.sleep(PAUSE_SECONDS)
        if found.ok or _state(folder) == before:
            return found
    return _look(folder)


def _state(folder: Path) -> object:
    """What changes with MANIFEST."""
    try:
        state = (folder / manifests.NAME).stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size


def _look(folder: Path) -> Examined:
    store = Store(folder)
    around = [*_of_strays(folder), *_of_quarantine(folder)]
    if manifests.read(folder) is None:
        text = f"MANIFEST, the list of parts, is {manifests.problem(folder)}"
        fix = f"{REPAIR} restores it; no event is lost by that."
        return Examined((Finding(text, manifests.NAME, "events lost", fix), *around), None)
    store.refresh()
    store.sum_again()
    report = store.report()
    of_files = [*_of_segments(report), *_of_parts(store, report), *_of_unnamed(store)]
    return Examined((*of_files, *_of_restored(store), *of_rollup(store), *of_text(store), *around), report)


def _of_segments(report: LogReport) -> Iterator[Finding]:
    for bad in report.bad:
        what = f"{bad.size:,} bytes at offset {bad.offset:,} are no whole event ({bad.reason})"
        yield Finding(what, f"segments/{bad.segment}", "events lost", "They are skipped; compaction keeps them in quarantine/.")
    for torn in report.torn:
        what = f"the writer was killed within an event at offset {torn.offset:,}; it had not been acknowledged"
        yield Finding(what, f"segments/{torn.segment}", "none", "Nothing to do.")
    if report.duplicates:
        yield Finding(f"{report.duplicates:,} events stand there twice and count once", "", "none", "Nothing to do.")
    if report.others:
        what = f"{report.others:,} events have numbers that others have in the log, and are not read"
        yield Finding(what, "", "events lost", "`codex-ml logs compact` keeps their file in quarantine/, for whoever wants to look.")
    if report.missing:
        what = f"{report.missing:,} events are missing by the numbers of their sessions"
        fix = f"Restore the file that held them from a backup, if there is one, and have {REPAIR} take it in; or {GIVE_UP}."
        yield Finding(what, "", "events lost", fix)
    if report.given_up:
        what = f"{report.given_up:,} events are missing by the numbers of their sessions"
        yield Finding(what, numbers.GIVEN_UP, "given up", "Nothing to do.")


def _of_parts(store: Store, report: LogReport) -> Iterator[Finding]:
    rows = {part.name: part.rows for part in store.manifest.parts}
    for name in report.damaged_parts:
        if name in rows:
            state = "not what was written" if (store.folder / name).exists() else "missing"
            what = f"the part is {state}; its {rows[name]:,} events are not read"
            fix = f"Restore it from a backup; or {REPAIR}, which reads its events from their segments where those are still there."
            yield Finding(what, name, "events lost", fix)
        else:
            yield Finding(
                "the rollup of sessions is not what was written", name, "none", f"{REPAIR} makes it anew; meanwhile lists are slow."
            )


def _of_unnamed(store: Store) -> Iterator[Finding]:
    found = look(store)
    for part, count in found.orphans:
        what = f"{count:,} events stand in a part that MANIFEST does not know of, as if it were an old one"
        fix = f"{REPAIR} takes them in; or, where a purge had removed them, delete the file. Meanwhile nothing is compacted."
        yield Finding(what, part.name, "events lost", fix)
    for path in found.unreadable:
        what = "this is no whole part, and MANIFEST does not name it"
        yield Finding(what, str(path.relative_to(store.folder)), "none", f"{REPAIR} sets it aside in {quarantine.NAME}/.")


def _of_restored(store: Store) -> Iterator[Finding]:
    for path in restored(store.folder, store.manifest):
        what = "this segment was put back since it was compacted, and has events that the log lacks"
        yield Finding(what, f"segments/{path.name}", "events lost", f"{REPAIR} has it compacted again.")


def of_rollup(store: Store) -> Iterator[Finding]:
    """Whether the rollup says of each session what the parts say."""
    file = store.manifest.sessions
    if store.damaged or file is None:
        return
    anew, kept = f"({rollup.of_events(rows_of(store.folder, store.parts))})", store.rollup()
    names = ", ".join(rollup.TYPES)
    differ = store.ask(f"select count(*) from ((select {names} from {anew}) except all (select {names} from {kept}))")[0][0]
    extra = store.ask(f"select count(*) from {kept} where id not in (select id from {anew})")[0][0]
    if differ or extra:
        what = f"{max(differ, extra):,} sessions are listed otherwise than their events say"
        yield Finding(what, file.name, "none", f"{REPAIR} makes the list anew.")


def of_text(store: Store) -> Iterator[Finding]:
    """Whether the text index knows as many texts as the parts that are in it."""
    indexed = [part for part in store.parts if part.indexed]
    index = TextIndex(store.folder)
    if not indexed and not index.exists():
        return
    if index.exists() and (damage := index.damage()):
        yield Finding(f"the text index is damaged: {damage}", "text-1", "search incomplete", f"{REPAIR} makes it anew.")
        return
    try:
        with index.in_words():
            there = int(index.open().searcher().num_docs) if index.exists() else 0
    except WorkspaceError as error:
        yield Finding(str(error), "text-1", "search incomplete", f"{REPAIR} makes it anew.")
        return
    wanted = store.ask(f"select count(*) from {rows_of(store.folder, indexed)} where content != ''")[0][0]
    if there != wanted:
        what = f"the text index knows {there:,} of {wanted:,} texts"
        harm: Harm = "search incomplete" if indexed else "none"  # then nobody asks it
        yield Finding(what, "text-1", harm, f"{REPAIR} makes it anew.")


def _of_strays(folder: Path) -> Iterator[Finding]:
    for path, what in quarantine.strays(folder):
        fix = f"{REPAIR} moves it into {quarantine.NAME}/."
        yield Finding(f"this is {what}; it does not belong here", str(path.relative_to(folder)), "none", fix)
    for path in numbers.damaged(folder):
        what = "numbers of events that are lost or given up cannot be read; they may be given again, and told again"
        yield Finding(what, path.name, "none", f"{REPAIR} moves the file into {quarantine.NAME}/.")


def _of_quarantine(folder: Path) -> Iterator[Finding]:
    for path in sorted((folder / quarantine.NAME).glob("*")):
        where = f"{quarantine.NAME}/{path.name}"
        if path.name.startswith(quarantine.GIVEN_UP):
            yield Finding("a note of what was lost", where, "given up", _NOT_NEEDED)
        elif path.name.startswith(quarantine.LOST) and path.is_file():
            yield _of_note(quarantine.read(path), where)
        else:
            yield _of_kept(path, where)


def _of_note(note: quarantine.Note | None, where: str) -> Finding:
    if note is None:
        what = "a note of lost events cannot be read; nobody knows how many they are"
        return Finding(what, where, "events lost", _RESTORE)
    first, *others = note.parts
    of, more = f"of {len(note.parts):,} damaged parts", f" and {len(others):,} more" if others else ""
    put_back = f"Put {first!r}{more} back from a backup, if there is one, and have {REPAIR} take it in; or {GIVE_UP}."
    if note.lost is not None:
        what, fix = f"{note.lost:,} events {of} are lost", put_back
    else:
        what = f"events {of} may be lost, " + ("nobody knows how many" if note.rows is None else f"{note.rows:,} at most")
        fix = f"{REPAIR} counts them; or {GIVE_UP}." if note.spans else put_back
    return Finding(what, where, "events lost", fix)


def _of_kept(path: Path, where: str) -> Finding:
    """What something in quarantine/ is that is no note of lost parts."""
    if path.suffix != ".json" or path.is_dir():
        what = "damaged data, or what did not belong here, was set aside earlier"
        return Finding(what, where, "none", _NOT_NEEDED)
    try:
        told = json.loads(path.read_bytes())
        if path.name.startswith(quarantine.OTHERS):
            what = f"{int(told['events']):,} events of {told['file']!r} have numbers that others have in the log, and are not in it"
            fix = f"The file is kept here: read it with DuckDB or polars. Delete both when you do not need them; or {GIVE_UP}."
            return Finding(what, where, "events lost", fix)
        frames = told["frames"]
        what = f"{len(frames):,} damaged frames were set aside here by compaction; each held an event or more, which no number may tell"
        return Finding(what, where, "events lost", _RESTORE)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Finding("this is no note of damaged frames or other events, or a damaged one", where, "none", _NOT_NEEDED)
