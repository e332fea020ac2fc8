"""What a person asked for besides the recipe: `key=value` overrides, `CODEX_<GROUP>__<FIELD>` variables, and arguments from Python."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from codex.config.fields import GROUPS
from codex.config.plain import dump
from codex.config.table import Entry, flat
from codex.config.words import brief, in_words, shorten
from codex.core.errors import Problem

_VARIABLE = re.compile(rf"CODEX_({'|'.join(group.upper() for group in GROUPS)})__([A-Z0-9_]+)")


@dataclass
class Asked:
    """What was asked, sorted by what it is.

    Args:
        recipe: the recipe's name.
        variables: the variables that were heard.
        overrides: the overrides as typed.
        arguments: the dotted names and values that Python gave.
        choices: option by group.
        settings: entry by dotted name, later ones replacing earlier ones.
        origins: where the recipe's name and each choice came from.
        problems: what could not be understood.
    """

    recipe: str
    variables: dict[str, str] = field(default_factory=dict[str, str])
    overrides: list[str] = field(default_factory=list[str])
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    choices: dict[str, str] = field(default_factory=dict[str, str])
    settings: dict[str, Entry] = field(default_factory=dict[str, Entry])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    problems: list[Problem] = field(default_factory=list[Problem])

    def as_yaml(self, secrets: Sequence[str]) -> str:
        """The recipe, variables, overrides and arguments as asked; a secret's value is not written."""

        def hidden(name: str) -> bool:
            return name in secrets

        variables = {key: "(secret)" if hidden(dotted(key)) else value for key, value in self.variables.items()}
        overrides = [f"{_key(one)}=(secret)" if hidden(_key(one)) else one for one in self.overrides]
        arguments = {key: "(secret)" if hidden(key) else _writable(value) for key, value in self.arguments.items()}
        return dump({"recipe": self.recipe, "variables": variables, "overrides": overrides, "arguments": arguments})

    def take(self, name: str, entry: Entry) -> None:
        """Hear one assignment: the recipe, a group's option, or a setting."""
        said = entry.value if entry.text is None else entry.text
        if not name.isprintable():
            fix = "List all settings: `codex-ml config explain`."
            self.problems.append(
                Problem(f"{brief(name, repr)} is no setting", "expected the dotted name of a setting", fix, in_words(entry.origin))
            )
            return
        if name == "method.name":  # a form field, but what it means is the choice of the method with all its settings
            name = "method"
        if name != "recipe" and name not in GROUPS:
            self.settings.pop(name, None)
            self.settings[name] = entry
            return
        self.origins[name] = entry.origin
        if not isinstance(said, str):
            expected = f"expected the name of a {'recipe' if name == 'recipe' else f'{name} option'}"
            self.problems.append(Problem(f"`{name}` is {brief(said, repr)}", expected, f"Set `{name}=NAME`.", in_words(entry.origin)))
        elif name == "recipe":
            self.recipe = said.strip()
        else:
            self.choices[name] = said.strip()


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _writable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_writable(one) for one in cast("Sequence[Any]", value)]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def dotted(variable: str) -> str:
    """The dotted name that a variable sets: CODEX_TRAINING__STEPS sets training.steps."""
    return variable.removeprefix("CODEX_").lower().replace("__", ".")


def _hear_variables(asked: Asked, environ: Mapping[str, str]) -> None:
    for variable, text in sorted(environ.items()):
        # An empty variable is how shells and CI systems say "not set".
        if _VARIABLE.fullmatch(variable) and text:
            asked.variables[variable] = text
            asked.take(dotted(variable), Entry(text, text, f"variable {variable}", typed=True))


def _hear_override(asked: Asked, override: str) -> None:
    key, equals, text = override.partition("=")
    name = key.strip().lstrip("+~")
    where = f"override `{shorten(override)}`"
    if not equals or not name:
        fix = f"Write `{shorten(name)}=VALUE`." if name else "Write the setting's name before the `=`."
        asked.problems.append(Problem(f"{shorten(override)!r} is no override", "expected `key=value`", fix, where))
    elif name != key.strip():
        fix = f"Write `{name}={shorten(text)}`."
        asked.problems.append(Problem(f"the key {key.strip()!r} starts with a sign", "expected `key=value`", fix, where))
    else:
        asked.take(name, Entry(text, text, f"override {shorten(override)}", typed=True))


def _told(value: Any) -> Any:
    return os.fspath(cast("os.PathLike[str]", value)) if isinstance(value, os.PathLike) else value


def _hear_arguments(asked: Asked, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        inner = flat(cast("Mapping[str, Any]", value), f"{name}.") if isinstance(value, Mapping) else [(name, value)]
        for key, one in inner:
            asked.arguments[key] = _told(one)
            asked.take(key, Entry(_told(one), None, f"argument {key}={brief(_told(one))}"))


def hear(recipe: str, overrides: Sequence[str], environ: Mapping[str, str], values: Mapping[str, Any]) -> Asked:
    """Take apart what was asked; a later source replaces an earlier one: variables, then overrides, then arguments."""
    asked = Asked(recipe, origins={"recipe": f"override recipe={shorten(recipe)}"})
    _hear_variables(asked, environ)
    asked.overrides = list(overrides)
    for override in overrides:
        _hear_override(asked, override)
    _hear_arguments(asked, values)
    return asked
