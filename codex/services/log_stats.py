"""What the session log holds, counted: events by kind, role and day, tools, models, bytes on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex.core.files import folder_bytes
from codex.sessionlog import SessionLog, annotations

SLOWEST = 10
MOST = 2**63 - 1
"""The largest number that a column can hold; a sum that is larger is this."""


@dataclass(frozen=True)
class KindCount:
    """How many events there are of one kind and role."""

    kind: str
    role: str
    events: int


@dataclass(frozen=True)
class DayCount:
    """One day: its UTC date as `2026-11-25`, how many events it has, and how many sessions they are of."""

    day: str
    events: int
    sessions: int
    errors: int


@dataclass(frozen=True)
class ToolTime:
    """How often a tool was called, and how long that took, in milliseconds; None where nobody measured it."""

    tool: str
    calls: int
    median_ms: float | None
    p95_ms: float | None
    max_ms: float | None


@dataclass(frozen=True)
class ModelTokens:
    """How often a model answered, and the tokens that it read and wrote."""

    model: str
    answers: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class Disk:
    """Bytes of the log's files.

    Args:
        segments: what is not compacted yet, and segments that are kept for readers.
        parts: the compacted events.
        rollup: the list of sessions.
        text: the text index.
        other: what was set aside, and the list of parts.
        total: all of it.
        per_event: total by event; None in an empty log.
    """

    segments: int
    parts: int
    rollup: int
    text: int
    other: int
    total: int
    per_event: float | None


@dataclass(frozen=True)
class Stats:
    """The log in numbers; `disk` is that of the whole log, the rest is of the time that was asked for.

    Sessions that hold ratings and notes are in no count but `annotations` and `disk`, as on the Sessions page.

    Args:
        events: how many there are.
        sessions: how many they are of.
        redacted: secrets that were taken out of them before they were stored.
        kinds: by kind, then the most frequent role first.
        days: the oldest first.
        tools: the slowest by their 95th percentile, at most ten.
        models: the most tokens first.
        disk: bytes.
        annotations: how many times a person rated an event, noted something, or gave a better answer.
    """

    events: int
    sessions: int
    redacted: int
    kinds: tuple[KindCount, ...]
    days: tuple[DayCount, ...]
    tools: tuple[ToolTime, ...]
    models: tuple[ModelTokens, ...]
    disk: Disk
    annotations: int


def stats(log: SessionLog, *, since: float | None = None, until: float | None = None) -> Stats:
    """Count the events from `since` (included) to `until` (not included), in seconds since the epoch; all without."""
    bounds = [("time >= make_timestamp(?)", since), ("time < make_timestamp(?)", until)]
    asked = [(condition, round(value * 1e6)) for condition, value in bounds if value is not None]
    inside = " and ".join(["true", *(condition for condition, _ in asked)])
    source = f"from events where {inside} and session not in (select id from sessions where kind = '{annotations.KIND}')"
    values = [value for _, value in asked]

    def rows(query: str) -> list[tuple[Any, ...]]:
        return log.rows(query, values)

    events, sessions, redacted = rows(
        f"select count(*), count(distinct session), least(coalesce(sum(redacted), 0), {MOST})::bigint {source}"
    )[0]
    kinds = rows(f"select kind, role, count(*) {source} group by all order by kind, count(*) desc, role")
    counted = "count(*), count(distinct session), count(*) filter (role = 'error')"
    days = rows(f"select day::varchar, {counted} {source} group by day order by day")
    quantiles = ", ".join(f"quantile_cont(latency_ms, {share})" for share in (0.5, 0.95, 1.0))
    tools = rows(
        f"select tool, count(*), {quantiles} {source} and tool is not null group by tool order by 4 desc nulls last, tool limit {SLOWEST}"
    )
    sums = ", ".join(
        f"least(coalesce(sum({name}), 0), {MOST})::bigint as {told}" for name, told in (("tokens_in", "read"), ("tokens_out", "written"))
    )
    models = rows(
        f"select model, count(*), {sums} {source} and model is not null and role = 'assistant' group by model"
        " order by read::hugeint + written desc, model"
    )
    return Stats(
        events,
        sessions,
        redacted,
        tuple(KindCount(*row) for row in kinds),
        tuple(DayCount(*row) for row in days),
        tuple(ToolTime(*row) for row in tools),
        tuple(ModelTokens(*row) for row in models),
        _disk(log),
        rows(f"select count(*) from events where {inside} and kind = '{annotations.KIND}' and (attributes->'$.about') is not null")[0][0],
    )


def _disk(log: SessionLog) -> Disk:
    folder = log.folder
    report = log.health()
    events = report.good - report.duplicates + report.compacted
    segments, parts = folder_bytes(folder / "segments"), folder_bytes(folder / "parts")
    rollup, text = (_bytes_of(folder, pattern) for pattern in ("sessions-*", "text-*"))
    total = folder_bytes(folder)
    return Disk(segments, parts, rollup, text, total - segments - parts - rollup - text, total, total / events if events else None)


def _bytes_of(folder: Path, pattern: str) -> int:
    found = 0
    for path in folder.glob(pattern):
        try:
            found += folder_bytes(path) if path.is_dir() else path.stat().st_size
        except FileNotFoundError:  # the compactor replaced it
            continue
    return found
