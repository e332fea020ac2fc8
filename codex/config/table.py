"""A configuration before it is validated: each dotted name with its value and where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

from codex.config.fields import FieldHelp, is_secret
from codex.config.plain import NULLS, load, plain
from codex.config.section import Section

REQUIRED = "???"
"""Stands in a recipe where the person must say something."""


@dataclass(frozen=True)
class Entry:
    """One value on its way into a configuration.

    Args:
        value: what it is, as long as nothing is known of the setting that it is for.
        text: how it was typed, when it has no type of its own yet.
        origin: where it came from: "recipes/training/quick-cpu.yaml:7", "variable CODEX_TRAINING__STEPS", "override training.steps=5".
        typed: whether a person typed it on a line of its own, where every character counts, rather than in YAML.
    """

    value: Any
    text: str | None
    origin: str
    typed: bool = False


Table = dict[str, Entry]


def put(table: Table, name: str, entry: Entry) -> None:
    """Set one value, as a later source does: it replaces what stood there, below it, or where a section must be."""
    below = [one for one in table if one.startswith(f"{name}.")]
    if entry.value == {} and below:
        return
    for one in below:
        del table[one]
    parts = name.split(".")
    for end in range(1, len(parts)):
        table.pop(".".join(parts[:end]), None)
    table[name] = entry


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested dicts."""
    root: dict[str, Any] = {}
    for name, value in values.items():
        *path, leaf = name.split(".")
        inner = root
        for part in path:
            inner = inner.setdefault(part, {})
        inner[leaf] = value
    return root


def as_plain(section: Section) -> dict[str, Any]:
    """A section as plain values in the order of its fields; secrets are left out."""
    found: dict[str, Any] = {}
    for key, info in type(section).model_fields.items():
        if not is_secret(info):
            value: Any = getattr(section, key)
            found[key] = as_plain(value) if isinstance(value, Section) else value
    return found


def flat(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Nested dicts as dotted names; an empty dict is a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(cast("Mapping[str, Any]", value), f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def settle(entry: Entry, setting: FieldHelp | None) -> Any:
    """The value of `entry` for `setting`: text stays as it was typed where text is taken, and follows the rules of `plain` elsewhere.

    Where both text and a list are taken, `[` starts a list.
    """
    if entry.text is None:
        return entry.value
    text = entry.text
    if setting is None:
        return plain(text)
    if text.strip() in NULLS and (setting.optional or not (setting.text and entry.typed)):
        return None
    if text.strip()[:1] in ("[", "{") and (setting.lists or setting.type == "settings"):
        try:
            return load(text)
        except yaml.YAMLError:
            return text
    return text if setting.text else plain(text)
