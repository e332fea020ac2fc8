"""From a configuration back to what a form would hold for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, cast

from codex.config.asked import hear
from codex.config.compose import DEFAULT_RECIPE, check
from codex.config.composed import resolved_yaml
from codex.config.library import Library
from codex.config.schema import RunConfig
from codex.config.starting import Draft, begin, overrides_of, typed
from codex.config.table import as_plain
from codex.core.errors import ConfigError


def draft_of(library: Library, config: RunConfig, choices: Mapping[str, str], environ: Mapping[str, str]) -> Draft | None:
    """A draft that composes to `config`, its recipe's name included; None when its recipe's options cannot be made to.

    Args:
        library: where recipes are; they may have changed since.
        config: what is to come out.
        choices: the options that `config` was once made with, which are tried first.
        environ: the variables to hear.

    Raises:
        ConfigError: its recipe is missing or broken.
    """
    begin(library, config.recipe, {}, environ)
    wanted = resolved_yaml(config)
    for candidate in _candidates(library, config, choices):
        try:
            draft = _draft(library, config, candidate, environ)
        except ConfigError:  # an option that is broken by now
            continue
        composed = check(library, hear(DEFAULT_RECIPE, overrides_of(library, draft, environ), environ, {})).composed
        if composed is not None and composed.resolved_yaml() == wanted:
            return draft
    return None


def _candidates(library: Library, config: RunConfig, choices: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The options that might lead to `config`: those that it was made with, its method by name, and each model, which may bring a shape."""
    there = {group: option for group, option in choices.items() if option in library.names(group)}
    methods: list[dict[str, str]] = [{}, {"method": config.method.name}]
    models: list[dict[str, str]] = [{}, *({"model": option} for option in library.names("model"))]
    for model, method in product(models, methods):
        yield {**there, **method, **model}


def _draft(library: Library, config: RunConfig, choices: Mapping[str, str], environ: Mapping[str, str]) -> Draft:
    values = as_plain(config)
    held = begin(library, config.recipe, choices, environ).held
    wanted = {name: typed(_at(values, name)) for name in held}
    return Draft(config.recipe, dict(choices), {name: text for name, text in wanted.items() if not held[name].said_by(text)})


def _at(values: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name; None where nothing is."""
    found: Any = values
    for part in name.split("."):
        found = cast("Mapping[str, Any]", found).get(part) if isinstance(found, Mapping) else None
    return found
