"""Read examples from a JSONL file: one JSON object a line, UTF-8; and say all that is wrong with a file that is something else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex.core import registry
from codex.core.errors import DataError, Problem
from codex.data.examples import DatasetFormat, Example
from codex.data.fields import shown
from codex.data.files import json_list, lines_of

MOST_SHOWN = 5
KIND = "dataset_format"

_BOM = b"\xef\xbb\xbf"
# Shapes that other programs write, each with how it is written here.
_KNOWN_SHAPES = {
    "conversations": "Rename `conversations` to `messages`, `from` to `role` (human is user, gpt is assistant) and `value` to `content`.",
    "instruction": "Write `instruction`, with `input` below it where there is one, as `prompt`, and `output` as `completion`.",
    "question": "Rename `question` to `prompt` and `answer` to `completion`.",
    "chosen": "Preference pairs cannot be trained on yet; write `chosen` as `completion`.",
}


@dataclass(frozen=True)
class ReadFile:
    """What a file held: its examples in order, their format's name, and the SHA-256 of its bytes."""

    examples: list[Example]
    format: str
    sha256: str


class _Problems:
    """The first few problems and the number of the rest: a file can have one on each of its million lines."""

    def __init__(self) -> None:
        self._shown: list[Problem] = []
        self._more = 0

    def add(self, problem: Problem) -> None:
        if len(self._shown) < MOST_SHOWN:
            self._shown.append(problem)
        else:
            self._more += 1

    def raise_if_any(self, name: str) -> None:
        if not self._shown:
            return
        rest = Problem(f"lines of {name!r} with problems beyond these: {self._more:,}", "expected none", "Mend these and try again.")
        raise DataError.of([*self._shown, rest] if self._more else self._shown)


def read_file(path: Path, format_name: str = "auto") -> ReadFile:
    """All examples of the JSONL file at `path`.

    Args:
        path: the file.
        format_name: a registered dataset format, or `auto` for the one that the first row has.

    Raises:
        DataError: with up to five problems at once and the count of the rest.
        UserError: there is no format of this name.
    """
    reader = _Reader(path, format_name)
    digest = hashlib.sha256()
    for number, offset, raw in lines_of(path):
        digest.update(raw)
        reader.take(number, offset, raw)
    return ReadFile(reader.finish(), reader.format_name, digest.hexdigest())


class _Reader:
    """Turns lines into examples, gathering problems on the way."""

    def __init__(self, path: Path, format_name: str) -> None:
        names = registry.names(KIND) if format_name == "auto" else [format_name]
        self._formats: dict[str, DatasetFormat] = {each: registry.load(KIND, each)() for each in names}
        self._path = path
        self._rows = 0
        self._decided_at = "asked for" if format_name != "auto" else ""
        self.format_name = format_name
        self._examples: list[Example] = []
        self._problems = _Problems()

    def take(self, number: int, offset: int, raw: bytes) -> None:
        """Read line `number`, which begins at byte `offset`."""
        origin = f"{self._path.name}:{number}"
        try:
            text = _decode(raw, offset, origin)
            if not text.strip():
                return
            self._rows += 1
            row = self._object(text, origin)
            self._examples.append(self._format_of(row, origin).read(row, origin))
        except _WholeFile as error:
            raise error.problem from None
        except DataError as error:
            for problem in error.problems:
                self._problems.add(problem)

    def finish(self) -> list[Example]:
        """The examples, once every line was taken."""
        self._problems.raise_if_any(self._path.name)
        if not self._examples:
            raise DataError(f"{str(self._path)!r} holds no examples", "expected one JSON object a line", f"Write {_wanted(self._all())}.")
        return self._examples

    def _object(self, text: str, origin: str) -> dict[str, Any]:
        """The JSON object on one line."""
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            if self._rows == 1 and text.lstrip().startswith("["):
                raise _WholeFile(json_list(self._path)) from None
            raise _invalid(text, error, origin) from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; a thousand brackets
            raise DataError(
                f"{shown(text.strip())} cannot be read ({error})", "expected one JSON object", "Simplify or remove the line.", origin
            ) from None
        if isinstance(row, dict):
            return row
        if self._rows == 1 and isinstance(row, list) and row and isinstance(row[0], dict):
            raise _WholeFile(json_list(self._path))
        raise DataError(
            f"the line is {shown(row)}", "expected a JSON object in braces", 'Write {"prompt": "…", "completion": "…"}.', origin
        )

    def _all(self) -> dict[str, DatasetFormat]:
        return {name: registry.load(KIND, name)() for name in registry.names(KIND)}

    def _format_of(self, row: dict[str, Any], origin: str) -> DatasetFormat:
        """The format of this file, which the first row that has one decides."""
        fitting = [name for name, each in self._formats.items() if each.detect(row)]
        if self._decided_at:
            chosen = self._formats[self.format_name]
            if self.format_name not in fitting:
                self._refuse_mixture(row, fitting, origin)
            return chosen
        if not fitting:
            self._refuse_keys(row, origin)
        if len(fitting) > 1:
            both = " and ".join(repr(name) for name in fitting)
            raise _WholeFile(
                DataError(f"the row fits {both}", "expected one format", f"Say which: `data.format={fitting[0]}`, or another one.", origin)
            )
        self.format_name, self._decided_at = fitting[0], f"decided by {origin}"
        return self._formats[fitting[0]]

    def _refuse_mixture(self, row: dict[str, Any], fitting: list[str], origin: str) -> None:
        if not fitting:
            self._refuse_keys(row, origin)
        raise DataError(
            f"the row is {fitting[0]!r}",
            f"expected {self.format_name!r} on every line ({self._decided_at})",
            "Put rows of each format into a file of their own.",
            origin,
        )

    def _refuse_keys(self, row: dict[str, Any], origin: str) -> None:
        hint = next((fix for key, fix in _KNOWN_SHAPES.items() if key in row), "Rename the row's keys to these.")
        keys = shown(sorted(row)) if row else "{}"
        raise DataError(f"the row's keys are {keys}", f"expected {_wanted(self._formats)}", hint, origin)


class _WholeFile(Exception):
    """A problem that makes reading on pointless."""

    def __init__(self, problem: DataError) -> None:
        self.problem = problem


def _wanted(formats: dict[str, DatasetFormat]) -> str:
    return ", or ".join(" and ".join(f"`{key}`" for key in each.keys) for each in formats.values())


def _decode(raw: bytes, offset: int, origin: str) -> str:
    start = len(_BOM) if offset == 0 and raw.startswith(_BOM) else 0
    try:
        return raw[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = start + error.start
        raise DataError(
            f"{raw[at : at + 1]!r} at byte offset {offset + at} is not UTF-8",
            "expected UTF-8",
            "Save the file as UTF-8: `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`, with the encoding that it has.",
            origin,
        ) from None


def _invalid(text: str, error: json.JSONDecodeError, origin: str) -> DataError:
    around = text[max(0, error.pos - 20) : error.pos + 20].strip()
    cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    fix = "The line is cut off: write it whole, or copy the file again." if cut else "Write one whole JSON object on each line."
    return DataError(f"{shown(around)} at column {error.colno} is no valid JSON ({error.msg})", "expected one JSON object", fix, origin)
