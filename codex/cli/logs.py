"""`codex-ml logs`: look at the session log, search it, ask it in SQL, and keep it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex.cli.logs_dataset import dataset
from codex.cli.logs_keeping import compact, doctor, export, import_, purge
from codex.cli.logs_options import Chosen, CsvOption, LimitOption, SessionName, choosing, choosing_events, one_form
from codex.cli.logs_output import csv_table, whole_or_none
from codex.cli.logs_sessions import session_columns, session_json, show_sessions
from codex.cli.logs_stats import stats
from codex.cli.logs_timeline import TONES, brief, paragraph, show_timeline, stamp
from codex.cli.options import JsonOption, WorkspaceOption, place, whole_number
from codex.cli.tables import table
from codex.cli.terminal import Painted, document, is_terminal, note, one_line, out, printable, record
from codex.cli.usage import Command, tree
from codex.core import clock, numbers
from codex.core.errors import UserError

if TYPE_CHECKING:
    from codex.core.events import Event
    from codex.services.logs import Hit, SessionLog

logs = tree()
MOST = 1_000_000
_RANGE = re.compile(r"(-?\d{1,18})?:(-?\d{1,18})?", re.ASCII)


@logs.command("list", cls=Command)
@choosing
def list_sessions(
    ctx: typer.Context, chosen: Chosen, limit: LimitOption = "20", workspace: WorkspaceOption = None, as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:  # fmt: skip
    """List sessions, newest first.

    For example:  codex-ml logs list --kind chat --since 3d --where "errors > 0"
    """
    from codex.services import logs as service

    one_form(as_json, as_csv)
    where = place(ctx, workspace)
    most = whole_number("--limit", limit, 1, MOST)
    log = service.open_log(where.workspace)
    found = service.find(log, chosen.selection(), limit=most + 1)
    shown = found[:most]
    if as_json:
        document([session_json(each) for each in shown])
    elif as_csv:
        csv_table(session_columns(), [list(session_json(each).values()) for each in shown])
    elif shown:
        show_sessions(shown)
    say_damage(log)
    if len(found) > most:
        note(f"There are more: `--limit {min(2 * most, MOST)}`.")
    elif not shown:
        note(f"No sessions{' that fit' if chosen != Chosen() else ''} in {one_line(str(where.workspace.log))}.")


@logs.command(cls=Command)
def show(
    ctx: typer.Context,
    session: SessionName = "last",
    events: Annotated[
        str | None, typer.Option("--events", metavar="A:B", help="Only events A to before B; -20: is the last 20.", show_default=False)
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a session: who spoke when, what was said, what it took."""
    from codex.services import logs as service

    where = place(ctx, workspace)
    first, stop = _range(events) if events is not None else (None, None)
    log = service.open_log(where.workspace)
    found = service.timeline(log, session, first=first, stop=stop)
    if as_json:
        from dataclasses import asdict

        said = [asdict(each) for each in found.annotations.values()]
        document(
            {"session": session_json(found.info), "events": [each.model_dump(mode="json") for each in found.events], "annotations": said}
        )
    else:
        show_timeline(found)
    say_damage(log)
    if found.problem is not None:
        note(one_line(str(found.problem)))
    elif not found.events:
        note(f"No events in {events}; it has {numbers.plural(found.info.events, 'event')}, the first is 0.")


def _range(typed: str) -> tuple[int | None, int | None]:
    """The two ends of "A:B", of which either may be left out.

    Raises:
        UserError: it is no range.
    """
    found = _RANGE.fullmatch(typed.strip())
    if found is None:
        raise UserError(f"`--events` is {typed[:60]!r}", "expected two numbers with `:` between them", "For example `--events 0:50`.")
    first, stop = (None if end is None else int(end) for end in found.groups())
    return first, stop


