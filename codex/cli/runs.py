"""`codex-ml runs`: list, show, follow, stop, resume, rename, delete, config."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from codex.cli.following import follow_to_end
from codex.cli.options import JsonOption, LastRun, Place, RunName, WorkspaceOption, place, whole_number
from codex.cli.outcome import facts, next_commands, show_adapter, show_items, show_reason, show_verdict, state, steps
from codex.cli.tables import table
from codex.cli.terminal import Painted, document, is_terminal, note, one_line, out
from codex.cli.train import FollowOption
from codex.cli.usage import Command, RunsGroup, tree
from codex.core import numbers
from codex.core.errors import UserError

if TYPE_CHECKING:
    from codex.services.runs import RunSummary

runs = tree(RunsGroup)
TAIL_LINES = 10


@runs.callback()
def of_all() -> None:
    """List, show, follow, stop, resume and delete runs.

    Without a command, list them.
    """


@runs.command("list", cls=Command)
def list_runs(ctx: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List all runs, newest first."""
    from codex.services import runs as service

    where = place(ctx, workspace)
    found = service.overview(where.workspace)
    if as_json:
        document([{key: value for key, value in each.to_json().items() if key != "report"} for each in found])
    elif found:
        rows = [
            [Painted(each.run.id, "bold"), state(each), steps(each), numbers.ago(each.run.created or None), each.run.title, _ending(each)]
            for each in found
        ]
        table(["run", "state", "step", "started", "title", "verdict or reason"], rows, right=[2])
    else:
        note(f"No runs in {one_line(str(where.workspace.root))} yet. Start one: `{where.command('train')}`.")


def _ending(summary: RunSummary) -> str:
    reason = summary.status.reason
    return summary.problem or summary.verdict or (reason.sentence if reason and reason.kind != "finished" else "")


