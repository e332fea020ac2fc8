"""What several commands take, and how what was typed becomes a value."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from codex.cli.usage import PROGRAM
from codex.core.errors import UserError

if TYPE_CHECKING:
    from codex.core.paths import Workspace

WorkspaceOption = Annotated[
    str | None, typer.Option("--workspace", metavar="DIR", help="Folder of everything you make; else CODEX_WORKSPACE, else ~/.codex-ml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON on stdout and nothing else; errors are JSON on stderr.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="A recipe (recipe=NAME), an option (method=lora), or a setting (training.steps=50)."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id (r-0007), number (7), title, or `last`.")]
LastRun = Annotated[str, typer.Argument(metavar="RUN", help="A run's id (r-0007), number (7), or title; the newest without.")]


@dataclass(frozen=True)
class Place:
    """The workspace that a command works in.

    Args:
        workspace: as found.
        asked: as given by `--workspace`; None when it comes from elsewhere.
    """

    workspace: Workspace
    asked: str | None

    def command(self, *words: str) -> str:
        """A command that a person can type to go on in the same workspace."""
        tail = ("--workspace", self.asked) if self.asked is not None else ()
        return shlex.join((PROGRAM, *words, *tail))


def place(ctx: typer.Context, workspace: str | None) -> Place:
    """Where a command works: its own `--workspace`, else that before the command, else the environment's.

    Raises:
        UserError: the folder's name is empty, or something that is no folder has it.
    """
    from codex.core.paths import WORKSPACE_VARIABLE, Workspace

    asked: str | None = workspace if workspace is not None else ctx.find_root().params.get("workspace")
    if asked is not None and not asked.strip():
        raise UserError(f"`--workspace` is {asked!r}", "expected a folder's name", "Write `--workspace DIR`, or leave it out.")
    found = Workspace.locate(asked)
    if found.root.exists() and not found.root.is_dir():
        origin = "--workspace" if asked is not None else WORKSPACE_VARIABLE
        fix = "Name another one: `--workspace DIR`."
        raise UserError(f"the workspace {str(found.root)!r} is no folder", "expected a folder, or a name that is free", fix, origin)
    return Place(found, asked)


def whole_number(option: str, typed: str, low: int, high: int) -> int:
    """`typed` as a whole number from `low` to `high`.

    Raises:
        UserError: it is none.
    """
    expected = f"expected a whole number, {low:,} to {high:,}"
    try:
        value = int(typed)
    except ValueError:
        raise UserError(f"`{option}` is {_short(typed)!r}", expected, f"For example `{option} {max(low, min(high, 42))}`.") from None
    if not low <= value <= high:
        nearest = low if value < low else high
        raise UserError(f"`{option}` is {_short(typed)}", expected, f"Set `{option} {nearest}`.")
    return value


def number(option: str, typed: str, low: float, high: float) -> float:
    """`typed` as a number from `low` to `high`.

    Raises:
        UserError: it is none.
    """
    expected = f"expected a number, {low:g} to {high:g}"
    try:
        value = float(typed)
    except ValueError:
        raise UserError(f"`{option}` is {_short(typed)!r}", expected, f"For example `{option} {low + (high - low) * 0.35:g}`.") from None
    if not low <= value <= high:
        raise UserError(f"`{option}` is {_short(typed)}", expected, f"Set `{option} {high if value > high else low:g}`.")
    return value


def one_of(option: str, typed: str, choices: tuple[str, ...]) -> str:
    """`typed`, when it is one of `choices`.

    Raises:
        UserError: it is not; the message names the nearest.
    """
    from difflib import get_close_matches

    if typed in choices:
        return typed
    near = get_close_matches(typed.lower(), choices, n=1, cutoff=0.3)
    fix = f"Write `{option} {near[0] if near else choices[-1]}`."
    raise UserError(f"`{option}` is {_short(typed)!r}", f"expected one of {', '.join(choices)}", fix)


def assignments(arguments: list[str] | None) -> list[str]:
    """`arguments`, each of which is a `key=value`.

    Raises:
        UserError: one is not.
    """
    for argument in arguments or ():
        if "=" not in argument:
            setting = "." in argument and os.sep not in argument
            fix = f"Write `{_short(argument)}=VALUE`." if setting else f"Write `recipe={_short(argument)}` if it is a recipe."
            raise UserError(f"argument {_short(argument)!r} has no `=`", "expected `recipe=NAME` or `key=value`", fix)
    return arguments or []


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
