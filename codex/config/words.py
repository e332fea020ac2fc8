"""How values and their origins are worded in messages."""

from __future__ import annotations

from collections.abc import Callable

_SHOWN = 120
"""Characters of a typed value that a message or an origin repeats."""


def shorten(text: str) -> str:
    """`text` on one line, cut where it would drown a message."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def brief(value: object, form: Callable[[object], str] = str) -> str:
    """`value` as a message or an origin shows it."""
    try:
        return shorten(form(value))
    except ValueError:  # Python prints no whole number of more than 4300 digits
        return "a number of thousands of digits"


def variable_of(name: str) -> str:
    """The variable that sets `name`."""
    return f"CODEX_{name.upper().replace('.', '__')}"


def in_words(origin: str) -> str:
    """An origin as a message names it, with what was typed between backticks."""
    kind, _, rest = origin.partition(" ")
    return f"{kind} `{rest}`" if kind in ("override", "argument") else origin
