"""Set up a run in a form: what can be chosen and typed, what would run, and what is wrong, without weights and at once.

What a form holds is a `Draft`. It asks for a run in the words of the command line, so that form, command and notebook give the same
`resolved.yaml`; `codex.services.train.plan` then takes `Proposal.overrides` and looks at model and data.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codex.config import saving, starting
from codex.config.again import draft_of
from codex.config.asked import hear
from codex.config.compose import DEFAULT_RECIPE, check
from codex.config.composed import Change, Composed, load_resolved
from codex.config.explain import RecipeInfo, recipes
from codex.config.fields import GROUPS
from codex.config.form import FormField, FormSection, Option, fields, options, sections
from codex.config.library import Library
from codex.config.problems import Finding
from codex.config.starting import BY_CHOICE, Beginning, Draft, switch_of
from codex.core.errors import ConfigError, Problem, RunError, UserError
from codex.core.paths import Workspace
from codex.runs.store import Run, RunStore
from codex.services.configure import YamlLine, lines_of, read_values
from codex.services.own import add_data, data_names, model_names
from codex.services.train import KIND

__all__ = [
    "Beginning", "Draft", "FieldProblem", "FormField", "FormSection", "Option", "Proposal", "RecipeInfo", "YamlLine",
    "add_data", "beginning", "command_of", "data_names",
    "fields", "from_run", "model_names", "options", "overrides_of", "propose", "recipes",
    "save_recipe", "sections", "starting_values", "switch_of",
]  # fmt: skip

_DEFAULT_WORKSPACE = "~/.codex-ml"


@dataclass(frozen=True)
class FieldProblem:
    """Something that is wrong with a draft, in the words of the command line.

    Args:
        problem: what is said. Where a value came from is left out for what stands in the form, and kept for a file or variable, also
            when that gave a choice or switch a value that no form offers.
        fields: what it stands beside, in the form's order: a setting's dotted name, a group's name for its option, or `recipe`. What the
            form does not show, such as a wrong key in a recipe's file, stands beside its section's option; elsewhere there are none.
    """

    problem: Problem
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.problem)


@dataclass(frozen=True)
class Proposal:
    """What a draft comes to.

    Args:
        problems: all that is wrong, as far as the configuration alone shows it.
        overrides: what it asks for, `recipe=NAME` first; for `codex.services.train.plan(overrides=…)`.
        command: the same as a command to copy, on several lines where it is long.
        yaml_lines: the lines of `resolved.yaml`; none when something is wrong.
        changes: every setting that is not as the recipe has it.
        composed: the configuration; None when something is wrong.
    """

    problems: tuple[FieldProblem, ...]
    overrides: tuple[str, ...]
    command: str
    yaml_lines: tuple[YamlLine, ...]
    changes: tuple[Change, ...]
    composed: Composed | None


def beginning(recipe: str, choices: Mapping[str, str], workspace: Workspace) -> Beginning:
    """Where a form begins: the option of each group, and each setting that exists with them, as text and as a value.

    Raises:
        ConfigError: the recipe or an option does not exist, or is broken.
    """
    found = starting.begin(Library.of(workspace), recipe, choices, os.environ)
    if found.problems:
        raise ConfigError(found.problems)
    return found


def starting_values(recipe: str, choices: Mapping[str, str], workspace: Workspace) -> Mapping[str, str]:
    """Each setting that exists with this recipe and these options, as a person would type what it holds.

    Raises:
        ConfigError: as `beginning`.
    """
    return {name: held.text for name, held in beginning(recipe, choices, workspace).held.items()}


def overrides_of(draft: Draft, workspace: Workspace) -> list[str]:
    """What a draft asks for in the words of the command line: `recipe=NAME`, then the fewest options and settings that say it."""
    return starting.overrides_of(Library.of(workspace), draft, os.environ)


def propose(draft: Draft, workspace: Workspace) -> Proposal:
    """What a draft comes to, or all that is wrong with it; nothing is loaded and nothing made."""
    library = Library.of(workspace)
    overrides = starting.overrides_of(library, draft, os.environ)
    checked = check(library, hear(DEFAULT_RECIPE, overrides, os.environ, {}))
    composed = checked.composed
    return Proposal(
        problems=_problems(checked.findings, library, draft),
        overrides=tuple(overrides),
        command=_command(overrides, workspace),
        yaml_lines=() if composed is None else _marked(composed),
        changes=() if composed is None else tuple(composed.changes()),
        composed=composed,
    )


def _problems(findings: Sequence[Finding], library: Library, draft: Draft) -> tuple[FieldProblem, ...]:
    """What was found, beside what it can stand in a form that holds `draft`, from top to bottom."""
    try:
        held = starting.begin(library, draft.recipe, draft.choices, os.environ).held
    except ConfigError:
        held: Mapping[str, starting.Held] = {}
    shown = ("recipe", *GROUPS, *held)
    found: list[FieldProblem] = []
    for finding in findings:
        beside = {_beside(name, shown) for name in finding.fields}
        places = tuple(name for name in shown if name in beside)
        given = held.get(places[0]) if len(places) == 1 else None
        if given is not None and (given.setting.chosen or given.setting.switch) and draft.texts.get(places[0], given.text) == given.text:
            found += [FieldProblem(replace(problem, where=given.origin), places) for problem in finding.problems]
        else:
            found += [FieldProblem(_without_origin(problem, places), places) for problem in finding.problems]
    return tuple(found)


def _beside(name: str, shown: Sequence[str]) -> str | None:
    """What shows the setting `name`: its input, its section's where it has none, or the choice that says it."""
    name = BY_CHOICE.get(name, name)
    while name and name not in shown:
        name = name.rpartition(".")[0]
    return name or None


