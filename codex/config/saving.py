"""Keep what a form holds as a recipe of the workspace."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codex.config.asked import hear
from codex.config.compose import DEFAULT_RECIPE, check
from codex.config.composed import resolved_yaml
from codex.config.fields import GROUPS
from codex.config.files import label_of
from codex.config.library import Library, follow
from codex.config.plain import dump, dump_inline, plain
from codex.config.problems import problems_of
from codex.config.schema import RunConfig
from codex.config.starting import Draft, overrides_of
from codex.config.table import as_plain, nest
from codex.config.words import brief
from codex.core.errors import ConfigError, Problem, UserError, WorkspaceError
from codex.core.paths import Workspace
from codex.core.publish import draft_in, publish

_LONGEST_NAME = 64
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST_NAME - 1}}}")
_LONGEST_ABOUT = 500


def save_recipe(draft: Draft, name: str, workspace: Workspace, about: str = "", environ: Mapping[str, str] | None = None) -> Path:
    """Write a draft as the workspace's recipe `name`, which composes to the same configuration; it appears whole or not at all.

    Args:
        draft: what the form holds.
        name: as in `recipe=NAME`; nothing may be called so yet.
        workspace: its `recipes/` takes the file.
        about: what it is for, for the list of recipes.
        environ: the variables to hear; the process's own when None.

    Raises:
        UserError: the name cannot be used or is taken, or the draft could not run as it is.
        WorkspaceError: the folder cannot be written.
    """
    library = Library.of(workspace)
    checked_name(library, name)
    overrides = overrides_of(library, draft, os.environ if environ is None else environ)
    config = _sound(library, overrides)
    text = _recipe_text(library, name, overrides, config, about)
    path = workspace.recipes / f"{name}.yaml"
    try:
        _same_again(library, name, text, config)
        with draft_in(_made(workspace)) as draft_file:
            draft_file.write_text(text, encoding="utf-8")
            publish(draft_file, path)
    except FileExistsError:
        raise _taken(library, name, path) from None  # by somebody else, just now
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _made(workspace: Workspace) -> Path:
    """The workspace's `recipes/`, made where there is none yet."""
    try:
        workspace.create().recipes.mkdir(exist_ok=True)
    except OSError as error:
        raise _unwritable(workspace.recipes, error) from error
    return workspace.recipes


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"{str(path)!r} cannot be written ({error.strerror or error})",
        "expected a folder that you may write, on a disk with room",
        "Mend its rights, or make room.",
    )


def checked_name(library: Library, name: str) -> str:
    """`name`, when a new recipe can have it.

    Raises:
        UserError: it is no name for a recipe, or is taken.
    """
    if not _NAME.fullmatch(name) or plain(name) != name or name.lower().endswith((".yaml", ".yml")):
        raise UserError(
            f"the recipe's name is {brief(name, repr)}",
            f"expected at most {_LONGEST_NAME} letters, digits, `-`, `_` and `.`, a letter or digit first; no number, no word such as `no`",
            f"Call it {_free(library, _proper(name))!r}.",
        )
    paths = library.paths(None).get(name)
    if paths:
        raise _taken(library, name, paths[0])
    return name


def _taken(library: Library, name: str, path: Path) -> UserError:
    return UserError(
        f"the recipe {name!r} is there already: {label_of(path)}", "expected a name that is free", f"Call it {_free(library, name)!r}."
    )


def _proper(name: str) -> str:
    """A name for a recipe that resembles `name`."""
    stem = re.sub(r"\.ya?ml$", "", name, flags=re.IGNORECASE)
    proper = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[: _LONGEST_NAME - 8]
    return proper if proper and plain(proper) == proper else f"my-{proper or 'recipe'}"


def _free(library: Library, name: str) -> str:
    taken = library.names(None)
    others = (f"{name[: _LONGEST_NAME - 8]}-{number}" for number in range(2, 1_000_000))
    return name if name not in taken else next(other for other in others if other not in taken)


def _sound(library: Library, overrides: Sequence[str]) -> RunConfig:
    checked = check(library, hear(DEFAULT_RECIPE, overrides, {}, {}))
    if checked.composed is None:
        raise ConfigError(problems_of(checked.findings))
    return checked.composed.config


def _recipe_text(library: Library, name: str, overrides: Sequence[str], config: RunConfig, about: str) -> str:
    """The recipe's file: its header, the recipe and options that it takes, and the values that differ from theirs."""
    asked = hear(DEFAULT_RECIPE, overrides, {}, {})
    command = f"codex-ml train recipe={name}"
    header = [_comment(about) or f"From a form, on the recipe {asked.recipe}.", "", f"  {command}", f"  {command} --dry-run"]
    options = follow(library, asked.recipe, {}, {}).options
    chosen = [(group, dump_inline(asked.choices[group])) for group in GROUPS if group in asked.choices]
    first = [f"{group}: {option}" for group, option in chosen if group not in options]  # Hydra knows no `override` of what nobody chose
    last = [f"override {group}: {option}" for group, option in chosen if group in options]
    entries = [*first, dump_inline(asked.recipe), *last, "_self_"]
    values = nest({key: _value(config, key) for key in asked.settings})
    lines = [*(f"# {line}".rstrip() for line in header), "defaults:", *(f"  - {entry}" for entry in entries)]
    return "\n".join(lines) + "\n" + (f"\n{dump(values)}" if values else "")


def _comment(about: str) -> str:
    """What a person says of a recipe, on one line that no reader takes for anything but a comment."""
    said = "".join(one for one in " ".join(about.split()) if one.isprintable())[:_LONGEST_ABOUT]
    return f"“{said}”" if said.startswith(("@", "codex-ml ")) else said


def _value(config: RunConfig, name: str) -> Any:
    value: Any = as_plain(config)
    for part in name.split("."):
        value = value[part]
    return value


def _same_again(library: Library, name: str, text: str, config: RunConfig) -> None:
    """The recipe, tried in a folder of its own, composes to the same configuration.

    Raises:
        UserError: it does not, for a value that no recipe can hold.
    """
    with tempfile.TemporaryDirectory(prefix="codex-recipe-") as folder:
        Path(folder, f"{name}.yaml").write_text(text, encoding="utf-8")
        checked = check(Library((Path(folder), *library.folders)), hear(name, (), {}, {}))
    if checked.composed is None:
        told = [Problem(one.what, one.expected, one.fix) for one in problems_of(checked.findings)]
        raise ConfigError(told)
    if resolved_yaml(checked.composed.config.model_copy(update={"recipe": config.recipe})) != resolved_yaml(config):
        raise UserError(
            f"the recipe {name!r} would not be what the form holds",
            "expected values that a recipe's file can hold",
            "Copy the command instead.",
        )
