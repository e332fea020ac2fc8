"""From a recipe and what a person asked for to one valid configuration.

Later sources win: the schema's defaults, the options of the groups, the recipe, `CODEX_<GROUP>__<FIELD>` variables, and last `key=value`
overrides and Python's arguments. An override or argument may also choose the recipe (`recipe=lora-docstrings`) and a group's option
(`training=gpu-24gb`, `method=lora`), which changes what the recipe starts from. Empty variables, and all other `CODEX_*` variables, are
not heard. A workspace's own recipes use and extend the shipped ones; a name that both have is an error.

Hydra works out which files a recipe consists of and in which order they are merged; the values are read from these files by our own
rules, because Hydra keeps neither their lines nor the text that they were written with. Nothing else imports Hydra.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from codex.config.asked import Asked, hear
from codex.config.composed import ABSENT, Change, Composed, load_resolved, resolved_yaml, with_defaults
from codex.config.fields import FieldHelp, settings_of
from codex.config.files import DefaultsEntry
from codex.config.library import Chain, Library, follow
from codex.config.problems import Finding, Reporter, problems_of
from codex.config.table import Entry, Table, as_plain, flat, put
from codex.config.validate import method_of, right_values, settled, validate
from codex.config.words import brief, in_words
from codex.core.errors import ConfigError, Problem
from codex.core.paths import Workspace

__all__ = ["ABSENT", "Change", "Checked", "Composed", "Start", "check", "compose", "load_resolved", "resolved_yaml", "start_of"]

DEFAULT_RECIPE = "qlora-docstrings"
_hydra = threading.Lock()
"""Hydra keeps its state in one global object: several threads at once fail."""

Layer = tuple[str, str]
"""A file by Hydra's name for it, and the section that its values go to ("" for the whole)."""


@lru_cache(maxsize=128)
def _merge_order(
    folders: tuple[Path, ...],
    recipe: str,
    choices: tuple[str, ...],
    defaults: tuple[tuple[str, tuple[DefaultsEntry, ...]], ...],
) -> tuple[Layer, ...]:
    """The files that make up a recipe, in the order in which they are merged.

    The answer depends on names and `defaults` alone; `defaults` is an argument so that a changed file is asked about anew.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    home, *others = folders
    asked = list(choices)
    if others:
        asked.append(f"hydra.searchpath=[{','.join(_quoted(f'file://{folder}') for folder in others)}]")
    with _hydra:
        held = GlobalHydra.instance().hydra  # the caller's own, when the caller is a Hydra program
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(version_base=None, config_dir=str(home)):
                found = GlobalHydra.instance().config_loader().compute_defaults_list(recipe, asked, RunMode.RUN)
        finally:
            GlobalHydra.instance().hydra = held
    return tuple((one.config_path, one.package) for one in found.defaults if not one.config_path.startswith("hydra/"))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _layers(library: Library, recipe: str, chain: Chain, choices: Mapping[str, str]) -> tuple[Layer, ...]:
    """The merge order; options of groups that the recipe's defaults do not name come first, so that the recipe's own values win."""
    path = library.find(None, recipe, None)
    assert path is not None, "only a method may lack a file"
    told = {group: f"{group}={option}" for group, option in choices.items() if group in chain.options}
    first = {group: option for group, option in choices.items() if group not in chain.options}
    if chain.bare_method is not None:
        first["method"] = chain.bare_method
        if "method" in chain.options:
            told["method"] = "~method"
    # Hydra finds a whole recipe only in its first folder.
    folders = (path.parent, *(folder for folder in library.folders if folder != path.parent))
    defaults = tuple((name, file.defaults) for name, file in chain.files.items())
    try:
        ordered = _merge_order(folders, recipe, tuple(told.values()), defaults)
    except Exception as error:  # what Hydra raises is not for people, and of many types
        what = f"Hydra cannot compose {recipe!r}: {brief(error) or type(error).__name__}"
        problem = Problem(what, "expected recipes that Hydra can compose", "Mend its `defaults`.", chain.files[recipe].label)
        raise ConfigError([problem]) from error
    return (*((f"{group}/{option}", group) for group, option in first.items()), *ordered)


def _recipe_table(library: Library, recipe: str, choices: Mapping[str, str], origins: Mapping[str, str]) -> Table:
    """The values of a recipe, with the options chosen instead of its own.

    Raises:
        ConfigError: all that is wrong with its files.
    """
    chain = follow(library, recipe, choices, origins)
    table: Table = {}
    for name, section in _layers(library, recipe, chain, choices):
        file = chain.files[name]
        for path, written in file.values:
            dotted = ".".join((*filter(None, section.split(".")), *path))
            origin = f"{file.label}:{written.line}" if file.label else "default"
            put(table, dotted, Entry(written.value, written.text, origin))
    return table


@dataclass(frozen=True)
class Start:
    """What a recipe with chosen options begins with, before variables, overrides and arguments set anything.

    Args:
        own: the values of the recipe as it is.
        table: those with the chosen options.
        unsure: groups whose chosen option does not exist, so that their values are not what was asked.
        findings: what is wrong with the choices.
    """

    own: Table
    table: Table
    unsure: frozenset[str]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Checked:
    """What was asked for, looked at as a whole.

    Args:
        composed: the configuration; None when anything is wrong.
        findings: all that is wrong, with the settings, groups or `recipe` that each is about.
    """

    composed: Composed | None
    findings: tuple[Finding, ...]


class _Unusable(ConfigError):
    """A recipe or option that cannot be read: there are no values to look at."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(problems_of(findings))
        self.findings = tuple(findings)


