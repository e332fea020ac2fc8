"""`codex-ml notebooks`: the notebooks, served to this machine's browser until Ctrl-C."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from codex.cli.options import JsonOption, WorkspaceOption, place
from codex.cli.terminal import is_terminal, note, out, record
from codex.core.errors import RunError

if TYPE_CHECKING:
    from codex.services.side_program import SideProgram

LOOK_SECONDS = 0.5

OpenOption = Annotated[
    bool | None, typer.Option("--open/--no-open", help="Open it in the browser; default on a terminal.", show_default=False)
]


def notebooks(
    ctx: typer.Context,
    jupyter: Annotated[bool, typer.Option("--jupyter", help="JupyterLab instead of marimo.")] = False,
    open_it: OpenOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open your copies of the notebooks, until Ctrl-C.

    They are copied into the workspace's folder `notebooks` when they are not there, and are yours to change. Runs that they started go on
    when this ends.
    """
    from codex.services import side

    where = place(ctx, workspace).workspace
    with (side.lab if jupyter else side.notebooks)(where) as program:
        if not as_json:
            note(f"Starting {program.program.name}.")
        url = program.open()
        if as_json:
            record({"program": program.program.name, "url": url, "folder": str(side.notebooks_folder(where))})
        else:
            out(url)
            note(f"{program.program.name} shows {side.notebooks_folder(where)}. Ctrl-C ends it.")
        if is_terminal(sys.stdout) if open_it is None else open_it:
            _open_browser(url)
        _watch(program)


def _open_browser(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        note("No browser was found here: open the address yourself.")


def _watch(program: SideProgram) -> None:
    """Stay until it ends.

    Raises:
        RunError: it ended by itself.
    """
    while program.status.state == "ready":
        time.sleep(LOOK_SECONDS)
    status = program.status
    last = f" It wrote: {status.lines[-1].strip()}" if status.lines else ""
    raise RunError(f"{program.program.name} is gone: {status.reason}{last}", "expected it to run until Ctrl-C", "Start it again.")
