"""`codex-ml logs export`, `import`, `purge`, `compact` and `doctor`."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from codex.cli.logs_options import Chosen, choosing_events
from codex.cli.logs_output import DataOut
from codex.cli.logs_timeline import stamp
from codex.cli.options import JsonOption, Place, WorkspaceOption, place
from codex.cli.terminal import Painted, Tone, document, is_terminal, note, one_line, out
from codex.core import numbers
from codex.core.errors import UserError

if TYPE_CHECKING:
    from codex.services.log_keeping import Examined, Exported, Purged

HARMS: dict[str, Tone] = {"events lost": "bad", "search incomplete": "warn", "given up": "dim", "none": "dim"}
SHOWN = 10
"""How many sessions that got another id are named; `--json` has all."""


@choosing_events
def export(
    ctx: typer.Context,
    chosen: Chosen,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A new file: .sqlite, .db, .ndjson, .jsonl, .json (spans), also with .gz; `-` is stdout.")
    ],
    format: Annotated[str | None, typer.Option("--format", metavar="sqlite|ndjson|otlp", help="Without, what the name says.")] = None,
    content: Annotated[bool, typer.Option("--content", help="Of spans: also what was said, which is private.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write events to a new file for other programs.

    For example:  codex-ml logs export chats.jsonl.gz --kind chat --since 7d
    """
    from codex.services import log_keeping
    from codex.services import logs as service

    where = place(ctx, workspace)
    wanted = log_keeping.format_of(path, format, writing=True)
    if content and wanted != "otlp":
        raise UserError(f"`--content` is given for {wanted}", "expected it for otlp alone", f"Leave it out: {wanted} has what was said.")
    if path == "-" and as_json:
        raise UserError("`--json` is given, and stdout is the export", "expected one of them", "Leave `--json` out, or name a file.")
    target = DataOut() if path == "-" else Path(path).expanduser()
    log = service.open_log(where.workspace)
    done = log_keeping.export_events(log, cast("Path | IO[bytes]", target), wanted, chosen.selection(), content=content)
    if as_json:
        document({"path": path, "format": done.format, "events": done.events, "spans": done.spans, "skipped": done.skipped})
    elif path == "-":
        note(f"{_exported(done)}.")
    else:
        out(f"{one_line(path)}: {_exported(done)}.")
    if damage := service.damage_seen(log):
        note(f"The session log is damaged: {one_line(damage)}. See `codex-ml logs doctor`.")


def _exported(done: Exported) -> str:
    if done.spans is None:
        return numbers.plural(done.events, "event")
    left = f"; {numbers.plural(done.skipped, 'event')} that are no call left out" if done.skipped else ""
    return f"{numbers.plural(done.spans, 'span')}{left}"