@runs.command(cls=Command)
def show(
    ctx: typer.Context,
    run: LastRun = "last",
    log_lines: Annotated[str, typer.Option("--log-lines", metavar="N", help="Lines of its log to show.")] = str(TAIL_LINES),
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run: state, ending, numbers, verdict, adapter, log."""
    from codex.services import runs as service

    where = place(ctx, workspace)
    lines = whole_number("--log-lines", log_lines, 0, 100_000)
    summary = service.show(run, workspace=where.workspace)
    tail = service.log_tail(summary.run.id, workspace=where.workspace, lines=lines) if lines else []
    if as_json:
        document({**summary.to_json(), "loading_code": service.loading_code(summary.run), "log": tail})
        return
    _show(summary, where)
    if tail:
        out(Painted(f"Log, last {numbers.plural(len(tail), 'line')} of {summary.run.log}", "dim"))
    for line in tail:
        out("  ", line)


def _show(summary: RunSummary, where: Place) -> None:
    run, status = summary.run, summary.status
    out(Painted(f"{run.id} {one_line(run.title)}", "bold"), "  ", state(summary))
    show_reason(summary)
    figures = status.numbers
    again = f", begun {numbers.ago(status.started)}" if status.attempt > 1 and status.started is not None else ""
    facts(
        [
            ("recipe", one_line(summary.recipe) or numbers.MISSING),
            ("step", f"{steps(summary)}{f', {one_line(status.note)}' if status.active and status.note else ''}"),
            ("loss", numbers.loss(figures.get("loss"))),
            ("started", numbers.ago(run.created or None)),
            ("took", numbers.duration(summary.seconds)),
            ("attempt", f"{numbers.count(status.attempt)}{again}"),
            ("folder", str(run.folder)),
        ]
    )
    if summary.report is not None or summary.verdict is not None:  # a report that cannot be read is there as well, and says so
        show_verdict(summary)
        show_items(summary)
    show_adapter(summary)
    for words in next_commands(summary):
        if words[:2] != ("runs", "show"):
            out("Next: ", Painted(where.command(*words[:-1]), "bold"), f"  {words[-1]}")


@runs.command(cls=Command)
def follow(ctx: typer.Context, run: LastRun = "last", workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show a run until it ends; leaving by Ctrl-C lets it go on."""
    from codex.services import runs as service

    where = place(ctx, workspace)
    follow_to_end(service.show(run, workspace=where.workspace).run.id, where, as_json=as_json)


@runs.command(cls=Command)
def stop(
    ctx: typer.Context,
    run: RunName,
    force: Annotated[bool, typer.Option("--force", help="End it at once; what came after its last checkpoint is lost.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a run to save and end; it can be resumed."""
    from codex.services import runs as service

    where = place(ctx, workspace)
    if is_terminal(sys.stderr) and not force:
        note("Stopping: it saves first.")
    summary = service.stop(run, workspace=where.workspace, force=force)
    if as_json:
        document(summary.to_json())
        return
    out(Painted(summary.run.id, "bold"), " is ", state(summary), f", step {steps(summary)}.")
    if summary.ended:
        show_reason(summary)
        out("Go on: ", Painted(where.command("runs", "resume", summary.run.id), "bold"))
    else:
        out("It still saves. Follow it: ", Painted(where.command("runs", "follow", summary.run.id), "bold"))


@runs.command(cls=Command)
def resume(
    ctx: typer.Context,
    run: RunName,
    follow: FollowOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a stopped or failed run.

    It starts from its newest complete checkpoint; on one CPU thread it comes to the same numbers as if it had never ended.
    """
    from codex.cli.train import say_started
    from codex.services import train as service

    where = place(ctx, workspace)
    started, checkpoint = service.resume(run, workspace=where.workspace)
    wanted = is_terminal(sys.stdout) if follow is None else follow
    come_from = f"It goes on from {checkpoint.name}." if checkpoint else "It has no complete checkpoint and begins anew."
    say_started(started, where, facts=[come_from], follow=wanted, as_json=as_json)
    if wanted:
        follow_to_end(started.id, where, as_json=as_json)


@runs.command(cls=Command)
def rename(
    ctx: typer.Context,
    run: RunName,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="The new title, on one line.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a run another title."""
    from codex.services import runs as service

    where = place(ctx, workspace)
    renamed = service.rename(run, title, workspace=where.workspace)
    if as_json:
        document({"run": renamed.id, "title": renamed.title})
    else:
        out(f"{renamed.id} is now called {one_line(renamed.title)!r}.")


@runs.command(cls=Command)
def delete(
    ctx: typer.Context,
    run: RunName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a run and all its files, after saying what that frees."""
    from codex.services import runs as service

    where = place(ctx, workspace)
    found = service.preview_delete(run, workspace=where.workspace)
    held = [numbers.plural(found.checkpoints, "checkpoint")] if found.checkpoints else []
    held += ["its adapter"] if found.adapter else []
    with_what = f" with {' and '.join(held)}" if held else ""
    what = f"{found.run.id} ({one_line(found.run.title)}): {numbers.size(found.bytes)}{with_what}"
    if not yes and not _confirmed(what, found.run.id):
        note(f"{found.run.id} was kept.")
        raise typer.Exit(1)
    freed = service.delete(found.run.id, workspace=where.workspace)
    if as_json:
        document({"run": found.run.id, "freed_bytes": freed})
    else:
        out(f"Deleted {found.run.id}; {numbers.size(freed)} freed.")


def _confirmed(what: str, run_id: str) -> bool:
    """Whether a person says yes.

    Raises:
        UserError: there is nobody to ask.
    """
    if not is_terminal(sys.stdin) or not is_terminal(sys.stderr):
        raise UserError(
            f"nobody can be asked whether to delete {what}",
            "expected a terminal, or `--yes`",
            f"Write `codex-ml runs delete {run_id} --yes`.",
        )
    note(f"Delete {what}? It cannot be undone. [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@runs.command(cls=Command)
def config(
    ctx: typer.Context,
    run: LastRun = "last",
    asked: Annotated[bool, typer.Option("--asked", help="Only what was asked for: recipe and overrides.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run's whole configuration, or what was asked for."""
    from codex.services import runs as service

    where = place(ctx, workspace)
    text = service.configuration(run, workspace=where.workspace, asked=asked)
    if as_json:
        from codex.services.configure import read_values

        document(read_values(text))
    else:
        out(text, end="")
