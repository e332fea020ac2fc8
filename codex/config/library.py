"""Where recipes are: the shipped ones and the workspace's own, whole ones on top and the groups' options in folders.

A name is used once: a workspace's recipe that has a shipped one's name is an error when it is used, for a run's record says only the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codex.config.fields import GROUPS, nearest
from codex.config.files import DefaultsEntry, RecipeFile, Written, label_of, read_recipe
from codex.config.plain import plain
from codex.config.words import brief, shorten
from codex.core.errors import ConfigError, Problem
from codex.core.paths import Workspace, shipped_recipes
from codex.core.registry import names as registered

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OVERRIDE = "override "


@dataclass(frozen=True)
class Library:
    """The folders that recipes are taken from.

    Args:
        folders: the workspace's, where there is one, then the shipped.
    """

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, workspace: Workspace | None) -> Library:
        """The shipped recipes and those of `workspace`."""
        has_own = workspace is not None and any(workspace.recipes.rglob("*.y*ml"))
        return cls((workspace.recipes, shipped_recipes()) if workspace is not None and has_own else (shipped_recipes(),))

    def paths(self, group: str | None) -> dict[str, list[Path]]:
        """Each name in a group, or of the whole recipes, with the files that have it."""
        found: dict[str, list[Path]] = {}
        for folder in self.folders:
            inner = folder / group if group else folder
            for path in sorted(inner.glob("*.yaml")):
                if path.is_file() and _NAME.fullmatch(path.stem):
                    found.setdefault(path.stem, []).append(path)
        return found

    def names(self, group: str | None) -> list[str]:
        """The names that a group, or `recipe`, takes; a registered method needs no file."""
        return sorted({*self.paths(group), *(registered("method") if group == "method" else ())})

    def find(self, group: str | None, name: str, where: str | None) -> Path | None:
        """The file of a recipe or of a group's option; None for a registered method without one.

        Raises:
            ConfigError: there is none, or more than one.
        """
        paths = self.paths(group).get(name, [])
        if len(paths) == 1:
            return paths[0]
        if not paths and group == "method" and name in registered("method"):
            return None
        raise ConfigError([self._twice(group, name, paths, where) if paths else self._unknown(group, name, where)])

    def _twice(self, group: str | None, name: str, paths: list[Path], where: str | None) -> Problem:
        return Problem(
            f"{group or 'recipe'} {name!r} is both {label_of(paths[0])} and {label_of(paths[1])}",
            "expected each name once",
            f"Rename yours, for example to `my-{name}.yaml`.",
            where,
        )

    def _unknown(self, group: str | None, name: str, where: str | None) -> Problem:
        key = group or "recipe"
        known = self.names(group)
        near = nearest(name.removesuffix(".yaml").removesuffix(".yml"), known)
        fix = f"Use `{key}={near}`." if near else f"Choose one of these: `{key}=NAME`."
        if group in ("model", "data") and not near and re.search(r"[/.:\\]", name):
            fix = f"A file, folder or hub name goes to `{group}.source={shorten(name)}`."
        elif any(path.stem == name for folder in self.folders for path in (folder / group if group else folder).glob("*.yml")):
            fix = f"Rename `{name}.yml` to `{name}.yaml`."
        return Problem(f"{key} {brief(name, repr)} is unknown", f"expected one of {', '.join(known)}", fix, where)


@dataclass(frozen=True)
class Chain:
    """A recipe and everything that its defaults bring in.

    Args:
        files: each file by Hydra's name for it, such as "training/quick-cpu".
        options: the option that its defaults choose for each group.
        bare_method: the method that trains, when it is a registered one without a recipe's file.
    """

    files: Mapping[str, RecipeFile]
    options: Mapping[str, str]
    bare_method: str | None


def _bare(method: str) -> RecipeFile:
    """What a recipe's file for a method would hold at least."""
    return RecipeFile("", (), ((("name",), Written(method, None, 0)),), ())


