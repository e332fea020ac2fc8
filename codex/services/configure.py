"""What a person can ask for: the recipes, the settings, and what a recipe with overrides comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codex.config.compose import Composed
from codex.config.compose import compose as compose_run
from codex.config.explain import FieldHelp, RecipeInfo, explain, recipes
from codex.config.plain import load as load_yaml
from codex.config.table import flat
from codex.core.errors import UserError
from codex.core.paths import Workspace

__all__ = [
    "Composed",
    "FieldHelp",
    "RecipeInfo",
    "YamlLine",
    "compose",
    "explain",
    "flat_values",
    "lines_of",
    "marked",
    "read_values",
    "recipes",
    "values_of",
]


def compose(overrides: Sequence[str], *, workspace: Workspace) -> Composed:
    """The configuration that a run with these overrides would have, and how it came about.

    Raises:
        ConfigError: with every problem.
    """
    return compose_run(overrides=overrides, workspace=workspace)


def values_of(composed: Composed) -> Mapping[str, Any]:
    """The whole configuration as nested JSON values, without secrets."""
    return load_yaml(composed.resolved_yaml())


@dataclass(frozen=True)
class YamlLine:
    """One line of a configuration.

    Args:
        text: as it stands, without its end.
        changed: whether it says something else than the recipe, or was asked for.
        field: the setting that stands there, by dotted name; None for a comment.
    """

    text: str
    changed: bool
    field: str | None


def lines_of(text: str) -> dict[str, int]:
    """Dotted name → line (from 0) of every key in a YAML document."""
    import yaml

    def walk(node: yaml.Node | None, at: str) -> Iterator[tuple[str, int]]:
        for key, child in node.value if isinstance(node, yaml.MappingNode) else ():
            yield f"{at}{key.value}", key.start_mark.line
            yield from walk(child, f"{at}{key.value}.")

    return dict(walk(yaml.compose(text), ""))


def marked(resolved: str, asked: str) -> list[YamlLine]:
    """The lines of a run's configuration; those that its `asked.yaml` names are marked. Text that is no YAML has no marks."""
    try:
        named = _named(read_values(asked))
        places = {line: name for name, line in lines_of(resolved).items()}
    except UserError:
        return [YamlLine(line, False, None) for line in resolved.splitlines()]
    return [
        YamlLine(line, any(f"{name}.".startswith(f"{one}.") for one in named), name)
        for line, name in ((line, places.get(number, "")) for number, line in enumerate(resolved.splitlines()))
    ]


def _named(asked: Any) -> set[str]:
    """The settings and groups that an `asked.yaml` names."""
    held: Mapping[str, Any] = asked if isinstance(asked, Mapping) else {}
    overrides = [str(each).partition("=")[0].strip() for each in held.get("overrides") or ()]
    variables = [name.removeprefix("CODEX_").lower().replace("__", ".") for name in held.get("variables") or {}]
    return {*overrides, *variables, *(held.get("arguments") or {})}


def flat_values(text: str) -> Mapping[str, Any]:
    """The settings that a configuration's YAML holds, by dotted name.

    Raises:
        UserError: it is no YAML, or holds no settings.
    """
    values = read_values(text)
    if not isinstance(values, Mapping):
        raise UserError("the configuration holds no settings", "expected what Codex wrote there", "Put the file back, or delete the run.")
    return dict(flat(values))


def read_values(text: str) -> Any:
    """The values that a configuration's YAML holds.

    Raises:
        UserError: it is no YAML.
    """
    import yaml

    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"the configuration is no YAML: {said}", "expected what Codex wrote there", "Put the file back, or delete the run."
        ) from error
