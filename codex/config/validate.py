"""One validation of a whole configuration, with all that is wrong at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError, create_model

from codex.config.fields import FieldHelp, settings_of
from codex.config.problems import Finding, Reporter
from codex.config.schema import MethodSettings, RunConfig
from codex.config.table import REQUIRED, Table, nest, settle
from codex.config.words import in_words
from codex.core.errors import Problem, UserError
from codex.core.registry import load

_ROUNDS = 8
"""Each round takes out what was wrong and looks again, for checks between settings need settings that are right."""


@cache
def _model_for(method: type[MethodSettings]) -> type[RunConfig]:
    """RunConfig with the settings of one method, so that one validation sees them all."""
    return create_model("RunConfig", __base__=RunConfig, method=(method, ...))


def build(values: Mapping[str, Any], method: type[MethodSettings]) -> RunConfig:
    """A configuration from nested values.

    Raises:
        ValidationError: pydantic's own account of what is wrong.
    """
    checked = _model_for(method).model_validate(values)
    return RunConfig(**{key: getattr(checked, key) for key in RunConfig.model_fields})


def settled(table: Table, settings: Mapping[str, FieldHelp]) -> dict[str, Any]:
    """Each value as its setting takes it."""
    return {name: settle(entry, settings.get(name)) for name, entry in table.items()}


def _overlaps(fields: Iterable[str], others: Iterable[str]) -> bool:
    return any(one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.") for one in fields for other in others)


def _without(values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not any(name == one or name.startswith(f"{one}.") for one in names)}


def right_values(table: Table, method: type[MethodSettings]) -> dict[str, Any]:
    """The values of `table` that are right each, by dotted name."""
    values = settled(table, settings_of(method))
    try:
        build(nest(values), method)
    except ValidationError as error:
        wrong = [".".join(str(part) for part in details["loc"]) for details in error.errors(include_url=False, include_context=False)]
        return {name: value for name, value in values.items() if not _overlaps([name], wrong)}
    return values


def method_of(table: Table) -> tuple[type[MethodSettings], list[Problem]]:
    """The settings of the method that `table` names, or what is wrong with the name."""
    entry = table.get("method.name")
    if entry is None:
        problem = Problem("`method.name` is not given", "expected the method that trains", "Choose one: `method=qlora`.", None)
        return MethodSettings, [problem]
    try:
        return load("method", str(entry.value)), []
    except UserError as error:
        return MethodSettings, [Problem(one.what, one.expected, one.fix, in_words(entry.origin)) for one in error.problems]


def _missing(values: dict[str, Any], table: Table, reporter: Reporter) -> list[Finding]:
    names = [name for name, value in values.items() if value == REQUIRED and name in reporter.settings]
    return [Finding((reporter.missing(name, in_words(table[name].origin)),), frozenset({name})) for name in names]


def validate(
    table: Table,
    method: type[MethodSettings],
    reporter: Reporter,
    wrong: frozenset[str] = frozenset(),
    unsure: frozenset[str] = frozenset(),
) -> tuple[RunConfig | None, list[Finding]]:
    """The configuration that `table` holds, or all that is wrong with it.

    Args:
        table: the values of all sources, later ones having replaced earlier ones.
        method: the settings of the method that trains.
        reporter: puts problems into words.
        wrong: settings whose problems are already told.
        unsure: groups whose values are not what was asked, so that what they get wrong together with others says nothing.
    """
    values = settled(table, reporter.settings)
    findings = _missing(values, table, reporter)
    dropped = wrong.union(*(finding.fields for finding in findings))
    values = _without(values, dropped)
    config: RunConfig | None = None
    for _ in range(_ROUNDS):
        try:
            config = build(nest(values), method)
            break
        except ValidationError as error:
            found = reporter.findings(error)
        findings += [
            one for one in found if not _overlaps(one.fields, dropped) and not (len(one.fields) > 1 and _overlaps(one.fields, unsure))
        ]
        dropped = dropped.union(*(one.fields for one in found))
        left = _without(values, dropped)
        if left == values:
            break
        values = left
    return (None if dropped else config), findings
