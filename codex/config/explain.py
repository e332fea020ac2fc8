"""What can be set, and which recipes there are: for the terminal, the forms of the app, and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile
from pathlib import Path

from codex.config.compose import compose
from codex.config.fields import GROUPS, FieldHelp, nearest, settings_of, walk
from codex.config.files import label_of, read_recipe
from codex.config.library import Library
from codex.config.schema import MethodSettings
from codex.config.words import shorten
from codex.core.errors import ConfigError, UserError
from codex.core.paths import Workspace
from codex.core.registry import load, names

__all__ = ["FieldHelp", "RecipeInfo", "about_of", "explain", "recipes"]


@dataclass(frozen=True)
class RecipeInfo:
    """One whole recipe.

    Args:
        name: as in `recipe=NAME`.
        file: where it is, as messages name it.
        own: whether it is the workspace's rather than shipped with Codex.
        header: the lines of the comment at its top, where the commands that run it stand.
        about: the header's first paragraph.
        needs: what must be given with it, each as the fix that says so.
        problem: why it cannot be used: it, or a file that it needs, is broken or missing; None when it can.
    """

    name: str
    file: str
    own: bool
    header: tuple[str, ...] = ()
    about: str = ""
    needs: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands in its header, as they are typed."""
        return tuple(line.partition("  #")[0].strip() for line in self.header if _is_command(line))


def about_of(header: Sequence[str]) -> str:
    """The first paragraph of a recipe's header, on one line."""
    return " ".join(takewhile(lambda line: line and not _is_command(line), dropwhile(lambda line: not line, header)))


def _is_command(line: str) -> bool:
    return line.startswith("codex-ml ")


def _own_settings(tables: Mapping[str, Mapping[str, FieldHelp]], name: str, setting: FieldHelp) -> FieldHelp:
    """`setting` with the methods that have it, where others do not."""
    having = tuple(method for method, table in tables.items() if name in table)
    return replace(setting, methods=() if len(having) == len(tables) else having)


def _all_settings() -> dict[str, FieldHelp]:
    """Every setting of every method, once, in the schema's order."""
    tables = {method: settings_of(load("method", method)) for method in names("method")}
    found: dict[str, FieldHelp] = {}
    for table in tables.values():
        for name, setting in table.items():
            found.setdefault(name, _own_settings(tables, name, setting))
    named = next(one for one in walk(MethodSettings, "method.") if one.name == "method.name")
    found["method.name"] = replace(named, type="one of", choices=tuple(tables))
    order = {section: place for place, section in enumerate(("", *GROUPS))}
    return dict(sorted(found.items(), key=lambda item: order[item[0].rpartition(".")[0].partition(".")[0]]))


def explain(name: str | None = None) -> list[FieldHelp]:
    """What a setting, or every setting of a section, means and takes.

    Args:
        name: "training.steps", "training", or a last part such as "steps" for all that end so; None for everything there is.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    settings = _all_settings()
    if name is None:
        return list(settings.values())
    asked = name.strip().rstrip(".")
    found = [setting for one, setting in settings.items() if one == asked or one.startswith(f"{asked}.")]
    found = found or [setting for one, setting in settings.items() if asked and one.endswith(f".{asked}")]
    if found:
        return found
    sections = sorted({one.rpartition(".")[0] for one in settings} - {"", *GROUPS})
    near = nearest(asked, [*GROUPS, *settings, *sections])
    raise UserError(
        f"`{shorten(name)}` is no setting",
        f"expected a setting's dotted name or one of the groups {', '.join(GROUPS)}",
        f"Try `codex-ml config explain {near}`." if near else "List them all: `codex-ml config explain`.",
    )


def _looked_at(recipe: RecipeInfo, path: Path, workspace: Workspace | None) -> RecipeInfo:
    """`recipe` with what its file says, what it needs, and what is wrong with it."""
    try:
        header = read_recipe(path).header
        recipe = replace(recipe, header=header, about=about_of(header))
        compose(recipe.name, workspace=workspace, environ={})
    except ConfigError as error:
        wrong = [problem for problem in error.problems if not problem.what.endswith("is not given")]
        if wrong:
            return replace(recipe, problem="\n".join(str(problem) for problem in wrong))
        return replace(recipe, needs=tuple(problem.fix for problem in error.problems))
    return recipe


def recipes(workspace: Workspace | None = None) -> list[RecipeInfo]:
    """The whole recipes, shipped ones first, then those of `workspace`; one that cannot be used says why."""
    library = Library.of(workspace)
    found: list[RecipeInfo] = []
    for name, paths in library.paths(None).items():
        for path in paths:
            own = path.parent != library.folders[-1]
            found.append(_looked_at(RecipeInfo(name, label_of(path), own), path, workspace))
    return sorted(found, key=lambda info: (info.own, info.name))