def import_(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="SQLite or JSON lines, also with .gz; `-` reads JSON lines from stdin.")],
    format: Annotated[str | None, typer.Option("--format", metavar="sqlite|ndjson", help="Without, what the name says.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the events of a file to the log.

    What the log has already is skipped; a session whose id is another one's here gets an id of its own. When a row is bad,
    nothing is added.
    """
    from codex.services import log_keeping
    from codex.services import logs as service

    where = place(ctx, workspace)
    wanted = log_keeping.format_of(path, format, writing=False)
    source = sys.stdin.buffer if path == "-" else Path(path).expanduser()
    done = log_keeping.import_events(service.open_log(where.workspace), source, wanted)
    if as_json:
        document({"added": done.added, "skipped": done.skipped, "renamed": dict(done.renamed)})
    else:
        skipped = f"; {numbers.plural(done.skipped, 'event')} that the log has already skipped" if done.skipped else ""
        out(f"{numbers.plural(done.added, 'event')} added{skipped}.")
        for session, name in islice(done.renamed.items(), SHOWN):
            out(f"Session {session!r} is another one here; imported as {name!r}.")
        if len(done.renamed) > SHOWN:
            out(f"So are {len(done.renamed) - SHOWN:,} more; `--json` names all.")


def purge(
    ctx: typer.Context,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="90d, 12w, or a day: 2026-08-01, local time.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove old sessions for good, after saying what goes.

    A session goes as a whole, when its last event is older. What somebody still writes to stays.
    """
    from codex.services import log_keeping, log_times
    from codex.services import logs as service

    where = place(ctx, workspace)
    if older_than is None:
        raise UserError("`--older-than` is missing", "expected the age from which sessions go", "For example `--older-than 90d`.")
    before = log_times.before("--older-than", older_than)
    log = service.open_log(where.workspace)
    found = log_keeping.purge(log, before, dry_run=True)
    what = f"{numbers.plural(found.sessions, 'session')} with {numbers.plural(found.events, 'event')}, last written before {stamp(before)}"
    if dry_run or not found.sessions:
        _say_purged(found, f"Would go: {what}." if found.sessions else f"No session was last written before {stamp(before)}.", as_json)
        return
    if not yes and not _confirmed(what, older_than, where):
        note("Nothing was removed.")
        raise typer.Exit(1)
    done = log_keeping.purge(log, before)
    removed = f"{numbers.plural(done.sessions, 'session')} with {numbers.plural(done.events, 'event')}"
    _say_purged(done, f"Removed {removed}; {numbers.size(done.freed)} freed.", as_json)


def _say_purged(purged: Purged, sentence: str, as_json: bool) -> None:
    if as_json:
        document(
            {
                "sessions": purged.sessions,
                "events": purged.events,
                "freed_bytes": purged.freed,
                "held_sessions": purged.held,
                "quarantined_files": purged.quarantined,
            }
        )
        return
    out(sentence)
    if purged.held:
        times = numbers.plural(purged.held, "time")
        out(f"What was said of them {times} stays while the process that said it runs, such as the app; purge again after.")
    if purged.quarantined:
        copies = numbers.plural(purged.quarantined, "file")
        out(f"quarantine/ has {copies} of what was once damaged. Purge leaves them, old text in them too; delete what you do not need.")


def _confirmed(what: str, older_than: str, where: Place) -> bool:
    """Whether a person says yes.

    Raises:
        UserError: there is nobody to ask.
    """
    if not is_terminal(sys.stdin) or not is_terminal(sys.stderr):
        again = where.command("logs", "purge", "--older-than", older_than, "--yes")
        raise UserError(f"nobody can be asked whether to remove {what}", "expected a terminal, or `--yes`", f"Write `{again}`.")
    note(f"Remove {what}? It cannot be undone. [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def compact(ctx: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Make finished segments into small, sorted parts.

    Readers and writers go on meanwhile.
    """
    from dataclasses import asdict

    from codex.services import log_keeping
    from codex.services import logs as service

    where = place(ctx, workspace)
    done = log_keeping.compact(service.open_log(where.workspace))
    if as_json:
        document(asdict(done))
        return
    if not done.segments and not done.merged:
        out("Nothing to compact.")
    else:
        merged = f"; {numbers.plural(done.merged, 'small part')} merged" if done.merged else ""
        out(f"{numbers.plural(done.events, 'event')} of {numbers.plural(done.segments, 'segment')} compacted{merged}.")
    if done.unmerged:
        note(f"Small parts were not merged: {one_line(done.unmerged)}")
    if done.damaged:
        note(f"{numbers.plural(done.damaged, 'damaged frame')} set aside in quarantine/.")


def doctor(
    ctx: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended; the rest is set aside, never deleted.")] = False,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Take what is lost for given up: it is told, and is an alarm no longer. Deletes nothing.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read all of the log and say what is damaged.

    Ends with exit code 1 when something is.
    """
    from dataclasses import asdict

    from codex.services import log_keeping
    from codex.services import logs as service

    where = place(ctx, workspace)
    log = service.open_log(where.workspace)
    done = log_keeping.repair(log) if repair else ()
    given_up = log_keeping.give_up(log) if give_up else ()
    found = log_keeping.examine(log)
    if as_json:
        document({"ok": found.ok, "repaired": done, "given_up": given_up, "findings": [asdict(each) for each in found.findings]})
    else:
        for sentence in done:
            out(Painted("mended  ", "good"), one_line(sentence))
        for sentence in given_up:
            out(Painted("given up  ", "warn"), one_line(sentence))
        _show_findings(found)
    if not found.ok:
        raise typer.Exit(1)


def _show_findings(found: Examined) -> None:
    for each in found.findings:
        out(
            Painted(f"{each.harm if each.harm != 'none' else 'note':<18}", HARMS[each.harm]), one_line(f"{each.where}  {each.what}".strip())
        )
        out(f"{'':<18}", Painted(one_line(each.fix), "bold"))
    report = found.report
    if report is not None:
        events = report.good - report.duplicates + report.compacted
        read = (
            f"{numbers.plural(events, 'event')} in {numbers.plural(report.segments, 'segment')} and {numbers.plural(report.parts, 'part')}"
        )
        nothing = "nothing else is lost" if found.given_up else "nothing is lost"
        out(f"{read}; {nothing if found.ok else 'not all is well'}.")
