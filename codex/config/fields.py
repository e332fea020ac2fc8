"""The settings as a table: each dotted name with what it means, what it takes, and its default."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic.fields import FieldInfo

from codex.config.schema import MethodSettings, RunConfig
from codex.config.section import Section
from codex.core.registry import load, names

GROUPS = ("model", "data", "method", "training", "evaluation", "tracking")
"""The sections of a run that are groups of recipes, and of variables."""


@dataclass(frozen=True)
class Bounds:
    """What a value may be; for a text its length.

    Args:
        low, high: the least and the greatest; None where there is no end.
        low_open, high_open: whether that end itself is left out.
        step: what it must be a multiple of.
    """

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    step: float | None = None

    def __str__(self) -> str:
        low = None if self.low is None else f"above {_number(self.low)}" if self.low_open else f"at least {_number(self.low)}"
        high = None if self.high is None else f"below {_number(self.high)}" if self.high_open else f"at most {_number(self.high)}"
        if self.low is not None and self.high is not None and not (self.low_open or self.high_open):
            span: str | None = f"{_number(self.low)} to {_number(self.high)}"
        else:
            span = ", ".join(end for end in (low, high) if end) or None
        parts = (f"a multiple of {_number(self.step)}" if self.step else None, span)
        return ", ".join(part for part in parts if part)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


@dataclass(frozen=True)
class FieldHelp:
    """Everything that a face shows about one setting.

    Args:
        name: dotted, as it is typed in an override: "training.steps".
        title, help, unit: for people.
        type: "whole number", "number", "true or false", "text", "one of", "list", "settings".
        bounds: least and greatest value, or length of a text.
        default: what holds when nothing says otherwise; None also where `required`.
        required: whether something must say it.
        choices: the values that are taken, when they can be listed.
        optional: whether it may be empty (`null`).
        lists: whether it takes a list, such as `[q_proj, v_proj]`.
        secret: whether it is kept out of files and messages.
        methods: the methods that have it, for a method's own setting.
        basic: whether a form shows it to everyone, and not only to those who ask for all.
    """

    name: str
    title: str
    help: str
    unit: str | None
    type: str
    bounds: Bounds
    default: Any
    required: bool
    choices: tuple[str, ...] = ()
    optional: bool = False
    lists: bool = False
    secret: bool = False
    methods: tuple[str, ...] = ()
    basic: bool = False
    text: bool = field(default=False, repr=False)

    @property
    def switch(self) -> bool:
        """Whether it is on or off."""
        return self.type == "true or false"

    @property
    def chosen(self) -> bool:
        """Whether a form offers its values to choose from, and no others."""
        return bool(self.choices) and not self.lists and not self.optional

    @property
    def expectation(self) -> str:
        """What it takes, in words: "a whole number, 1 to 512"."""
        bounds = str(self.bounds)
        if self.text:
            bounds = "not empty" if self.bounds == Bounds(low=1) else bounds and f"{bounds} characters"
        kinds = {"one of": f"one of {', '.join(self.choices)}", "list": "a list such as [a, b]", "text": "text", "settings": "settings"}
        said = kinds.get(self.type, self.type if self.type == "true or false" else f"a {self.type}")
        if self.lists and self.choices:
            said = f"{', '.join(self.choices)}, or a list such as [q_proj, v_proj]"
        return said + (f", {bounds}" if bounds else "") + (", or null" if self.optional else "")


def _members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union; the type itself when it is none."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)


def _section_of(members: Iterable[Any]) -> type[Section] | None:
    return next((member for member in members if isinstance(member, type) and issubclass(member, Section)), None)


def _type_name(members: tuple[Any, ...], choices: tuple[str, ...]) -> str:
    if _section_of(members):
        return "settings"
    if choices:
        return "one of"
    named = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return next((named[member] for member in members if member in named), "list")


def _bounds(info: FieldInfo) -> Bounds:
    found: dict[str, Any] = {}
    for rule in info.metadata:
        for attribute in ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length"):
            value = getattr(rule, attribute, None)
            if value is not None:
                found[attribute] = value
    low = next((found[key] for key in ("ge", "gt", "min_length") if key in found), None)
    high = next((found[key] for key in ("le", "lt", "max_length") if key in found), None)
    return Bounds(low, high, "gt" in found, "lt" in found, found.get("multiple_of"))


def _extra(info: FieldInfo) -> Mapping[str, Any]:
    extra: Any = info.json_schema_extra  # pyright: ignore[reportUnknownMemberType]
    return cast("Mapping[str, Any]", extra) if isinstance(extra, dict) else {}


def is_secret(info: FieldInfo) -> bool:
    """Whether a field is marked as one that is never written or shown."""
    return bool(_extra(info).get("secret"))


def _describe(name: str, info: FieldInfo) -> FieldHelp:
    members = _members(info.annotation)
    choices = tuple(str(value) for member in members if get_origin(member) is Literal for value in get_args(member))
    return FieldHelp(
        name=name,
        title=info.title or name.rpartition(".")[2],
        help=info.description or "",
        unit=_extra(info).get("unit"),
        type=_type_name(members, choices),
        bounds=_bounds(info),
        default=None if info.is_required() or info.default_factory else info.default,
        required=info.is_required(),
        choices=choices,
        optional=type(None) in members,
        lists=any(get_origin(member) in (list, tuple) for member in members),
        secret=is_secret(info),
        basic=bool(_extra(info).get("basic")),
        text=bool(choices) or str in members,
    )


def walk(model: type[Section], at: str = "") -> Iterator[FieldHelp]:
    """Every setting of `model` and of the sections in it, in their order; sections that may be empty count as settings too."""
    for key, info in model.model_fields.items():
        name = f"{at}{key}"
        described = _describe(name, info)
        inner = _section_of(_members(info.annotation))
        if inner is None or described.optional:
            yield described
        if inner is not None:
            yield from walk(inner, f"{name}.")


@cache
def settings_of(method: type[MethodSettings]) -> Mapping[str, FieldHelp]:
    """All settings of a run that trains with `method`, by dotted name, in the order of the schema."""
    table: dict[str, FieldHelp] = {}
    for described in walk(RunConfig):
        if described.name == "method.name":
            table |= {one.name: one for one in walk(method, "method.")}
        else:
            table[described.name] = described
    return table


def methods_with(setting: str) -> tuple[str, ...]:
    """The methods that have the setting `method.<...>`."""
    return tuple(name for name in names("method") if setting in settings_of(load("method", name)))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that `name` was probably meant to be; None when nothing is near."""
    known, name = list(known), name[:100]  # what is longer resembles nothing, and takes long to find out
    leaf = name.rpartition(".")[2]
    same_leaf = [one for one in known if one.rpartition(".")[2] == leaf]
    if same_leaf:
        return max(same_leaf, key=lambda one: SequenceMatcher(None, name, one).ratio())
    close = get_close_matches(name, known, n=1)
    if close:
        return close[0]
    leaves = {one.rpartition(".")[2]: one for one in known}
    by_leaf = get_close_matches(leaf, leaves, n=1)
    return leaves[by_leaf[0]] if by_leaf else None
