"""A configuration together with how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex.config.asked import Asked
from codex.config.fields import FieldHelp, settings_of
from codex.config.files import flatten, label_of, read_text, root_node
from codex.config.plain import dump
from codex.config.problems import Reporter, problems_of
from codex.config.schema import RunConfig
from codex.config.table import Entry, Table, as_plain, flat
from codex.config.validate import method_of, validate
from codex.core.errors import ConfigError

ABSENT = "(absent)"
"""Stands for the value of a setting that one of two configurations does not have."""
_HEADING = "# Everything that this run was asked to do. Written by Codex; read back by its worker.\n"


@dataclass(frozen=True)
class Change:
    """One setting that is not as the recipe has it.

    Args:
        field: dotted name.
        recipe_value: what the recipe says, or what holds when it says nothing; ABSENT where it has no such setting.
        value: what holds now; ABSENT where there is no such setting now.
        origin: where the value came from.
    """

    field: str
    recipe_value: Any
    value: Any
    origin: str


@dataclass(frozen=True)
class Composed:
    """A valid configuration, and how it came about.

    Args:
        config: what the run will do.
        origins: where each setting came from: "recipes/training/quick-cpu.yaml:7", "variable CODEX_TRAINING__STEPS",
            "override training.steps=5", "argument training.steps=5", or "default".
        asked: what was asked besides the recipe's own values.
        recipe_values: the recipe's own values, by dotted name.
    """

    config: RunConfig
    origins: Mapping[str, str]
    asked: Asked
    recipe_values: Mapping[str, Any]

    def resolved_yaml(self) -> str:
        """The whole configuration in the schema's order, without secrets; `load_resolved` reads it back."""
        return resolved_yaml(self.config)

    def asked_yaml(self) -> str:
        """The recipe, variables, overrides and arguments as they were asked, without secrets."""
        secrets = [one.name for one in settings_of(type(self.config.method)).values() if one.secret]
        return self.asked.as_yaml(secrets)

    def changes(self) -> list[Change]:
        """Every setting that is not as the recipe has it, in the schema's order; secrets are left out."""
        now = dict(flat(as_plain(self.config)))
        names = dict.fromkeys([*now, *self.recipe_values])
        pairs = [(name, self.recipe_values.get(name, ABSENT), now.get(name, ABSENT)) for name in names]
        return [Change(name, was, value, self.origins.get(name, "default")) for name, was, value in pairs if was != value]


def with_defaults(given: Mapping[str, Any], settings: Mapping[str, FieldHelp]) -> dict[str, Any]:
    """A recipe's own values by dotted name, and the defaults for what it leaves out; secrets are left out."""
    has_shape = any(name.startswith("model.scratch.") for name in given)
    held = {
        name: setting.default
        for name, setting in settings.items()
        if not setting.required and (name != "model.scratch" if has_shape else not name.startswith("model.scratch."))
    }
    return {name: value for name, value in {**held, **given}.items() if name in settings and not settings[name].secret}


def resolved_yaml(config: RunConfig) -> str:
    """`config` as YAML, whole, in the schema's order, without secrets."""
    return _HEADING + dump(as_plain(config))


def load_resolved(path: Path) -> RunConfig:
    """Read a run's `resolved.yaml` back, exactly as it was.

    Raises:
        ConfigError: it is missing, no YAML, or no longer a valid configuration; each problem with its line.
    """
    label = label_of(path)
    root = root_node(read_text(path), label)
    written = () if root is None else flatten(root)
    table: Table = {".".join(at): Entry(one.value, one.text, f"{label}:{one.line}") for at, one in written}
    method, problems = method_of(table)
    reporter = Reporter(table, settings_of(method), {}, "" if problems else str(table["method.name"].value))
    config, found = validate(table, method, reporter, frozenset({"method"}) if problems else frozenset())
    if config is None:
        raise ConfigError([*problems, *problems_of(found)])
    return config
