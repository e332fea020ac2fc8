"""Words on a terminal or in a pipe: escaped, no wider than the window, coloured only where a person looks."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from codex.core.errors import Problem, UserError

Tone = Literal["good", "warn", "bad", "live", "dim", "bold"]

_CODES: dict[Tone, str] = {"good": "32", "warn": "33", "bad": "31", "live": "34", "dim": "2", "bold": "1"}
# What moves the cursor, changes colours or the direction of writing, or is no character at all; line breaks and tabs are not among it.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LEAST_WIDTH = 20


@dataclass(frozen=True)
class Painted:
    """Text with a tone, which shows as a colour where there are colours."""

    text: str
    tone: Tone


Part = str | Painted


def printable(text: str) -> str:
    """`text` with everything that a terminal would obey shown as an escape instead; line breaks and tabs stay."""
    return text if text.isprintable() else _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """`printable`, with each line break and what surrounds it as one blank."""
    return printable(re.sub(r"\s*[\n\t]\s*", " ", text.strip()))


def cells(text: str) -> int:
    """How many columns `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def clipped(text: str, width: int) -> str:
    """`text`, cut with an ellipsis where it is wider than `width` columns."""
    if cells(text) <= width:
        return text
    kept = ""
    for character in text:
        if cells(kept + character) > width - 1:
            break
        kept += character
    return kept + "…"[:width]


def width() -> int:
    """Columns of the window."""
    return max(LEAST_WIDTH, shutil.get_terminal_size().columns)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sees `stream` as it is written."""
    return stream is not None and stream.isatty()


def redraws(stream: TextIO | None) -> bool:
    """Whether a line on `stream` can be written over."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb")


def _colourful(stream: TextIO | None) -> bool:
    return redraws(stream) and not os.environ.get("NO_COLOR")


def _rendered(parts: tuple[Part, ...], stream: TextIO | None) -> str:
    colourful = _colourful(stream)
    pieces: list[str] = []
    for part in parts:
        text = printable(part.text if isinstance(part, Painted) else part)
        pieces.append(f"\x1b[{_CODES[part.tone]}m{text}\x1b[0m" if colourful and isinstance(part, Painted) else text)
    return "".join(pieces)


def _write(text: str, stream: TextIO | None) -> None:
    """Write now; a reader that has left raises `BrokenPipeError`, a disk that is full a message.

    `stream` is None where a program was started with this output closed.
    """
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(stream)
        raise UserError(
            f"the output cannot be written ({error.strerror or error})",
            "expected a terminal, a pipe, or a file on a disk with room",
            "Make room, or write it elsewhere.",
        ) from error


def silence(stream: TextIO | None) -> None:
    """Let what is still to be written to `stream` go nowhere, so that Python's own last flush does not fail."""
    try:
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):  # no descriptor behind it, so nothing is flushed to one
        return


def can_show(text: str) -> bool:
    """Whether stdout has the characters of `text`."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def out(*parts: Part, end: str = "\n") -> None:
    """Write an answer, to stdout."""
    _write(_rendered(parts, sys.stdout) + end, sys.stdout)


def note(*parts: Part, end: str = "\n") -> None:
    """Write what goes with an answer but is none, to stderr."""
    _write(_rendered(parts, sys.stderr) + end, sys.stderr)


def redraw(*parts: Part) -> None:
    """Write over the current line of stdout."""
    _write("\r" + _rendered(parts, sys.stdout) + "\x1b[K", sys.stdout)


def end_redrawn() -> None:
    """Leave the line that was written over as it is."""
    _write("\n", sys.stdout)


def jsonable(value: Any) -> Any:
    """`value` as JSON can hold it: numbers that are not finite as "NaN" or "Infinity", other things as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, Mapping):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def document(value: Any) -> None:
    """Write one JSON document to stdout."""
    _write(json.dumps(jsonable(value), indent=2) + "\n", sys.stdout)


def record(value: Any) -> None:
    """Write one JSON object on a line of its own to stdout."""
    _write(json.dumps(jsonable(value)) + "\n", sys.stdout)


def complain(problems: tuple[Problem, ...], *, as_json: bool) -> None:
    """Write problems to stderr, one a line, or as one JSON object."""
    if as_json:
        said = [{"what": each.what, "expected": each.expected, "fix": each.fix, "where": each.where} for each in problems]
        _write(json.dumps({"errors": said}) + "\n", sys.stderr)
        return
    for problem in problems:
        note(Painted("Error: ", "bad"), one_line(str(problem)))
