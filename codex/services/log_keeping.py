"""Keeping the session log: files of others in and out, what is old leaves, what is damaged is mended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, get_args

from codex.core.errors import UserError
from codex.core.events import Event
from codex.services.logs import answered, checked
from codex.sessionlog import Compacted, Ingested, Purged, Selection, SessionLog, doctor
from codex.sessionlog.doctor import Examined, Finding
from codex.sessionlog.interchange import ndjson, otlp, sqlite

__all__ = [
    "Compacted",
    "Examined",
    "Exported",
    "Finding",
    "Format",
    "Ingested",
    "Purged",
    "compact",
    "examine",
    "export_events",
    "format_of",
    "give_up",
    "import_events",
    "purge",
    "repair",
]

Format = Literal["sqlite", "ndjson", "otlp"]
SUFFIXES: dict[str, Format] = {
    ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "otlp",
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """What an export holds.

    Args:
        format: its format.
        events: how many events; of `otlp`, how many became spans or went into one.
        spans: how many spans; None in another format.
        skipped: how many events are no span and were left out.
    """

    format: Format
    events: int
    spans: int | None = None
    skipped: int = 0


def format_of(path: str, asked: str | None, *, writing: bool) -> Format:
    """The format of a file: the one asked for, else that of its name.

    Args:
        path: its name; `-` is standard input or output.
        asked: a format by name.
        writing: whether it will be written; spans are only written.

    Raises:
        UserError: there is no such format, or it cannot go there.
    """
    known = get_args(Format) if writing else ("sqlite", "ndjson")
    if asked is not None and asked not in known:
        raise UserError(f"`--format` is {asked!r}", f"expected one of {', '.join(known)}", "Write `--format ndjson`.")
    suffixes = Path(path.lower().removesuffix(".gz")).suffix
    found: Format | None = next((each for each in get_args(Format) if each == asked), None) or SUFFIXES.get(suffixes)
    if path == "-":
        found = found or "ndjson"
    if found is None or found not in known:
        endings = ", ".join(ending for ending, format in SUFFIXES.items() if format in known)
        raise UserError(
            f"the file {path!r} does not say its format", f"expected a name that ends in {endings}", "Or add `--format ndjson`."
        )
    if found == "sqlite" and (path == "-" or path.lower().endswith(".gz")):
        what = "standard input or output" if path == "-" else f"the packed file {path!r}"
        raise UserError(f"{what} cannot be SQLite", "expected the path of a plain file", "Write `--format ndjson`, or name a file.")
    return found


def export_events(log: SessionLog, target: Path | IO[bytes], format: Format, selection: Selection, *, content: bool = False) -> Exported:
    """Write the events that fit, by session, then seq, to a new file or to a stream.

    Args:
        log: where they are.
        target: a path where nothing is yet, which gets the whole file or none; or a stream.
        format: see `codex.sessionlog.interchange`.
        selection: which.
        content: of `otlp`, also what was said, which is private.

    Raises:
        UserError: the selection cannot be used, or the file is there already or cannot be written.
    """
    chosen, keys = answered(log, checked(log, selection), "events")
    counted = _Counted(log.scan(chosen, among=keys))
    if format == "otlp":
        spans = otlp.write(target, counted, content=content)
        return Exported(format, counted.count - spans.skipped, spans.spans, spans.skipped)
    if format == "sqlite":
        assert isinstance(target, Path), "format_of refuses a stream"
        return Exported(format, sqlite.write(target, counted))
    return Exported(format, ndjson.write(target, counted))


class _Counted:
    """Events, counted as they pass."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = events
        self.count = 0

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            self.count += 1
            yield event


def import_events(log: SessionLog, source: Path | IO[bytes], format: Format) -> Ingested:
    """Add the events of a file or stream under the sessions and times that they carry; what the log has already is skipped.

    Raises:
        UserError: the file cannot be read, or a row of it is bad; nothing was added then.
        SessionBusy: a live writer has one of the sessions; what was added before stays, and asking again goes on.
        WorkspaceError: the log cannot be written.
    """
    if format == "sqlite":
        assert isinstance(source, Path), "format_of refuses a stream"
        events = sqlite.read(source)
    else:
        events = ndjson.read(source)
    try:
        return log.ingest(events)
    finally:
        log.close()


def purge(log: SessionLog, before: float, *, dry_run: bool = False) -> Purged:
    """Remove the sessions whose last event is older than `before` (seconds since the epoch), or only count them.

    Raises:
        CompactorBusy: another process is compacting.
        WorkspaceError: the log cannot be written, or is damaged.
    """
    return log.purge(before, dry_run=dry_run)


def compact(log: SessionLog) -> Compacted:
    """Make what no process writes any more into sorted parts.

    Raises:
        CompactorBusy: another process is compacting.
        WorkspaceError: the log cannot be written; nothing is lost.
    """
    return log.compact()


def examine(log: SessionLog) -> Examined:
    """Read all of the log and say what is not as it should be; changes nothing."""
    return doctor.examine(log.folder)


def repair(log: SessionLog) -> tuple[str, ...]:
    """Mend what can be mended; gives what was done, in sentences."""
    return doctor.repair(log.folder)


def give_up(log: SessionLog) -> tuple[str, ...]:
    """Take what is lost for given up, so that it is no alarm any more; gives what that was, in sentences."""
    return doctor.give_up(log.folder)
