"""A command line that makes no sense, said as every other error: value, expectation, fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

import typer
import typer.core

from codex.core.errors import Problem, UserError

PROGRAM = "codex-ml"


class Command(typer.core.TyperCommand):
    """A command whose help names its arguments as its usage line does."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """As typer does, without the arguments' Python types."""
        params: list[Any] = self.get_params(ctx)
        arguments = [(each.metavar, each.help or "") for each in params if each.param_type_name == "argument"]
        options = [each.get_help_record(ctx) for each in params if each.param_type_name == "option"]
        for title, records in (("Arguments", arguments), ("Options", options)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class CommandGroup(typer.core.TyperGroup):
    """A group of commands that names the nearest for one that it does not have, and shows its help when none is given."""

    default = "--help"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, with the default where no command is named."""
        return super().parse_args(ctx, args or [self.default])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer does, with our message for an unknown name."""
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        raise UserError(f"no such command {name!r}", f"expected one of {', '.join(self.list_commands(ctx))}", self._suggestion(ctx, name))

    def _suggestion(self, ctx: Any, name: str) -> str:
        near = get_close_matches(name, self.list_commands(ctx), n=1)
        if near:
            return f"Try `{ctx.command_path} {near[0]}`."
        if "=" in name and ctx.parent is None:
            return f"Try `{PROGRAM} train {name}`."
        leaves = _leaves(ctx.find_root().command)
        elsewhere = get_close_matches(name, leaves, n=1, cutoff=0.8)
        return f"Try `{PROGRAM} {leaves[elsewhere[0]]}`." if elsewhere else f"See `{ctx.command_path} --help`."


class RunsGroup(CommandGroup):
    """`codex-ml runs` alone, or with options only, lists the runs."""

    default = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As its parent does, with the options for the default."""
        return super().parse_args(ctx, [self.default, *args] if args and args[0].startswith("-") and args[0] != "--help" else args)


class LogsGroup(CommandGroup):
    """Its commands have many options: they are imported when one of them is asked for, so that all others start as without them."""

    @property
    def commands(self) -> Any:
        """Name → command."""
        return _commands_of_logs()

    @commands.setter
    def commands(self, nothing: Any) -> None:
        """Typer sets those that it was given: none."""


@cache
def _commands_of_logs() -> Any:
    import typer.main

    from codex.cli.logs import logs

    group: Any = typer.main.get_command(logs)
    return group.commands


class Root(CommandGroup):
    """All of them, in the order in which a newcomer meets them."""

    order = ("train", "runs", "chat", "notebooks", "config", "doctor", "logs", "demo")

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in order."""
        return sorted(super().list_commands(ctx), key=self.order.index)


def tree(group: type[CommandGroup] = CommandGroup) -> typer.Typer:
    """A group to add commands to."""
    return typer.Typer(cls=group, rich_markup_mode=None, add_completion=False)


def _leaves(command: Any, path: str = "") -> dict[str, str]:
    """Last word → whole path of every command below `command`."""
    found: dict[str, str] = {}
    for name, inner in getattr(command, "commands", {}).items():
        whole = f"{path} {name}".strip()
        found |= {**_leaves(inner, whole), name: whole} if name not in found else _leaves(inner, whole)
    return found


def problem_of(error: typer.TyperException, arguments: Sequence[str]) -> Problem:
    """What `error`, raised while the command line was read, is about.

    Typer keeps its kinds of error to itself, so they are told apart by what they carry;
    one that is not known here is said in its own words.

    Args:
        error: as raised.
        arguments: the command line.
    """
    ctx: Any = getattr(error, "ctx", None)
    see = f"See `{ctx.command_path if ctx is not None else PROGRAM} --help`."
    option: str | None = getattr(error, "option_name", None)
    param: Any = getattr(error, "param", None)
    if option is not None and hasattr(error, "possibilities"):
        return _unknown_option(option, ctx, arguments, see)
    if option is not None:
        return _misused_option(option, error.message)
    if param is not None and type(error).__name__ == "MissingParameter":
        return Problem(f"{param.metavar} is missing", f"expected {_lower(param.help.rstrip('.'))}", f"Add it: `{_usage(ctx)}`.")
    extra = re.search(r"unexpected extra argument\(s\) \((.*)\)$", error.message, re.DOTALL)
    if extra:
        fix = "Take it out, or put quotes around text with blanks."
        return Problem(f"argument {extra[1]!r} is one too many", f"expected `{_usage(ctx)}`", fix)
    if ctx is not None and error.message.startswith("Missing command"):
        return Problem("no command is named", f"expected one of {', '.join(ctx.command.list_commands(ctx))}", see)
    return Problem(error.format_message().rstrip("."), f"expected `{_usage(ctx)}`" if ctx is not None else "expected a command", see)


def _unknown_option(option: str, ctx: Any, arguments: Sequence[str], see: str) -> Problem:
    typed = next((each for each in arguments if each.partition("=")[0] == option), None)
    typed = typed or next((each for each in arguments if each.startswith(option)), option)
    params: list[Any] = ctx.command.params if ctx is not None else []
    known = [name for each in params for name in (*each.opts, *each.secondary_opts) if name.startswith("--")]
    bare = typed.lstrip("-")
    near = get_close_matches(typed.partition("=")[0], known, n=1)
    takes_overrides = any(each.metavar == "KEY=VALUE" for each in params)
    if takes_overrides and ("=" in bare or "." in bare or not near):
        fix = f"Overrides take no dashes: `{bare if '=' in bare else bare + '=VALUE'}`."
    else:
        fix = f"Try `{near[0]}`." if near else see
    return Problem(f"option {typed!r} is unknown", f"expected one of {', '.join((*known, '--help'))}", fix)


def _misused_option(option: str, message: str) -> Problem:
    if "does not take a value" in message:
        return Problem(f"option {option!r} was given a value", "expected none", f"Write `{option}` alone.")
    return Problem(f"option {option!r} has no value", "expected one after it", f"Write `{option} VALUE`.")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _usage(ctx: Any) -> str:
    """The command's form on one line: "codex-ml runs show [OPTIONS] RUN"."""
    return " ".join(ctx.get_usage().removeprefix("Usage:").replace("{", "").replace("}", "").split())
