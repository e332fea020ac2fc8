"""HTML from templates, everything escaped; numbers as the whole project writes them."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from codex.core import numbers

HERE = Path(__file__).resolve().parent


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters |= {
        "loss": numbers.loss,
        "rate": numbers.rate,
        "share": numbers.share,
        "count": numbers.count,
        "size": numbers.size,
        "duration": numbers.duration,
        "ago": numbers.ago,
        "fixed": numbers.fixed,
        "signed": numbers.signed,
        "stamp": stamp,
        "ticks": ticks,
    }
    return found


def render(template: str, **values: Any) -> Markup:
    """The HTML of one template of `templates/`."""
    return Markup(_environment().get_template(template).render(**values))


def ticks(text: str) -> Markup:
    """`text`, escaped, with what stands between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts))


def stamp(ts: float | None) -> str:
    """A time in full, in this machine's zone: "2026-11-24 21:32:56"."""
    return numbers.MISSING if ts is None else datetime.fromtimestamp(ts).astimezone().strftime("%Y-%m-%d %H:%M:%S")
