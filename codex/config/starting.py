"""What a form begins with, and how what was typed into it is asked for.

A form holds text: for each setting what a person would type on a command line, and for each group the option that was chosen. What differs
from where the form began becomes `key=value` overrides, so that a form, a command and a notebook ask for a run in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import copysign
from typing import Any

from pydantic import TypeAdapter, ValidationError

from codex.config.asked import hear
from codex.config.compose import DEFAULT_RECIPE, start_of
from codex.config.fields import GROUPS, FieldHelp, settings_of
from codex.config.library import Library, follow
from codex.config.plain import dump_inline, plain
from codex.config.table import REQUIRED, Entry, Table, put, settle
from codex.config.validate import method_of
from codex.config.words import in_words
from codex.core.errors import ConfigError, Problem

BY_CHOICE = {"recipe": "recipe", "method.name": "method"}
"""Settings that a form does not take as text, and the choice that says them."""
_SWITCH = TypeAdapter(bool)


@dataclass(frozen=True)
class Draft:
    """What a form holds.

    Args:
        recipe: the recipe's name.
        choices: option by group, where one was chosen; an empty one leaves it to the recipe.
        texts: what was typed, by the setting's dotted name. A setting that is not named is as it began, and one that does not exist with
            these choices counts for nothing.
    """

    recipe: str = DEFAULT_RECIPE
    choices: Mapping[str, str] = field(default_factory=dict[str, str])
    texts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Held:
    """What a setting holds before anything is typed.

    Args:
        setting: which.
        value: what holds; REQUIRED where a person must say something.
        text: as a person would type it; empty also where nothing holds.
        origin: where it came from, in words; None for a default.
    """

    setting: FieldHelp
    value: Any
    text: str
    origin: str | None = None

    def said_by(self, text: str) -> bool:
        """Whether `text` asks for what holds anyway."""
        return text == self.text or _same(_meant(Entry(text, text, "", typed=True), self.setting), self.value)


@dataclass(frozen=True)
class Beginning:
    """Where a form begins.

    Args:
        options: the option of each group.
        held: each setting that exists with these, in the schema's order.
        problems: choices that do not exist, whose groups are as the recipe has them.
    """

    options: Mapping[str, str]
    held: Mapping[str, Held]
    problems: tuple[Problem, ...]


def typed(value: Any) -> str:
    """A value as a person would type it."""
    if value is None or value == REQUIRED:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-")
    return value if isinstance(value, str) else dump_inline(value)


def switched(value: Any) -> bool | None:
    """What a switch makes of a value, as validation does: `1`, `on` and `True` are true; None for what it refuses."""
    try:
        return _SWITCH.validate_python(value)
    except ValidationError:
        return None


def switch_of(text: str) -> bool | None:
    """What a switch makes of what was typed; None for what it refuses."""
    return switched(plain(text))


def _meant(entry: Entry, setting: FieldHelp) -> Any:
    """The value of `entry`; a switch's as it is taken, however it was written."""
    value = settle(entry, setting)
    switch = switched(value) if setting.switch else None
    return value if switch is None else switch


def _same(one: Any, other: Any) -> bool:
    """Whether two values mean the same to every setting: 1 is 1.0, and neither is `true`."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return repr(one) == repr(other) or (numbers and one == other and copysign(1, one) == copysign(1, other))


def _text(entry: Entry, value: Any) -> str:
    """How an entry was written, where that says its value; a number keeps its form: `2e-4`."""
    if entry.text is None or value is None or value == REQUIRED or isinstance(value, bool):
        return typed(value)
    return entry.text if entry.typed else entry.text.strip()


def _held(table: Table, settings: Mapping[str, FieldHelp]) -> dict[str, Held]:
    """Each setting that exists, as text that is typed: of a section that may be empty, the section or what is in it; no secrets."""
    optional = [name for name, setting in settings.items() if setting.type == "settings"]
    filled = [name for name in optional if any(one.startswith(f"{name}.") for one in table) or (name in table and table[name].value == {})]
    absent = {*filled, *(one for name in optional if name not in filled for one in settings if one.startswith(f"{name}."))}
    found: dict[str, Held] = {}
    for name, setting in settings.items():
        if name in BY_CHOICE or name in absent or setting.secret:
            continue
        entry = table.get(name)
        value = (REQUIRED if setting.required else setting.default) if entry is None else _meant(entry, setting)
        text = typed(value) if entry is None else _text(entry, value)
        found[name] = Held(setting, value, text, None if entry is None else in_words(entry.origin))
    return found


def _chosen(choices: Mapping[str, str]) -> dict[str, str]:
    """The choices of groups that there are, in the groups' order."""
    return {group: choices[group].strip() for group in GROUPS if choices.get(group, "").strip()}


def begin(library: Library, recipe: str, choices: Mapping[str, str], environ: Mapping[str, str]) -> Beginning:
    """Where a form begins with this recipe, these options, and the variables that are heard.

    Raises:
        ConfigError: the recipe, or a file that it or an option needs, is missing or broken.
    """
    asked = hear(recipe.strip(), [f"{group}={option}" for group, option in _chosen(choices).items()], environ, {})
    start = start_of(library, asked)
    for name, entry in asked.settings.items():
        put(start.table, name, entry)
    method, _ = method_of(start.table)
    sound = {group: option for group, option in asked.choices.items() if group not in start.unsure}
    options = {**follow(library, asked.recipe, {}, {}).options, **sound}
    problems = tuple(problem for finding in start.findings for problem in finding.problems)
    return Beginning(options, _held(start.table, settings_of(method)), problems)


def overrides_of(library: Library, draft: Draft, environ: Mapping[str, str]) -> list[str]:
    """What a draft asks for: its recipe, then the fewest choices and settings that give its configuration.

    What the variables set is said as well, for they are not there in every terminal: with or without them these ask for the same.
    """
    by_variable = hear(draft.recipe, (), environ, {})
    chosen = {**by_variable.choices, **_chosen(draft.choices)}
    asked = [f"recipe={draft.recipe.strip()}"]
    try:
        own = follow(library, draft.recipe.strip(), {}, {}).options
        shown = begin(library, draft.recipe, chosen, environ).held
        bare = begin(library, draft.recipe, chosen, {}).held if by_variable.variables else shown
    except ConfigError:  # nothing can be shown; composing says why
        return asked + [f"{group}={option}" for group, option in chosen.items()]
    asked += [f"{group}={chosen[group]}" for group in GROUPS if group in chosen and _tells(group, chosen[group], own, by_variable.choices)]
    for name, held in shown.items():
        text = draft.texts.get(name, held.text)
        if not (held.said_by(text) and name in bare and bare[name].said_by(text)):
            asked.append(f"{name}={text}")
    return asked


def _tells(group: str, option: str, own: Mapping[str, str], by_variable: Mapping[str, str]) -> bool:
    """Whether choosing `option` says more than the recipe does, whatever variables are heard."""
    return own.get(group) != option or group in by_variable
