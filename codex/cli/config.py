"""`codex-ml config`: what a run can be asked for, and what a recipe with overrides comes to."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex.cli.options import JsonOption, Overrides, WorkspaceOption, assignments, place
from codex.cli.tables import table
from codex.cli.terminal import Painted, document, note, one_line, out, width
from codex.cli.usage import Command, tree
from codex.cli.yaml_notes import changes_json, said, show_configuration
from codex.core import numbers

if TYPE_CHECKING:
    from codex.config.fields import FieldHelp

config = tree()


@config.callback()
def of_all() -> None:
    """Show configurations, explain settings, list recipes."""


@config.command(cls=Command)
def show(ctx: typer.Context, overrides: Overrides = None, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show what a recipe with overrides comes to.

    Each line that differs from the recipe says so.
    """
    from codex.services import configure

    composed = configure.compose(assignments(overrides), workspace=place(ctx, workspace).workspace)
    if as_json:
        shown = {"recipe": composed.config.recipe, "configuration": configure.values_of(composed), "changes": changes_json(composed)}
        document({**shown, "origins": composed.origins})
    else:
        show_configuration(composed)


@config.command(cls=Command)
def explain(
    ctx: typer.Context,
    field: Annotated[
        str | None,
        typer.Argument(metavar="FIELD", help="A setting (training.steps) or a group (training); all without.", show_default=False),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a setting means, what it takes, and its default."""
    from codex.services import configure

    place(ctx, workspace)
    found = configure.explain(field)
    if as_json:
        document([_setting_json(each) for each in found])
    elif field is None:
        table(["setting", "takes", "default", "what"], [[each.name, each.expectation, _default(each), each.title] for each in found])
        note("More about one: `codex-ml config explain training.steps`.")
    else:
        for each in found:
            _explain(each)


def _default(setting: FieldHelp) -> str:
    return "" if setting.required else said(setting.default)


def _explain(setting: FieldHelp) -> None:
    out(Painted(setting.name, "bold"), f"  {setting.title}{f' [{setting.unit}]' if setting.unit else ''}")
    lines = [setting.help, f"Takes {setting.expectation}." + ("" if setting.required else f" Default: {_default(setting)}.")]
    if setting.methods:
        lines.append(f"Only with {' or '.join(f'method={method}' for method in setting.methods)}.")
    if not setting.required:
        lines.append(f"Set it: {setting.name}={_default(setting) or 'VALUE'}")
    for line in lines:
        _fill(line)


def _fill(text: str) -> None:
    """Write a paragraph, indented and no wider than the window; commands and paths are not broken."""
    indent = "  "
    out(
        textwrap.fill(
            one_line(text), width(), initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    )


def _setting_json(setting: FieldHelp) -> dict[str, Any]:
    from dataclasses import asdict

    values = asdict(setting)
    values.pop("text")
    return {**values, "takes": setting.expectation}


@config.command(cls=Command)
def recipes(ctx: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the shipped recipes and the workspace's own."""
    from dataclasses import asdict

    from codex.services import configure

    where = place(ctx, workspace)
    found = configure.recipes(where.workspace)
    if as_json:
        document([asdict(each) for each in found])
        return
    for each in found:
        out(Painted(each.name, "bold"), f"  {one_line(each.file)}" if each.own else "")
        for text in (each.about, *each.needs, f"Cannot be used: {each.problem}" if each.problem else ""):
            if text:
                _fill(text)
    note(f"{numbers.plural(len(found), 'recipe')}. Your own go to {one_line(str(where.workspace.recipes))}.")
    note(f"Look at one: `{where.command('config', 'show', 'recipe=NAME')}`.")
