"""What a person may change about redaction: `redaction.yaml` in the workspace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

from codex.core.errors import ConfigError, Problem
from codex.sessionlog.redaction import names, shapes

FILE: Final = "redaction.yaml"

KINDS: Final = tuple(dict.fromkeys((*shapes.KINDS, *names.KINDS)))
"""Every kind of secret that is known."""

_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class RedactionRules:
    """What is redacted before it reaches the disk.

    Args:
        enabled: whether anything is.
        off: kinds to leave alone.
        extra: kinds of your own, each with a regular expression; with a group named `secret`, only that is redacted.
        keep: regular expressions; what would be redacted and has a match of one is left alone.

    Raises:
        ConfigError: a value cannot be used.
    """

    enabled: bool = True
    off: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    keep: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        problems = list(_problems(vars(self), None))
        if problems:
            raise ConfigError(problems)


def read_rules(path: Path) -> RedactionRules:
    """The rules in the file at `path`; the built-in ones when there is no such file.

    Raises:
        ConfigError: the file cannot be read or a value in it cannot be used; it says all problems at once.
    """
    raw = _read(path)
    problems = list(_problems(raw, path))
    if problems:
        raise ConfigError(problems)
    return RedactionRules(
        enabled=raw.get("enabled", True),
        off=tuple(raw.get("off") or ()),
        extra=dict(raw.get("extra") or {}),
        keep=tuple(raw.get("keep") or ()),
    )


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        raw: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # it leaves `off` a word, not false
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError([Problem(f"{FILE} cannot be read ({reason})", "expected a text file", "Mend or remove it.", str(path))]) from None
    except yaml.YAMLError as error:
        raise ConfigError([_no_yaml(error, path)]) from None
    if not raw:
        return {}
    if not isinstance(raw, dict):
        what = f"{FILE} holds a {type(raw).__name__}"
        raise ConfigError([Problem(what, "expected keys and values", "Write `off: [jwt]`, for example.", str(path))])
    values = {str(key): value for key, value in cast("dict[Any, Any]", raw).items() if value != ""}
    if "enabled" in values:
        values["enabled"] = {"true": True, "false": False}.get(str(values["enabled"]).lower(), values["enabled"])
    return values


def _no_yaml(error: Exception, path: Path) -> Problem:
    """Where the YAML is broken, without the text that stands there."""
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
    fix = "Write regular expressions in single quotes: in double quotes, a backslash begins an escape."
    return Problem(f"{FILE} is no YAML ({getattr(error, 'problem', None) or 'broken'})", "expected keys and values", fix, where)


def _problems(raw: Mapping[str, Any], path: Path | None) -> Iterator[Problem]:
    """All that is wrong with the values of a set of rules."""
    where = None if path is None else str(path)
    known = ("enabled", "off", "extra", "keep")
    for key in raw:
        if key not in known:
            yield Problem(f"`{key}` is no setting of redaction", f"expected one of {', '.join(known)}", _nearest(key, known), where)
    if not isinstance(raw.get("enabled", True), bool):
        yield Problem(f"`enabled` is {raw['enabled']!r}", "expected true or false", "Set `enabled: true`.", where)
    yield from _off(raw.get("off"), where)
    yield from _extra(raw.get("extra"), where)
    yield from _keep(raw.get("keep"), where)


def _nearest(typed: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(typed, known, n=1)
    return f"Did you mean `{close[0]}`?" if close else "Remove it."


def _off(value: Any, where: str | None) -> Iterator[Problem]:
    if value is None:
        return
    if not isinstance(value, list | tuple):
        yield Problem(f"`off` is {value!r}", "expected a list of kinds", "Set `off: [jwt]`, for example.", where)
        return
    for kind in cast("list[Any]", value):
        if kind not in KINDS:
            yield Problem(f"`off` names {kind!r}", f"expected kinds of {', '.join(KINDS)}", _nearest(str(kind), KINDS), where)


def _extra(value: Any, where: str | None) -> Iterator[Problem]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield Problem(
            f"`extra` is a {type(value).__name__}", "expected kinds with their regular expressions", "Set `extra: {kind: regex}`.", where
        )
        return
    for kind, pattern in cast("Mapping[Any, Any]", value).items():
        if not isinstance(kind, str) or not _KIND.fullmatch(kind) or kind in KINDS:
            yield Problem(
                f"`extra` names {kind!r}",
                "expected a name of its own, of lower-case letters, digits and `-`",
                "Choose another, such as `badge-number`.",
                where,
            )
        yield from _pattern(f"extra.{kind}", pattern, where)


def _keep(value: Any, where: str | None) -> Iterator[Problem]:
    if value is None:
        return
    if not isinstance(value, list | tuple):
        yield Problem(f"`keep` is a {type(value).__name__}", "expected a list of regular expressions", "Set `keep: [regex]`.", where)
        return
    for number, pattern in enumerate(cast("list[Any]", value)):
        yield from _pattern(f"keep[{number}]", pattern, where)


def _pattern(name: str, pattern: Any, where: str | None) -> Iterator[Problem]:
    """What is wrong with a regular expression, which is not shown: what it matches may be a secret."""
    if not isinstance(pattern, str):
        yield Problem(f"`{name}` is a {type(pattern).__name__}", "expected a regular expression", "Put it in single quotes.", where)
        return
    try:
        empty = re.compile(pattern).fullmatch("") is not None
    except re.error as error:
        at = "" if error.pos is None else f" at character {error.pos + 1}"
        yield Problem(
            f"`{name}` does not compile (fails{at} of {len(pattern)})", "expected a regular expression of Python", "Mend it.", where
        )
        return
    if empty:
        yield Problem(f"`{name}` matches nothing at all, so everywhere", "expected at least one character", "Write `+` for `*`.", where)
