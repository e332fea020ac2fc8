"""Recipes as files: read with the line of every value, so that an error can point at it.

A recipe is plain: no aliases, tags, interpolations or keys with dots, so that it says all that it means, where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from codex.config.plain import PLAIN, TEXT, children, compose_yaml, pairs, plain, value_of
from codex.core.errors import ConfigError, Problem
from codex.core.paths import shipped_recipes

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(frozen=True)
class Written:
    """A value as it stands in a file.

    Args:
        value: what the rules of `plain` make of it.
        text: how it was written, when it stands there without quotes; None for quoted text and lists.
        line: where, from 1.
    """

    value: Any
    text: str | None
    line: int


@dataclass(frozen=True)
class DefaultsEntry:
    """One entry of a recipe's `defaults`.

    Args:
        key: the group, perhaps after `override `; None for a bare name.
        value: the option, or the bare name.
        line: where, from 1.
    """

    key: str | None
    value: str
    line: int


@dataclass(frozen=True)
class RecipeFile:
    """One YAML file, taken apart.

    Args:
        label: how messages name it: "recipes/training/quick-cpu.yaml".
        defaults: the entries of its `defaults`.
        values: its values by their path of keys.
        header: its leading comment lines, without the #.
    """

    label: str
    defaults: tuple[DefaultsEntry, ...]
    values: tuple[tuple[tuple[str, ...], Written], ...]
    header: tuple[str, ...]


def label_of(path: Path) -> str:
    """How messages name a recipe's file: `recipes/…` for a shipped one, else its path."""
    shipped = shipped_recipes()
    return f"recipes/{path.relative_to(shipped).as_posix()}" if path.is_relative_to(shipped) else str(path)


def _broken(what: str, expected: str, fix: str, where: str) -> ConfigError:
    return ConfigError([Problem(what, expected, fix, where)])


def read_text(path: Path) -> str:
    """The text of a configuration's file.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    label = label_of(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        what = f"{label!r} cannot be read ({error.strerror or error})"
        raise _broken(what, "expected a file that you may read", "Mend the path, or its rights.", label) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"{label!r} holds the byte 0x{raw[error.start]:02x}"
        raise _broken(what, "expected UTF-8 text", "Save the file as UTF-8.", f"{label}:{line}") from error


def root_node(text: str, label: str) -> yaml.Node | None:
    """The mapping that a file holds; None when it is empty.

    Raises:
        ConfigError: it is no YAML, or no mapping.
    """
    try:
        root = compose_yaml(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = error.problem_mark or error.context_mark if isinstance(error, yaml.MarkedYAMLError) else None
        said = error.problem if isinstance(error, yaml.MarkedYAMLError) else str(error).partition("\n")[0]
        where = f"{label}:{mark.line + 1}" if mark else label
        raise _broken(
            f"{label!r} is no YAML: {said}", "expected `name: value` lines", "Mend the line, or the one before it.", where
        ) from error
    if root is None or (root.tag == PLAIN and not root.value):
        return None
    if not isinstance(root, yaml.MappingNode):
        kind = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
        where = f"{label}:{_line(root)}"
        raise _broken(f"{label!r} holds {kind}", "expected `name: value` lines", "Write each setting under its name.", where)
    return root


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _check(node: yaml.Node, label: str) -> None:
    """Refuse what recipes do without, in `node` and all below it."""
    where = f"{label}:{_line(node)}"
    if isinstance(node, yaml.ScalarNode):
        if node.tag not in (PLAIN, TEXT):
            raise _broken(f"{node.value!r} carries the tag {node.tag!r}", "expected a value without a tag", "Delete the tag.", where)
        if "${" in node.value:
            expected = "expected a plain value: recipes hold no interpolations"
            raise _broken(f"{node.value!r} is an interpolation", expected, "Write the value itself, or give it as an override.", where)
        return
    if node.tag not in _COLLECTIONS:
        raise _broken(f"the tag {node.tag!r} stands here", "expected values without tags", "Delete the tag.", where)
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, label)
    below = children(node) if isinstance(node, yaml.SequenceNode) else [child for _, child in pairs(node)]
    for child in below:
        _check(child, label)


def _check_keys(node: yaml.Node, label: str) -> None:
    seen: set[str] = set()
    for key_node, _ in pairs(node):
        key: Any = key_node.value
        where = f"{label}:{_line(key_node)}"
        if isinstance(key, str) and "." in key:
            nested = ": { ".join(key.split("."))
            raise _broken(f"the key {key!r} holds a dot", "expected nested keys in a recipe", f"Write `{nested}: … }}`.", where)
        if not isinstance(key, str) or not (_KEY.fullmatch(key) and plain(key) == key):
            raise _broken(f"the key {key!r} is no name", "expected the name of a setting", "Write `name: value`.", where)
        if key in seen:
            raise _broken(f"the key {key!r} stands here for the second time", "expected each key once", "Delete one of the two.", where)
        seen.add(key)


def flatten(node: yaml.Node, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Written]]:
    """Each value below `node`, with its path of keys; an empty mapping is a value."""
    if isinstance(node, yaml.MappingNode) and node.value:
        for key, child in pairs(node):
            yield from flatten(child, (*at, str(key.value)))
        return
    text = node.value if isinstance(node, yaml.ScalarNode) and node.tag == PLAIN else None
    yield at, Written(value_of(node), text, _line(node))


def _entry(node: yaml.Node, label: str) -> DefaultsEntry:
    if isinstance(node, yaml.ScalarNode):
        return DefaultsEntry(None, node.value, _line(node))
    found = pairs(node) if isinstance(node, yaml.MappingNode) else []
    if len(found) != 1 or not isinstance(found[0][1], yaml.ScalarNode):
        expected = "expected `_self_`, a recipe's name, `group: option` or `override group: option`"
        raise _broken("an entry of `defaults` is none of its four forms", expected, "Write one of these.", f"{label}:{_line(node)}")
    key, value = found[0]
    return DefaultsEntry(str(key.value), value.value, _line(node))


def _defaults(node: yaml.Node, label: str) -> tuple[DefaultsEntry, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise _broken("`defaults` is no list", "expected a list", "Write `- group: option` lines below it.", f"{label}:{_line(node)}")
    return tuple(_entry(child, label) for child in children(node))


def parse(text: str, label: str) -> RecipeFile:
    """Take a recipe's text apart.

    Raises:
        ConfigError: it is no YAML, no mapping, or uses what recipes do without.
    """
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        header.append(line[1:].strip())
        if header[-1].startswith("@"):
            raise _broken(f"{line!r} is a directive", "expected comments only", "Delete the line.", f"{label}:{len(header)}")
    root = root_node(text, label)
    if root is None:
        return RecipeFile(label, (), (), tuple(header))
    _check_keys(root, label)
    defaults: tuple[DefaultsEntry, ...] = ()
    values: list[tuple[tuple[str, ...], Written]] = []
    for key, child in pairs(root):
        if key.value == "defaults":
            defaults = _defaults(child, label)
        else:
            _check(child, label)
            values += flatten(child, (str(key.value),))
    return RecipeFile(label, defaults, tuple(values), tuple(header))


@lru_cache(maxsize=256)
def _read(path: Path, stamp: tuple[int, ...]) -> RecipeFile:
    return parse(read_text(path), label_of(path))


def read_recipe(path: Path) -> RecipeFile:
    """Take a recipe's file apart; a file that has not changed is read once.

    Raises:
        ConfigError: as `parse`, or the file cannot be read.
    """
    try:
        stat = path.stat()
    except OSError:
        return parse(read_text(path), label_of(path))
    return _read(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
