"""What a form is opened with, in the words of an address: recipe or run, and changes. What cannot be taken is told, the rest kept."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codex.config import starting
from codex.config.asked import Asked, hear
from codex.config.compose import DEFAULT_RECIPE, check
from codex.config.library import Library, follow
from codex.config.problems import Finding
from codex.config.starting import Beginning, Draft
from codex.config.words import in_words
from codex.core.errors import ConfigError, Problem, UserError
from codex.core.paths import Workspace
from codex.services.setup import from_run


@dataclass(frozen=True)
class Opened:
    """What a form is opened with.

    Args:
        draft: what it holds.
        problems: what was asked for and is not in it, in the words of the command line.
        instead: whether the recipe or run that was asked for cannot be had, so that it begins with another.
    """

    draft: Draft
    problems: tuple[Problem, ...]
    instead: bool


def begun(recipe: str, choices: Mapping[str, str], workspace: Workspace) -> Beginning:
    """Where a form begins, as `setup.beginning`; but groups whose option does not exist are as the recipe has them, and told.

    Raises:
        ConfigError: the recipe or an option is broken.
    """
    return starting.begin(Library.of(workspace), recipe, choices, os.environ)


def opened(workspace: Workspace, *, recipe: str = "", run: str = "", changes: Sequence[str] = ()) -> Opened:
    """What an address opens a form with.

    Args:
        workspace: where runs and recipes are.
        recipe: its name; empty for the default one.
        run: the run to do again, instead of a recipe.
        changes: `key=value`, as typed on a command line.
    """
    library = Library.of(workspace)
    asked = hear(recipe.strip() or DEFAULT_RECIPE, changes, {}, {})
    draft, missing = _began(asked, run, workspace)
    name, choices, refused = _sound(library, draft.recipe, {**draft.choices, **asked.choices}, asked)
    beginning = begun(name, choices, workspace)
    unshown = [setting for setting in asked.settings if setting not in beginning.held]
    typed = {setting: entry.text or "" for setting, entry in asked.settings.items() if setting in beginning.held}
    unheard = (*asked.problems, *beginning.problems, *_about(unshown, library, Draft(name, choices), asked))
    return Opened(
        Draft(name, choices, {**draft.texts, **typed}), (*missing, *refused, *unheard), instead=bool(missing) or name != draft.recipe
    )


def _began(asked: Asked, run: str, workspace: Workspace) -> tuple[Draft, tuple[Problem, ...]]:
    """The recipe, or what the run was asked to do, and why that cannot be had."""
    if not run:
        return Draft(asked.recipe), ()
    try:
        return from_run(run, workspace), ()
    except UserError as error:
        return Draft(asked.recipe), error.problems


def _sound(library: Library, recipe: str, choices: Mapping[str, str], asked: Asked) -> tuple[str, dict[str, str], list[Problem]]:
    """The recipe and the options that can be used, another recipe where that one cannot, and what is wrong with the others."""
    origins = {name: in_words(origin) for name, origin in asked.origins.items()}

    def wrong(name: str, chosen: Mapping[str, str]) -> tuple[Problem, ...]:
        try:
            follow(library, name, chosen, origins)
        except ConfigError as error:
            return error.problems
        return ()

    problems = list(wrong(recipe, {}))
    if problems:
        recipe = next((name for name in (DEFAULT_RECIPE, *library.names(None)) if not wrong(name, {})), DEFAULT_RECIPE)
    sound: dict[str, str] = {}
    for group, option in choices.items():
        told = wrong(recipe, {group: option})
        problems += told
        if not told:
            sound[group] = option
    return recipe, sound, problems


def _about(names: Sequence[str], library: Library, draft: Draft, asked: Asked) -> list[Problem]:
    """Why these settings are not in a form of `draft`, as the command line says it, or that the form has no field for them."""
    if not names:
        return []
    overrides = [f"{group}={option}" for group, option in draft.choices.items()]
    heard = hear(draft.recipe, overrides, os.environ, {})
    heard.settings.update(asked.settings)
    findings = check(library, heard).findings
    told: list[Problem] = []
    for name in names:
        about = [problem for finding in findings if _is_about(finding, name) for problem in finding.problems]
        told += about or [
            Problem(
                f"`{name}` has no field in this form",
                "expected a setting that there is with its recipe and options",
                "Choose others, or set it on the command line.",
                in_words(asked.settings[name].origin),
            )
        ]
    return list(dict.fromkeys(told))


def _is_about(finding: Finding, name: str) -> bool:
    return any(name == field or name.startswith(f"{field}.") for field in finding.fields)
