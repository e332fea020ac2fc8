"""How many events a repair could not save, by notes in `quarantine/`; they are counted again when something comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codex.core import clock
from codex.core.errors import WorkspaceError
from codex.sessionlog import quarantine
from codex.sessionlog.manifest import Part
from codex.sessionlog.parts import quoted
from codex.sessionlog.quarantine import Note
from codex.sessionlog.query import EventTable, add_live, connect_parts
from codex.sessionlog.store import Store

if TYPE_CHECKING:
    import duckdb


def looked_at(folder: Path) -> Store:
    """The log as it is now, every file compared with its sum."""
    store = Store(folder)
    store.refresh()
    store.sum_again()
    return store


def note_parts(store: Store, bad: Sequence[Part]) -> None:
    """Keep copies of parts that are not what was written, and note what is needed to count what was saved."""
    missing = [part for part in bad if not (store.folder / part.name).exists()]
    for part in bad:
        quarantine.keep_copy(store.folder, store.folder / part.name)
    spans = tuple((part.first, part.last) for part in bad)
    names, rows = tuple(part.name for part in bad), sum(part.rows for part in bad)
    note = Note(parts=names, missing=len(missing), rows=rows, lost=None, spans=spans, others=_count_others(store, spans))
    quarantine.write(store.folder, note)


def last_numbers(connection: duckdb.DuckDBPyConnection, before: str, left: str) -> dict[str, int]:
    """The highest number of each session that has lost its last events; none when nobody knows.

    Args:
        connection: from `workbench`.
        before: SQL for the rollup as it was.
        left: SQL for the rollup of what stays.
    """
    import duckdb

    less = "old.last_seq > coalesce(new.last_seq, -1)"
    try:
        rows = connection.execute(f"select old.id, old.last_seq from {before} old left join {left} new using (id) where {less}")
        return dict(rows.fetchall())
    except duckdb.Error:  # the rollup cannot be read
        return {}


def note_rollup(folder: Path, file: Path, unreadable: Sequence[str]) -> None:
    """Say how many events the newest rollup knew of that are nowhere, in the place of what was said of unreadable parts."""
    store = looked_at(folder)
    was = f"read_parquet({quoted(str(file))})"
    facts = f"select coalesce(sum(events), 0)::bigint, epoch_us(min(started)) / 1e6, epoch_us(max(last)) / 1e6 from {was}"
    try:
        known, first, last = store.ask(facts)[0]
    except WorkspaceError:  # nobody knows what it knew
        return
    with connect_parts(store) as connection:
        add_live(connection, store, EventTable(store.live).update())
        question = f"select count(*) from events e join {was} r on r.id = e.session and e.seq <= r.last_seq"
        there = int(connection.execute(question).fetchall()[0][0])
    said = {quarantine.path_of(folder, name) for name in unreadable}
    if known > there:
        quarantine.keep_copy(folder, file)
        parts, spans = tuple(unreadable) or (file.name,), ((first, last),)
        missing, others = int(not unreadable), _count_in(store, spans)
        quarantine.write(folder, Note(parts=parts, missing=missing, rows=known - there, lost=None, spans=spans, others=others))
        said.discard(quarantine.path_of(folder, parts[0]))
    for path in said:
        path.unlink(missing_ok=True)


def count_lost(folder: Path) -> Iterator[str]:
    """Count what of the parts that were set aside is still there, also those of repairs that were killed."""
    for path, note in quarantine.notes(folder):
        if not note.spans or note.rows is None or note.lost is not None:
            continue
        saved = max(_count_in(looked_at(folder), note.spans) - note.others, 0)
        lost = max(note.rows - saved, 0)
        if lost:
            quarantine.write(folder, note.model_copy(update={"lost": lost}))
        else:
            path.unlink()
        yield f"{_set_aside(note)}; {note.rows - lost:,} events were read again, {lost:,} events are lost."


def _set_aside(note: Note) -> str:
    """What was done with the parts of a note."""
    damaged = len(note.parts) - note.missing
    states = [f"{damaged:,} damaged parts were set aside in {quarantine.NAME}/"] if damaged else []
    states += [f"{note.missing:,} parts are missing"] if note.missing else []
    return f"{' and '.join(states)}, with {note.rows:,} events"


def _count_in(store: Store, spans: Sequence[tuple[float, float]]) -> int:
    """How many events the log has in these spans of time."""
    with connect_parts(store) as connection:
        add_live(connection, store, EventTable(store.live).update())
        return int(connection.execute(f"select count(*) from events where {_within(spans)}").fetchall()[0][0])


def _within(spans: Sequence[tuple[float, float]]) -> str:
    """SQL for a time in one of these spans."""
    return " or ".join(
        f"time between make_timestamp({clock.microseconds(first)}) and make_timestamp({clock.microseconds(last)})" for first, last in spans
    )


def _count_others(store: Store, spans: Sequence[tuple[float, float]]) -> int:
    """How many events of these spans of time are in no damaged part; what is live and has a compacted number is one of theirs."""
    with connect_parts(store) as connection:
        add_live(connection, store, EventTable(store.live).update())
        known = f"select e.session, e.seq from live_event_rows e join {store.rollup()} r on r.id = e.session and e.seq <= r.last_seq"
        question = f"select count(*) from events where ({_within(spans)}) and (session, seq) not in ({known})"
        return int(connection.execute(question).fetchall()[0][0])
