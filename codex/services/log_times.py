"""Times as people type them: a day, a moment, or how long ago. Days and times of day are local."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from codex.core import clock
from codex.core.errors import UserError

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(rf"(\d{{1,6}}(?:\.\d{{1,6}})?)\s*({'|'.join(_UNITS)})(?:\s+ago)?", re.ASCII)
_EXPECTED = 'expected a day (2026-11-25, today, yesterday), a time ("2026-11-25 14:00"), or how long ago (3d, 2h, 30min)'


def since(name: str, text: str, *, now: float | None = None) -> float:
    """When `text` begins, in seconds since the epoch: a day begins at midnight.

    Args:
        name: what the value is called where it was typed: "--since".
        text: `2026-11-25`, `2026-11-25 14:00`, `today`, `yesterday`, `now`, or how long ago: `2w`, `3d`, `2h`, `30min`, `45s`. A time
            with an offset (`2026-11-25T14:00Z`) is that of the offset.
        now: seconds since the epoch; the clock's without.

    Raises:
        UserError: it is none of these.
    """
    return _moment(name, text, days=0, now=clock.now() if now is None else now)


def until(name: str, text: str, *, now: float | None = None) -> float:
    """When `text` ends, in seconds since the epoch: a day counts in full, so it ends at the next midnight; see `since`."""
    return _moment(name, text, days=1, now=clock.now() if now is None else now)


def before(name: str, text: str, *, now: float | None = None) -> float:
    """The moment that is older than nothing younger than `text`: `90d` ago, or when a day began.

    Raises:
        UserError: it is no time, or one to come.
    """
    moment = clock.now() if now is None else now
    found = since(name, text, now=moment)
    if found > moment:
        raise UserError(f"`{name}` is {text!r}, which is to come", "expected a time that is over", f"For example `{name} 90d`.")
    return found


def _moment(name: str, text: str, *, days: int, now: float) -> float:
    words = text.strip().lower()
    ago = _AGO.fullmatch(words)
    try:
        if ago:
            return now - float(ago[1]) * _UNITS[ago[2]]
        if words == "now":
            return now
        day = _day(words, now)
        moment = datetime.fromisoformat(text.strip()) if day is None else datetime.combine(day, datetime.min.time()) + timedelta(days=days)
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        shown = text if len(text) <= 60 else f"{text[:60]}…"
        raise UserError(f"`{name}` is {shown!r}", _EXPECTED, f"For example `{name} {'90d' if name == '--older-than' else '3d'}`.") from None


def _day(words: str, now: float) -> date | None:
    """The local day of that name; None when it is the name of none."""
    today = datetime.fromtimestamp(now).date()
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    if words in named:
        return named[words]
    return date.fromisoformat(words) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", words, re.ASCII) else None
