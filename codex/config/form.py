"""The settings as a form shows them: grouped, the basic ones told from the rest; and the options that can be chosen."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from codex.config.explain import about_of, explain
from codex.config.fields import GROUPS, FieldHelp
from codex.config.files import read_recipe
from codex.config.library import Library
from codex.config.schema import RunConfig
from codex.config.starting import BY_CHOICE
from codex.core.errors import ConfigError
from codex.core.paths import Workspace
from codex.core.registry import load

WHOLE = "run"
"""The section of the settings that are in no group."""


@dataclass(frozen=True)
class FormField:
    """One setting in a form.

    Args:
        help: what the setting means and takes.
        section: where it stands: a group's name, or `run` for what is in no group.
        choice: the choice that says it, `recipe` or `method`; None for a setting whose value is typed.
    """

    help: FieldHelp
    section: str
    choice: str | None = None

    @property
    def name(self) -> str:
        """Its dotted name."""
        return self.help.name

    @property
    def basic(self) -> bool:
        """Whether it is shown to everyone, and not only to those who ask for all."""
        return self.help.basic or self.choice is not None


@dataclass(frozen=True)
class FormSection:
    """A group of settings in a form.

    Args:
        name: a group's name, or `run` for what is in no group.
        title: for people.
        help: what it is about, in one sentence.
    """

    name: str
    title: str
    help: str


@dataclass(frozen=True)
class Option:
    """One option of a group.

    Args:
        name: as in `training=NAME`.
        about: what it is for; empty when its file does not say.
        own: whether it is the workspace's rather than shipped with Codex.
        problem: why it cannot be used; None when it can.
    """

    name: str
    about: str
    own: bool
    problem: str | None = None


def fields() -> tuple[FormField, ...]:
    """Every setting of every method, in the schema's order, which keeps each section together."""
    return tuple(FormField(one, _section_of(one.name), BY_CHOICE.get(one.name)) for one in explain())


def _section_of(name: str) -> str:
    group, dot, _ = name.partition(".")
    return group if dot else WHOLE


def sections() -> tuple[FormSection, ...]:
    """The sections in the order of their settings."""
    models = {WHOLE: RunConfig, **{group: RunConfig.model_fields[group].annotation for group in GROUPS}}
    return tuple(FormSection(name, name.capitalize(), _first_sentence(model)) for name, model in models.items())


def _first_sentence(item: object) -> str:
    return (inspect.getdoc(item) or "").partition("\n")[0]


def options(workspace: Workspace | None = None) -> Mapping[str, tuple[Option, ...]]:
    """The options of each group, shipped ones first, then those of `workspace`; one that cannot be used says why."""
    library = Library.of(workspace)
    return {group: _options(library, group) for group in GROUPS}


def _options(library: Library, group: str) -> tuple[Option, ...]:
    found = [_option(library, group, name) for name in library.names(group)]
    return tuple(sorted(found, key=lambda option: (option.own, option.name)))


def _option(library: Library, group: str, name: str) -> Option:
    own = any(path.is_relative_to(folder) for path in library.paths(group).get(name, []) for folder in library.folders[:-1])
    try:
        path = library.find(group, name, None)
        about = about_of(read_recipe(path).header) if path is not None else _first_sentence(load("method", name))
    except ConfigError as error:
        return Option(name, "", own, "\n".join(str(problem) for problem in error.problems))
    return Option(name, about, own)
