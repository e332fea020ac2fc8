"""The tree of commands, and the one place where an error becomes words and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
import typer.main

from codex.cli.chat import chat
from codex.cli.config import config
from codex.cli.doctor import doctor
from codex.cli.following import INTERRUPTED
from codex.cli.notebooks import notebooks
from codex.cli.options import WorkspaceOption
from codex.cli.runs import runs
from codex.cli.terminal import complain, note, out, silence
from codex.cli.train import demo, train
from codex.cli.usage import PROGRAM, Command, LogsGroup, Root, problem_of, tree
from codex.core.errors import Problem, UserError

USER_ERROR = 2
PIPE_CLOSED = 141
"""What a shell shows for a program that writes to a closed pipe."""

app = tree(Root)


def _version(wanted: bool) -> None:
    if wanted:
        from codex import __version__

        out(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def of_all(
    workspace: WorkspaceOption = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")] = False,
) -> None:
    """Fine-tune language models on your own machine, and know whether they got better.

    Begin with `codex-ml demo`, or `codex-ml train --dry-run`.
    """


app.command(cls=Command)(train)
app.add_typer(runs, name="runs")
app.command(cls=Command)(chat)
app.command(cls=Command)(notebooks)
app.add_typer(config, name="config")
app.command(cls=Command)(doctor)
app.add_typer(tree(LogsGroup), name="logs", help="Look at the session log: training steps, verdicts, chats.")
app.command(cls=Command)(demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code.

    0 when it did what was asked, 1 when a followed run did not finish or something is missing, 2 for what the person can mend,
    130 for Ctrl-C, 141 when the reader of the output left.

    Args:
        arguments: without the program's name; those of this process when None.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in typed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(typed)
    except UserError as error:
        return _complain(error.problems, as_json=as_json)
    except typer.TyperException as error:
        return _complain((problem_of(error, typed),), as_json=as_json)
    except BrokenPipeError:
        silence(sys.stdout)
        return PIPE_CLOSED
    except KeyboardInterrupt:
        note()
        return INTERRUPTED


def _run(typed: list[str]) -> int:
    """Run the command; typer's own `main` would print errors its own way and offer to install completion."""
    for argument in typed:
        if not _is_text(argument):
            raise UserError(f"argument {argument!r} is not UTF-8", "expected UTF-8 text", "Give the file another name.")
    command = typer.main.get_command(app)
    try:
        with command.make_context(PROGRAM, list(typed)) as ctx:
            command.invoke(ctx)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _complain(problems: tuple[Problem, ...], *, as_json: bool) -> int:
    try:
        complain(problems, as_json=as_json)
    except BrokenPipeError:
        silence(sys.stderr)
    return USER_ERROR
