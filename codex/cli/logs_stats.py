"""`codex-ml logs stats`: the log in numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from codex.cli.logs_options import SinceOption, UntilOption, period
from codex.cli.options import JsonOption, WorkspaceOption, place
from codex.cli.outcome import facts
from codex.cli.tables import table
from codex.cli.terminal import Painted, Part, document, is_terminal, note, one_line, out
from codex.core import numbers

if TYPE_CHECKING:
    from codex.services.log_stats import Disk, Stats

DAYS = 14
"""How many days a terminal shows."""


def stats(
    ctx: typer.Context, since: SinceOption = None, until: UntilOption = None, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Count what the log holds: kinds, days, tools, tokens, bytes."""
    from dataclasses import asdict

    from codex.services import log_stats
    from codex.services import logs as service

    where = place(ctx, workspace)
    begin, end = period(since, until)
    log = service.open_log(where.workspace)
    found = log_stats.stats(log, since=begin, until=end)
    if as_json:
        document(asdict(found))
    elif found.events:
        _show(found)
    else:
        note(f"No events{' that fit' if since or until else ''} in {one_line(str(where.workspace.log))}.")
    if damage := service.damage_seen(log):
        note(f"The session log is damaged: {one_line(damage)}. See `codex-ml logs doctor`.")


def _show(found: Stats) -> None:
    secrets = numbers.plural(found.redacted, "secret")
    said = [("annotated", f"{numbers.plural(found.annotations, 'time')}, not counted here")] if found.annotations else []
    facts([("events", numbers.count(found.events)), ("sessions", numbers.count(found.sessions)), ("redacted", secrets), *said])
    _section("By kind and role", ["kind", "role", "events"], [[each.kind, each.role, each.events] for each in found.kinds])
    days = found.days[-DAYS:] if is_terminal(sys.stdout) else found.days
    left = len(found.days) - len(days)
    title = "By day, UTC" + (f"; {numbers.plural(left, 'earlier day')} not shown" if left else "")
    counts = [[each.day, each.events, each.sessions, each.errors] for each in days]
    _section(title, ["day", "events", "sessions", "errors"], counts)
    times = [[each.tool, each.calls, *map(_milliseconds, (each.median_ms, each.p95_ms, each.max_ms))] for each in found.tools]
    _section("Slowest tools, ms", ["tool", "calls", "median", "p95", "longest"], times)
    tokens = [[each.model, each.answers, each.tokens_in, each.tokens_out] for each in found.models]
    _section("Tokens by model", ["model", "answers", "in", "out"], tokens)
    _disk(found.disk)


def _section(title: str, headings: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    """A table under a title, numbers to the right; nothing where there is nothing."""
    if not rows:
        return
    out()
    out(Painted(title, "bold"))
    right = [at for at, name in enumerate(headings) if name not in ("kind", "role", "day", "tool", "model")]
    table(headings, [[numbers.count(cell) if isinstance(cell, int) else cell for cell in row] for row in rows], right=right)


def _milliseconds(value: float | None) -> str:
    return numbers.MISSING if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _disk(disk: Disk) -> None:
    out()
    out(Painted("On the disk, whole log", "bold"))
    pairs = [("segments", disk.segments), ("parts", disk.parts), ("list of sessions", disk.rollup), ("text index", disk.text)]
    pairs += [("other", disk.other), ("total", disk.total)]
    shown: list[tuple[str, Part]] = [(name, numbers.size(size)) for name, size in pairs]
    per_event = numbers.MISSING if disk.per_event is None else f"{disk.per_event:.0f} B"
    facts([*shown, ("an event", per_event)])
