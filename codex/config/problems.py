"""What is wrong with a configuration, in words that a data scientist understands: value, expectation, fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from codex.config.fields import GROUPS, Bounds, FieldHelp, methods_with, nearest
from codex.config.section import Conflict
from codex.config.table import REQUIRED, Table, settle
from codex.config.words import brief, in_words, shorten, variable_of
from codex.core.errors import Problem

_OUT_OF_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")


@dataclass(frozen=True)
class Finding:
    """One or more problems, and the settings that they are about.

    Args:
        problems: what to tell.
        fields: the dotted names; what else is wrong with them would only repeat it.
    """

    problems: tuple[Problem, ...]
    fields: frozenset[str]


def problems_of(findings: Iterable[Finding]) -> list[Problem]:
    """All that `findings` tell."""
    return [problem for finding in findings for problem in finding.problems]


@dataclass(frozen=True)
class Reporter:
    """Turns what validation finds into problems.

    Args:
        table: the values with their origins.
        settings: all settings that there are.
        usual: values that are right, by dotted name, to propose: the recipe's own.
        method: the name of the method.
    """

    table: Table
    settings: Mapping[str, FieldHelp]
    usual: Mapping[str, Any]
    method: str

    def findings(self, error: ValidationError) -> list[Finding]:
        """Everything that pydantic found, each setting once."""
        found: dict[frozenset[str], Finding] = {}
        for details in error.errors(include_url=False):
            for finding in self._from_details(details):
                found.setdefault(finding.fields, finding)
        return list(found.values())

    def _from_details(self, details: ErrorDetails) -> Iterable[Finding]:
        name = ".".join(str(part) for part in details["loc"])
        if details["type"] == "conflicts":
            conflicts = cast("tuple[Conflict, ...]", details.get("ctx", {})["conflicts"])
            return [self._conflict(conflict, f"{name}." if name else "") for conflict in conflicts]
        if details["type"] == "extra_forbidden":
            below = [one for one in self.table if one == name or one.startswith(f"{name}.")]
            return [Finding((self.unknown(one),), frozenset({one})) for one in below]
        field = self._known_part(name)
        return [Finding((self.wrong(field, details["type"], details["input"]),), frozenset({field}))]

    def _known_part(self, name: str) -> str:
        """The setting or section that an error is about: pydantic adds a union's members and a list's positions to its place."""
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            head = ".".join(parts[:end])
            if head in self.settings or any(one.startswith(f"{head}.") for one in self.settings):
                return head
        return name

    def where(self, name: str) -> str | None:
        """Where the value of `name`, or one below it, came from, in words; None for a default."""
        for one, entry in self.table.items():
            if one == name or one.startswith(f"{name}."):
                return in_words(entry.origin)
        return None

    def shown(self, name: str, value: Any) -> str:
        """A value as a message shows it."""
        setting = self.settings.get(name)
        if setting is not None and setting.secret:
            return "a secret"
        words = {None: "null", True: "true", False: "false"}
        return words[value] if value is None or isinstance(value, bool) else brief(value, repr)

    def wrong(self, name: str, kind: str, value: Any) -> Problem:
        """A setting whose value is of the wrong type or out of bounds."""
        setting = self.settings.get(name)
        if setting is None or (setting.type == "settings" and kind != "missing"):
            first = next(one for one in self.settings if one.startswith(f"{name}."))
            fix = f"Set its settings one by one, such as `{first}={self._typed(first)}`"
            fix += f", or choose an option: `{name}=NAME`." if name in GROUPS else "."
            return Problem(f"`{name}` is {self.shown(name, value)}", "expected a group of settings", fix, self.where(name))
        if kind == "missing":
            return self.missing(name, None)
        expected = str(setting.bounds) if kind in _OUT_OF_BOUNDS else setting.expectation
        if kind == "string_unicode":  # bytes of a file name that are no UTF-8
            expected = "text that is valid Unicode"
        entry = self.table.get(name)
        empty = value is None and entry is not None and entry.text == ""  # null is what YAML makes of that
        shown = "empty" if empty else self.shown(name, value)
        return Problem(f"`{name}` is {shown}", f"expected {expected}", self._set(setting, value), self.where(name))

    def missing(self, name: str, where: str | None) -> Problem:
        """A setting that must be given and is not."""
        setting = self.settings[name]
        wanted = setting.help[:1].lower() + setting.help[1:] if setting.text else setting.expectation
        value = "FILE.jsonl" if name.startswith("data.") else setting.title.upper().replace(" ", "_")
        return Problem(f"`{name}` is not given", f"expected {wanted}", f"Set `{name}={value}`.", where)

    def unknown(self, name: str) -> Problem:
        """A name that is no setting."""
        what = f"`{shorten(name)}` is no setting"
        section, _, leaf = name.rpartition(".")
        if section == "method" and self.method and methods_with(name):
            having = methods_with(name)
            fix = f"Take it out, or choose `method={having[0]}`."
            return Problem(
                f"`{name}` is no setting of {self.method!r}", f"expected it only with {' or '.join(having)}", fix, self.where(name)
            )
        near = nearest(name, self.settings)
        expected = f"expected one of the settings of `{section}`" if section in GROUPS else "expected the dotted name of a setting"
        if near is None and name in GROUPS:
            near = f"{name}.{leaf}"
        if near is not None and self.table[name].origin.startswith("variable"):
            near = variable_of(near)
        fix = f"Use `{near}`." if near else "List them all: `codex-ml config explain`."
        return Problem(what, expected, fix, self.where(name))

    def _conflict(self, conflict: Conflict, at: str) -> Finding:
        names = [f"{at}{one}" for one in conflict.fields]
        said = [f"`{one}` is {self.shown(one, self._value(one))}" for one in names]
        origins = list(dict.fromkeys(place for one in names if (place := self.where(one)) is not None))
        problem = Problem(" and ".join(said), conflict.expected, conflict.fix.replace("{at}", at), ", ".join(origins) or None)
        return Finding((problem,), frozenset(names))

    def _value(self, name: str) -> Any:
        if name in self.table:
            return settle(self.table[name], self.settings.get(name))
        below = {one: entry for one, entry in self.table.items() if one.startswith(f"{name}.")}
        if below:
            return {one.removeprefix(f"{name}."): settle(entry, self.settings.get(one)) for one, entry in below.items()}
        return self.settings[name].default

    def _set(self, setting: FieldHelp, value: Any) -> str:
        if setting.choices and isinstance(value, str) and not setting.secret:
            near = nearest(value, setting.choices)
            if near:
                return f"Set `{setting.name}={near}`."
        return f"Set `{setting.name}={self._typed(setting.name)}`."

    def _typed(self, name: str) -> str:
        """A right value for `name`, as it would be typed."""
        setting = self.settings[name]
        value = self.usual.get(name, setting.default)
        if (value is None and not setting.optional) or value == REQUIRED or setting.secret:
            value = _least(setting)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            return f"[{','.join(str(one) for one in cast('list[Any]', value))}]"
        return "null" if value is None else str(value) or "TEXT"


def _least(setting: FieldHelp) -> Any:
    if setting.choices:
        return setting.choices[0]
    bounds: Bounds = setting.bounds
    return bounds.low if bounds.low is not None and not setting.text else "VALUE"
