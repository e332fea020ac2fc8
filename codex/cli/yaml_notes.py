"""A configuration as YAML in which every line that differs from the recipe says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codex.cli.terminal import Painted, one_line, out

if TYPE_CHECKING:
    from codex.config.composed import Composed


def said(value: Any) -> str:
    """A value as it would be typed."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(said(each) for each in value)}]"
    return one_line(str(value)) if value != "" else '""'


def show_configuration(composed: Composed) -> None:
    """Write the whole configuration with its changes marked, then the changes alone; all of it is valid YAML."""
    from codex.services.configure import lines_of

    text = composed.resolved_yaml()
    places = lines_of(text)
    changes = composed.changes()
    marks = {
        places[change.field]: f"recipe: {said(change.recipe_value)}, from {one_line(change.origin)}"
        for change in changes
        if change.field in places
    }
    for number, line in enumerate(text.splitlines()):
        if number in marks:
            out(Painted(line, "bold"), Painted(f"  # {marks[number]}", "live"))
        else:
            out(line)
    recipe = one_line(composed.config.recipe)
    if not changes:
        out(f"# As the recipe {recipe} has it.")
        return
    out(f"# Differs from the recipe {recipe} in {len(changes)} setting{'s' if len(changes) > 1 else ''}:")
    for change in changes:
        out(f"#   {change.field}: {said(change.value)} instead of {said(change.recipe_value)} ({one_line(change.origin)})")


def changes_json(composed: Composed) -> list[dict[str, Any]]:
    """The changes as JSON values."""
    return [{"field": each.field, "recipe": each.recipe_value, "value": each.value, "origin": each.origin} for each in composed.changes()]