def _sound_choices(library: Library, asked: Asked) -> tuple[dict[str, str], list[Finding]]:
    """The choices that exist, and what is wrong with the others."""
    sound: dict[str, str] = {}
    findings: list[Finding] = []
    for group, option in asked.choices.items():
        try:
            library.find(group, option, in_words(asked.origins[group]))
            sound[group] = option
        except ConfigError as error:
            findings.append(Finding(error.problems, frozenset({group})))
    return sound, findings


def start_of(library: Library, asked: Asked) -> Start:
    """The values that what was asked for begins with; options that do not exist are left out.

    Raises:
        ConfigError: the recipe, or a file that it or an option needs, is missing or broken.
    """
    choices, findings = _sound_choices(library, asked)
    origins = {name: in_words(origin) for name, origin in asked.origins.items()}
    blamed = frozenset({"recipe"})
    try:
        own = _recipe_table(library, asked.recipe, {}, origins)
        blamed = frozenset(choices)  # the recipe itself is sound
        table = _recipe_table(library, asked.recipe, choices, origins) if choices else dict(own)
    except ConfigError as error:
        raise _Unusable([*findings, Finding(error.problems, blamed)]) from error
    if "recipe" in table:
        what, fix = f"`recipe` is {table['recipe'].value!r}", "Delete the line; the file's name is the recipe's."
        findings.append(
            Finding((Problem(what, "expected no `recipe` in a recipe's file", fix, table["recipe"].origin),), frozenset({"recipe"}))
        )
    own["recipe"] = table["recipe"] = Entry(asked.recipe, None, asked.origins["recipe"])
    return Start(own, table, frozenset(asked.choices.keys() - choices.keys()), tuple(findings))


def _hide_secrets(table: Table, settings: Mapping[str, FieldHelp]) -> None:
    for name in [name for name in table if name in settings and settings[name].secret]:
        table[name] = replace(table[name], origin=table[name].origin.partition("=")[0])


def check(library: Library, asked: Asked) -> Checked:
    """The configuration that was asked for, or all that is wrong with it."""
    heard = [Finding((problem,), frozenset()) for problem in asked.problems]
    try:
        start = start_of(library, asked)
    except _Unusable as error:
        return Checked(None, (*heard, *error.findings))
    own, table = start.own, start.table
    for name, entry in asked.settings.items():
        put(table, name, entry)
    method, unknown = method_of(table)
    unknown_method = [Finding(tuple(unknown), frozenset({"method.name"}))] if unknown else []
    settings = settings_of(method)
    _hide_secrets(table, settings)
    wrong = frozenset({"method"}) if unknown_method or "method" in start.unsure else frozenset[str]()
    reporter = Reporter(table, settings, right_values(own, method), "" if wrong else str(table["method.name"].value))
    config, found = validate(table, method, reporter, wrong, start.unsure)
    findings = (*heard, *start.findings, *unknown_method, *found)
    if findings or config is None:
        return Checked(None, findings)
    origins = {name: table[name].origin if name in table else "default" for name, _ in flat(as_plain(config))}
    own_settings = settings_of(method_of(own)[0])
    return Checked(Composed(config, origins, asked, with_defaults(settled(own, own_settings), own_settings)), ())


def compose(
    recipe: str = DEFAULT_RECIPE,
    overrides: Sequence[str] = (),
    *,
    workspace: Workspace | None = None,
    environ: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Composed:
    """One valid configuration from a recipe and what was asked for.

    Args:
        recipe: the name of a whole recipe; `recipe=NAME` among the overrides wins.
        overrides: `key=value`, as typed: a setting, `recipe=NAME`, or a group's option. Text is taken to the letter.
        workspace: its `recipes/` are used too.
        environ: the variables to hear; the process's own when None.
        values: dotted name and value, from Python; heard after the overrides.

    Raises:
        ConfigError: all that is wrong, each with its value, what was expected, the fix, and where it came from.
    """
    checked = check(Library.of(workspace), hear(recipe, overrides, os.environ if environ is None else environ, values or {}))
    if checked.composed is None:
        raise ConfigError(problems_of(checked.findings))
    return checked.composed
