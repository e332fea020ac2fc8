"""One list of everything that can be added in one file.

A built-in is a module in its kind's package: its name is the file's name, and the module registers one item by
`@register(KIND)`. A stranger's plugin does the same in a module of its own, named by an entry point of the group
`codex_ml.plugins` as `KIND.NAME = "package.module"`. Names are listed without importing anything.
This module is the only place that imports by string.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from codex.core.errors import UserError

ENTRY_POINTS = "codex_ml.plugins"

KINDS: dict[str, str] = {
    "dataset_format": "codex.data.formats",
    "method": "codex.training.methods",
    "metric": "codex.evaluation.metrics",
    "run": "codex.services.workers",
}
"""Each kind and the package whose modules are its built-ins."""

Item = TypeVar("Item")
_items: dict[tuple[str, str], Any] = {}


def register(kind: str) -> Callable[[Item], Item]:
    """Register the decorated class or function under its module's name.

    Raises:
        UserError: the name is taken by another item.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no registry kind; expected one of {sorted(KINDS)}")

    def add(item: Item) -> Item:
        module = getattr(item, "__module__", "")
        name = module.rpartition(".")[2].replace("_", "-")
        held = _items.setdefault((kind, name), item)
        if held is not item and getattr(held, "__module__", None) != module:
            raise UserError(
                f"{kind} {name!r} of {module!r} is also registered by {held.__module__!r}",
                "expected each name once",
                "Rename one of the two files.",
            )
        _items[kind, name] = item
        return item

    return add


@cache
def _plugins(search_path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """The entry points of installed plugins; reading them takes 20 ms, so once for each `sys.path`."""
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINTS))


def _sources(kind: str) -> dict[str, str]:
    """Name → module of every item of `kind`, from file names and entry points."""
    package = KINDS[kind]
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = {
        path.stem.replace("_", "-"): f"{package}.{path.stem}"
        for folder in folders
        for path in sorted(Path(folder).glob("*.py"))
        if not path.stem.startswith("_")
    }
    for point in _plugins(tuple(sys.path)):
        point_kind, _, name = point.name.partition(".")
        if point_kind != kind:
            continue
        if name in found and found[name] != point.value:
            raise UserError(
                f"{kind} {name!r} of {point.value!r} is also registered by {found[name]!r}",
                "expected each name once",
                "Uninstall one of the two packages.",
            )
        found[name] = point.value
    return found


def names(kind: str) -> list[str]:
    """The names of every item of `kind`, sorted, without importing one."""
    return sorted(_sources(kind))


def load(kind: str, name: str) -> Any:
    """The item of `kind` called `name`.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    sources = _sources(kind)
    if name not in sources:
        near = get_close_matches(name, sources, n=1)
        raise UserError(
            f"{kind.replace('_', ' ')} {name!r} is unknown",
            f"expected one of {', '.join(sorted(sources))}",
            f"Use {near[0]!r}." if near else "Choose one of these.",
        )
    importlib.import_module(sources[name])
    try:
        return _items[kind, name]
    except KeyError:
        raise UserError(
            f"module {sources[name]!r} registers no {kind} {name!r}",
            f"expected `@register({kind!r})` on one class or function defined in it",
            "Add the decorator, or uninstall the plugin.",
        ) from None
