"""Every command's help in one page: `python -m tests.cli.reference > docs/cli.md`."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from codex.cli.app import app, main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
WIDTH = "80"
HEAD = """# The command line

Generated from the program's own help by `python -m tests.cli.reference > docs/cli.md`; a test fails when it is out of date.

Exit codes: 0 it did what was asked; 1 a followed run did not finish, a `doctor` found something missing or damaged, or a deletion was
declined; 2 something that you can mend, said on stderr as value, expectation, fix; 130 after Ctrl-C; 141 when the reader of a pipe left.
With `--json`, stdout holds one JSON document, or one object a line for `--follow`, `follow`, `tail`, `chat` and `notebooks`; errors are one
object on stderr. In a pipe nothing is coloured or cut; CSV and exports are UTF-8.
"""


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command and group, in the order of the help."""
    command = command or typer.main.get_command(app)
    yield path
    if hasattr(command, "commands"):
        for name in command.list_commands(None):
            yield from commands(command.commands[name], (*path, name))


def help_of(path: tuple[str, ...]) -> str:
    """What `--help` of a command prints in a window of 80 columns."""
    written, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(written):
            assert main([*path, "--help"]) == 0
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return written.getvalue()


def page() -> str:
    """The whole page."""
    parts = [f"## {' '.join(('codex-ml', *path))}\n\n```\n{help_of(path)}```\n" for path in commands()]
    return "\n".join((HEAD, *parts))


if __name__ == "__main__":
    print(page(), end="")
