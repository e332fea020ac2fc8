"""Numbers as people read them: unit stated, missing is a dash, never 0."""

from __future__ import annotations

import time
from itertools import pairwise

MISSING = "–"
MINUS = "−"
THOUSANDS = ((1e3, "k"), (1e6, "M"), (1e9, "B"))
BINARY = ((2**10, "KiB"), (2**20, "MiB"), (2**30, "GiB"), (2**40, "TiB"))
TIMES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def loss(value: float | None) -> str:
    """Three decimals: "4.581"."""
    return MISSING if value is None else f"{value:.3f}".replace("-", MINUS)


def rate(value: float | None) -> str:
    """Two digits: "6.1e-5"."""
    if value is None:
        return MISSING
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


def share(value: float | None) -> str:
    """Of a whole: "31 %"."""
    return MISSING if value is None else f"{value * 100:.2g} %" if abs(value) < 0.1 else f"{value * 100:.0f} %"


def count(value: float | None) -> str:
    """Whole below ten thousand, then short: "9,600", "18.4k", "4.1M"."""
    if value is None:
        return MISSING
    whole = round(value)
    if abs(whole) < 10_000:
        return f"{whole:,}".replace("-", MINUS)
    scale, unit = next(((scale, unit) for scale, unit in THOUSANDS if abs(round(value / scale, 1)) < 1000), THOUSANDS[-1])
    return f"{value / scale:.1f}{unit}".replace("-", MINUS)


def size(bytes_: float | None) -> str:
    """Of files and memory: "512 B", "4.0 MiB", "11.2 GiB"."""
    if bytes_ is None:
        return MISSING
    if bytes_ < 1024:
        return f"{bytes_:.0f} B"
    scale, unit = next(((scale, unit) for scale, unit in BINARY if round(bytes_ / scale, 1) < 1024), BINARY[-1])
    return f"{bytes_ / scale:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """The two largest units: "42 s", "6 min 12 s", "2 h 5 min", "3 d 4 h"."""
    if seconds is None:
        return MISSING
    left = max(0, round(seconds))
    for (large, larger), (small, smaller) in pairwise(TIMES):
        if left >= large:
            whole, rest = divmod(left // small, large // small)
            return f"{whole} {larger} {rest} {smaller}" if rest else f"{whole} {larger}"
    return f"{left} s"


def ago(ts: float | None, now: float | None = None) -> str:
    """How long past `ts` (seconds since the epoch) is: "41 min ago"."""
    if ts is None:
        return MISSING
    seconds = (time.time() if now is None else now) - ts
    if seconds < 1:
        return "now"
    largest = duration(seconds).split()
    return f"{largest[0]} {largest[1]} ago"


def plural(number: int, noun: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def fixed(value: float | None, decimals: int) -> str:
    """With a true minus sign: "5.89"."""
    if value is None:
        return MISSING
    text = f"{abs(value):.{decimals}f}"
    return MINUS + text if value < 0 and float(text) else text


def signed(value: float | None, decimals: int) -> str:
    """A difference: "+0.40", "−1.31"."""
    text = fixed(value, decimals)
    return "+" + text if value is not None and value > 0 and float(text) else text