def _without_origin(problem: Problem, places: Sequence[str]) -> Problem:
    """A problem without what is no help in a form: the override that the form itself made, or the line that a field began with."""
    typed = problem.where is not None and "override `" in problem.where
    return replace(problem, where=None) if typed or any(place not in ("recipe", *GROUPS) for place in places) else problem


def _marked(composed: Composed) -> tuple[YamlLine, ...]:
    """The lines of `resolved.yaml`, those marked that differ from the recipe; the items of a list belong to their setting."""
    text = composed.resolved_yaml()
    places = {line: name for name, line in lines_of(text).items()}
    changed = {change.field for change in composed.changes()}
    lines: list[YamlLine] = []
    name: str | None = None
    for number, line in enumerate(text.splitlines()):
        name = places.get(number, name)
        lines.append(YamlLine(line, name in changed, name))
    return tuple(lines)


def _command(overrides: Sequence[str], workspace: Workspace) -> str:
    words = [_quoted(override) for override in overrides]
    home = Workspace.locate(_DEFAULT_WORKSPACE).root
    if not workspace.root == home == Workspace.locate().root:  # a variable of this process is not there in every terminal
        words.append(f"--workspace {_quoted(str(workspace.root))}")
    return " \\\n  ".join([f"codex-ml train {words[0]}", *words[1:]])


def command_of(asked: str, workspace: Workspace) -> str | None:
    """The command line that asks for what an `asked.yaml` holds; None where that cannot be read.

    What variables had set is said as well, before what was typed, which is stronger.
    """
    try:
        held = read_values(asked)
        variables = {name.removeprefix("CODEX_").lower().replace("__", "."): value for name, value in (held.get("variables") or {}).items()}
        typed = [str(each) for each in held.get("overrides") or ()]
        said = [f"{name}={value}" for name, value in variables.items()]
        arguments = [f"{name}={value}" for name, value in (held.get("arguments") or {}).items()]
        recipe = [] if any(each.startswith("recipe=") for each in typed) else [f"recipe={held['recipe']}"]
    except (UserError, TypeError, KeyError, AttributeError):
        return None
    return _command([*recipe, *said, *typed, *arguments], workspace)


def _quoted(text: str) -> str:
    """`text` as one word of a shell; bytes that a terminal would act on are spelt out, as bash and zsh read them."""
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(_spelt(one) for one in text)}'"


def _spelt(one: str) -> str:
    if one.isprintable():
        return f"\\{one}" if one in "\\'" else one
    return "\\n" if one == "\n" else "".join(f"\\x{byte:02x}" for byte in one.encode("utf-8", "surrogatepass"))


def from_run(run_name: str, workspace: Workspace) -> Draft:
    """The draft for running again with changes: as it is, it composes to the run's own `resolved.yaml`.

    Args:
        run_name: an id, number, title, or `last`.
        workspace: where the run is.

    Raises:
        RunError: there is no such training run, or its recipe is gone or has changed so that no form can say the same.
        ConfigError: its configuration cannot be read.
    """
    run = RunStore(workspace).get(run_name)
    if run.kind != KIND:
        raise RunError(f"run {run.id!r} is of the kind {run.kind!r}", f"expected one of the kind {KIND!r}", "Choose another run.")
    config = load_resolved(run.resolved)
    try:
        draft = draft_of(Library.of(workspace), config, _choices_of(run), os.environ)
    except ConfigError as error:
        raise _cannot_again(run, config.recipe, error.problems[0].what, f"Put the recipe {config.recipe!r} back as it was") from error
    if draft is None:
        raise _cannot_again(run, config.recipe, "which has changed since", f"Put the recipe {config.recipe!r} back as it was")
    return draft


def _cannot_again(run: Run, recipe: str, reason: str, fix: str) -> RunError:
    return RunError(
        f"run {run.id!r} began with the recipe {recipe!r}: {reason}",
        "expected a recipe that gives the same configuration",
        f"{fix}, or choose another recipe and set what `codex-ml runs config {run.id}` shows.",
    )


def _choices_of(run: Run) -> Mapping[str, str]:
    """The options that a run was made with, as far as its record still tells."""
    try:
        asked = read_values(run.asked.read_text(encoding="utf-8"))
        heard = hear(DEFAULT_RECIPE, asked["overrides"], asked["variables"], asked["arguments"])
    except (OSError, UserError, ValueError, KeyError, TypeError, AttributeError):  # a hint; what comes out is compared to the whole
        return {}
    return heard.choices


def save_recipe(draft: Draft, name: str, workspace: Workspace, about: str = "") -> Path:
    """Write a draft as the workspace's recipe `name`, so that `recipe=NAME` comes to the same configuration.

    Args:
        draft: what the form holds; nothing may be wrong with it.
        name: letters, digits, `-`, `_` and `.`; nothing may be called so yet.
        workspace: its `recipes/` takes the file.
        about: what it is for, for the list of recipes.

    Raises:
        UserError: the name cannot be used or is taken, or something is wrong with the draft.
        WorkspaceError: the folder cannot be written.
    """
    return saving.save_recipe(draft, name.strip(), workspace, about)
