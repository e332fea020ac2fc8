"""`codex-ui`: open the app. Nothing heavier than typer is imported before the options are read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
import typer.main

from codex.core.errors import UserError

PROGRAM = "codex-ui"
USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def ui(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to bind; any but this machine's own needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind; 0 takes a free one.")] = 7860,
    workspace: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of everything you make; else CODEX_WORKSPACE, else ~/.codex-ml.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    token: Annotated[
        str | None, typer.Option(metavar="TEXT", envvar="CODEX_UI_TOKEN", help="What a browser must show; made up where one is needed.")
    ] = None,
) -> None:
    """Set up runs, watch them, judge them and talk to them in a browser.

    The app stays on this machine: it binds 127.0.0.1 and contacts nobody. Runs go on when it ends.
    """
    from codex_ui.serve import serve

    serve(host, port, workspace, token, open_browser=open_browser)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app until it is stopped; returns the exit code: 0, 2 for what the person can mend, 130 for Ctrl-C."""
    command = typer.main.get_command(app)
    try:
        with command.make_context(PROGRAM, list(sys.argv[1:] if arguments is None else arguments)) as ctx:
            command.invoke(ctx)
    except typer.Exit as leaving:
        return leaving.exit_code
    except UserError as error:
        for problem in error.problems:
            print(f"Error: {problem}", file=sys.stderr)  # noqa: T201 - this is a terminal's face
        return USER_ERROR
    except typer.TyperException as error:
        print(f"Error: {error.format_message()} Try `{PROGRAM} --help`.", file=sys.stderr)  # noqa: T201
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