@logs.command(cls=Command)
def tail(
    ctx: typer.Context,
    lines: Annotated[str, typer.Option("-n", "--lines", metavar="N", help="How many events to begin with.")] = "20",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those to come, until Ctrl-C.")] = False,
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="Only of this session, as `show` takes it.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest events, oldest first."""
    from codex.services import logs as service

    where = place(ctx, workspace)
    most = whole_number("--lines", lines, 0, MOST)
    log = service.open_log(where.workspace)
    shown = 0
    for event in service.tail(log, session=session, lines=most, follow=follow):
        shown += 1
        if as_json:
            record(event.model_dump(mode="json"))
        else:
            _show(event)
    say_damage(log)
    if not shown and most and not as_json:
        note(f"No events{f' of session {one_line(session)!r}' if session else ''} in {one_line(str(where.workspace.log))}.")


def _show(event: Event) -> None:
    """One event on one line, however long."""
    said = one_line("  ".join([*brief(event), event.content] if event.content else brief(event)))
    role = Painted(f"{event.role:<9}", TONES.get(event.role, "dim"))
    out(Painted(stamp(event.ts), "dim"), f"  {one_line(event.session)}  ", role, f"  {said}")


@logs.command(cls=Command)
@choosing_events
def search(
    ctx: typer.Context,
    chosen: Chosen,
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help='All must be there; "several in quotes" as they stand.')],
    limit: LimitOption = "20",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Find what was said, the best first.

    Upper and lower case do not matter.
    """
    from codex.services import logs as service

    one_form(as_json, as_csv)
    where = place(ctx, workspace)
    most = whole_number("--limit", limit, 1, 10_000)
    log = service.open_log(where.workspace)
    query = " ".join(f'"{each}"' if " " in each.strip() and '"' not in each else each for each in words)
    hits = service.search(log, query, chosen.selection(), limit=most)
    if as_json:
        document([{"score": hit.score, "snippet": hit.snippet, "marks": hit.marks, **hit.event.model_dump(mode="json")} for hit in hits])
    elif as_csv:
        columns = ("session", "seq", "time", "role", "kind", "score", "snippet")
        csv_table(columns, [[*_place(hit), hit.event.role, hit.event.kind, hit.score, hit.snippet] for hit in hits])
    else:
        for hit in hits:
            _show_hit(hit)
    say_damage(log)
    if not hits:
        note(f"Nothing found for {one_line(query)} in {one_line(str(where.workspace.log))}.")


def _place(hit: Hit) -> tuple[str, int, str]:
    return hit.event.session, hit.event.seq, clock.iso(hit.event.ts)


def _show_hit(hit: Hit) -> None:
    """Where it is, and the words around, set off; on one line in a pipe."""
    event = hit.event
    text, marks, at = "", [], 0
    for begin, end in (*hit.marks, (len(hit.snippet), len(hit.snippet))):
        text += printable(hit.snippet[at:begin])
        marks.append((len(text), len(text) + len(printable(hit.snippet[begin:end]))))
        text += printable(hit.snippet[begin:end])
        at = end
    lead = (
        Painted(one_line(event.session), "dim"),
        f" {event.seq}  {stamp(event.ts)}  ",
        Painted(event.role, TONES.get(event.role, "dim")),
    )
    if is_terminal(sys.stdout):
        out(*lead)
        paragraph(text.rstrip(), marks=marks)
    else:
        out(*lead, "  ", text.rstrip())


@logs.command(cls=Command)
def sql(
    ctx: typer.Context,
    query: Annotated[
        str | None,
        typer.Argument(metavar="QUERY", help="One SELECT over `events`, `sessions`, `annotations`; `-` reads stdin.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="An example or saved query: events-per-day.")] = None,
    seconds: Annotated[str, typer.Option("--seconds", metavar="N", help="Stop the query after so long.")] = "60",
    memory: Annotated[str, typer.Option("--memory", metavar="GIB", help="Stop it when it needs more memory.")] = "2",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Ask the whole log in SQL.

    Whatever it says, a query only reads the log.

    For example:  codex-ml logs sql "select kind, count(*) from events group by kind"
    """
    from codex.services import logs as service

    one_form(as_json, as_csv)
    where = place(ctx, workspace)
    limits = {"seconds": whole_number("--seconds", seconds, 1, 86_400), "memory_gib": whole_number("--memory", memory, 1, 1024)}
    text = _typed(query) if name is None else service.sql_text(_alone(name, query), workspace=where.workspace)
    if as_json or as_csv:
        whole = service.Limits(**limits, megabytes=100_000)
        with whole_or_none() as file:
            written = service.write_sql(text, file, "json" if as_json else "csv", workspace=where.workspace, limits=whole)
        truncated, rows = written.truncated, written.rows
    else:
        found = service.sql(text, workspace=where.workspace, limits=service.Limits(**limits))
        numeric = [position for position, is_number in enumerate(found.numeric) if is_number]
        table(found.columns, [[_cell(value) for value in row] for row in found.rows], right=numeric)
        truncated, rows = found.truncated, len(found.rows)
    say_damage(service.open_log(where.workspace))
    if truncated:
        note(f"The first {numbers.plural(rows, 'row')}; there are more{'' if as_json or as_csv else '. `--csv` has them all'}.")
    elif not (as_json or as_csv):
        note(f"{numbers.plural(rows, 'row')}.")


def _typed(query: str | None) -> str:
    """The query that was typed, or stands on stdin.

    Raises:
        UserError: there is none.
    """
    if query is None:
        fix = 'For example `codex-ml logs sql --name events-per-day`, or `codex-ml logs sql "select * from sessions limit 5"`.'
        raise UserError("QUERY is missing", "expected one SELECT in quotes, `-`, or `--name NAME`", fix)
    return sys.stdin.read() if query == "-" else query


def _alone(name: str, query: str | None) -> str:
    """`name`, unless a query was typed besides.

    Raises:
        UserError: one was.
    """
    if query is not None:
        raise UserError("QUERY and `--name` are both given", "expected one of them", "Leave one out.")
    return name


def say_damage(log: SessionLog) -> None:
    """Whoever reads the log learns that not all of it can be read."""
    from codex.services import logs as service

    if damage := service.damage_seen(log):
        note(f"The session log is damaged: {one_line(damage)}. See `codex-ml logs doctor`.")


def _cell(value: Any) -> str:
    return numbers.MISSING if value is None else str(value)


logs.command(cls=Command)(stats)
logs.command(cls=Command)(export)
logs.command("import", cls=Command)(import_)
logs.command(cls=Command)(dataset)
logs.command(cls=Command)(purge)
logs.command(cls=Command)(compact)
logs.command(cls=Command)(doctor)