class _Walk:
    """Follows defaults, gathering files and problems."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.files: dict[str, RecipeFile] = {}
        self.problems: list[Problem] = []
        self.chosen: dict[str, str] = {}
        self.options: dict[str, str] = {}
        self.method: tuple[str, bool] = ("", False)
        self.replaced: list[tuple[str, str]] = []

    def visit(self, group: str | None, name: str, where: str | None, above: tuple[str, ...] = ()) -> None:
        """Read one file, and what its defaults name."""
        key = f"{group}/{name}" if group else name
        if key in above:
            self.report(f"`defaults` run in a circle: {' → '.join((*above, key))}", "expected an end", "Take this entry out.", where)
            return
        try:
            path = self.library.find(group, name, where)
            file = read_recipe(path) if path is not None else _bare(name)
        except ConfigError as error:
            self.problems += error.problems
            return
        self.files[key] = file
        if group == "method":
            self.method = (name, path is None)
        self._check_order(file)
        for entry in file.defaults:
            if entry.value != "_self_" or entry.key is not None:
                self._follow(entry, group, f"{file.label}:{entry.line}", (*above, key))

    def report(self, what: str, expected: str, fix: str, where: str | None) -> None:
        """Note a problem and go on."""
        self.problems.append(Problem(what, expected, fix, where))

    def _check_order(self, file: RecipeFile) -> None:
        own = [entry for entry in file.defaults if entry.key is None and entry.value == "_self_"]
        brought = [entry for entry in file.defaults if entry not in own and not (entry.key or "").startswith(_OVERRIDE)]
        replacing = [entry.line for entry in file.defaults if (entry.key or "").startswith(_OVERRIDE)]
        if len(own) != 1 and (brought or own):
            where = f"{file.label}:{file.defaults[-1].line}"
            expected = "expected `- _self_` once, where the file's own values come in"
            self.report(f"`defaults` name `_self_` {len(own)} times", expected, "Write it once, as the last entry.", where)
        for entry in brought:
            if replacing and entry.line > replacing[0]:
                expected = "expected `override` entries after all others"
                self.report(f"{entry.value!r} stands behind an `override`", expected, "Move it up.", f"{file.label}:{entry.line}")

    def _follow(self, entry: DefaultsEntry, group: str | None, where: str, above: tuple[str, ...]) -> None:
        if entry.key is None:
            self.visit(group, entry.value, where, above)
            return
        replaces = entry.key.startswith(_OVERRIDE)
        named = entry.key.removeprefix(_OVERRIDE).strip()
        if group is not None or named not in GROUPS:
            near = None if group is not None else nearest(named, GROUPS)
            expected = "expected names of its own group only" if group else f"expected one of the groups {', '.join(GROUPS)}"
            fix = f"Write `{near}: {entry.value}`." if near else "Take this entry out."
            self.report(f"`defaults` name the group {named!r}", expected, fix, where)
            return
        if replaces:
            self.replaced.append((named, where))
        elif named in self.chosen:
            expected = "expected one option for each group"
            fix = f"Write `override {named}: {entry.value}`, behind all other entries."
            self.report(f"`{named}: {entry.value}` comes after `{named}: {self.chosen[named]}`", expected, fix, where)
        else:
            self.chosen[named] = entry.value
        self.options[named] = entry.value  # an `override` is followed after all that it may replace, so the last one holds
        if plain(entry.value) is not None:
            self.visit(named, entry.value, where, above)


def follow(library: Library, recipe: str, choices: Mapping[str, str], origins: Mapping[str, str]) -> Chain:
    """Everything that `recipe` and the options chosen instead of its own bring in.

    Args:
        recipe: the name of a whole recipe.
        choices: option by group.
        origins: where the recipe's name (under "recipe") and each choice came from.

    Raises:
        ConfigError: all that is missing, broken, twice, or runs in a circle.
    """
    walk = _Walk(library)
    walk.visit(None, recipe, origins.get("recipe"))
    for group, where in walk.replaced:
        if group not in walk.chosen:
            walk.report(f"`override {group}` replaces nothing", f"expected `{group}` in `defaults` before", f"Write `{group}: …`.", where)
    for group, option in choices.items():
        walk.visit(group, option, origins.get(group))
    if walk.problems:
        raise ConfigError(list(dict.fromkeys(walk.problems)))
    method, bare = walk.method
    return Chain(walk.files, walk.options, method if bare else None)
