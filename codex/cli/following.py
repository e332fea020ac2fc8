"""Follow a run to its end, for every command that starts one or looks at one."""

from __future__ import annotations

import typer

from codex.cli.options import Place
from codex.cli.outcome import show_end
from codex.cli.progress import watch
from codex.cli.terminal import note, record

FAILED = 1
INTERRUPTED = 130


def how_to_watch(run_id: str, place: Place) -> str:
    """The commands for a run that nobody follows."""
    return f"Follow it: `{place.command('runs', 'follow', run_id)}`; stop it: `{place.command('runs', 'stop', run_id)}`."


def follow_to_end(run_id: str, place: Place, *, as_json: bool) -> None:
    """Show a run until it has ended and how it ended; leaving by Ctrl-C lets it go on, and says so.

    Raises:
        typer.Exit: it did not finish (1), or the person left (130).
    """
    from codex.services import runs

    try:
        summary = watch(runs.follow(run_id, workspace=place.workspace), as_json=as_json)
    except KeyboardInterrupt:
        note(f"{run_id} goes on. {how_to_watch(run_id, place)}")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        record({"event": "ended", **summary.to_json()})
    else:
        show_end(summary, place)
    if summary.status.state != "finished":
        raise typer.Exit(FAILED)
