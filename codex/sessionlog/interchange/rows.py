"""Rows of others as events: their names, times, roles and session ids in ours, with nothing dropped on the way."""

from __future__ import annotations

import hashlib
import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import from_json

from codex.core.errors import DataError, Problem, UserError
from codex.core.events import Event
from codex.sessionlog import annotations
from codex.sessionlog.ingest import KEPT
from codex.sessionlog.session import check_id

ALIASES: Final[Mapping[str, str]] = {"session_id": "session", "message": "content"}
"""What the interchange table calls two of our columns."""

ROLES: Final[Mapping[str, str]] = {
    **{role: role for role in ("system", "user", "assistant", "tool", "info", "warning", "error")},
    **dict.fromkeys(("human",), "user"),
    **dict.fromkeys(("ai", "bot", "gpt", "model"), "assistant"),
    **dict.fromkeys(("function", "observation"), "tool"),
    **dict.fromkeys(("developer",), "system"),
    **dict.fromkeys(("debug", "log"), "info"),
    **dict.fromkeys(("warn",), "warning"),
    **dict.fromkeys(("critical", "exception", "fatal"), "error"),
}
"""The roles that are read, in lower case, and the role of ours that each is; what a row said stays in its attributes."""

SHOWN: Final = 20
_SECONDS_END: Final = 253_402_300_800  # the year 10000: no event is later, so a larger number counts a smaller unit
_UNITS: Final = (1, 1_000, 1_000_000, 1_000_000_000)
_AFFINITIES: Final = {"string": "TEXT", "integer": "INTEGER", "number": "REAL", "object": "TEXT"}


class Unfit(Exception):
    """A value that cannot be read: what would be right, and what to do."""

    def __init__(self, expected: str, fix: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.fix = fix


class Findings:
    """What is wrong with the rows of one source; the first 20 are kept, all are counted.

    Args:
        source: what the rows come from, as a person calls it.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.count = 0
        self._first: list[Problem] = []

    def add(self, where: str, what: str, unfit: Unfit) -> None:
        """Note one thing that is wrong at `where` ("row 3", "line 7")."""
        self.count += 1
        if len(self._first) < SHOWN:
            self._first.append(Problem(what, unfit.expected, unfit.fix, f"{where} of {self.source}"))

    def refuse(self) -> None:
        """Stop here when anything is wrong.

        Raises:
            UserError: something is; it names the first 20 and how many there are.
        """
        if not self.count:
            return
        told = f"the first {SHOWN} are above" if self.count > SHOWN else "all are above"
        sum_up = Problem(
            f"{self.source!r} has {self.count:,} problem{'s' * (self.count > 1)}",
            "expected none, so nothing was imported",
            f"Mend the rows that are named and import again; {told}.",
        )
        raise DataError.of([*self._first, sum_up])


def column_types() -> dict[str, str]:
    """Our columns and what SQLite calls their types, in the order of `Event`."""
    properties: dict[str, dict[str, Any]] = Event.model_json_schema()["properties"]
    kinds = {name: schema.get("type") or schema["anyOf"][0]["type"] for name, schema in properties.items()}
    return {name: _AFFINITIES[kinds[name]] for name in Event.model_fields}


def event_of(row: Mapping[str, Any], where: str, findings: Findings) -> Event | None:
    """The event that `row` says, its keys being our columns, their aliases, or anything else.

    What has no column of ours, and what was read as something else, is kept in the attribute `imported`.

    Args:
        row: values by column; `seq` must be there.
        where: which row it is.
        findings: where to note what is wrong with it.

    Returns:
        The event; None when something is wrong with the row.
    """
    fields: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    bad: set[str] = set()
    for key, value in row.items():
        name = ALIASES.get(key, key)
        try:
            if name in fields:
                raise Unfit(f"expected either `{key}` or its other name, for they are one column", "Remove one of the two.")
            if name in _READERS:
                fields[name] = _READERS[name](value, kept)
            elif value is not None:
                kept[key] = _plain(value)
        except Unfit as unfit:
            bad.add(name)
            findings.add(where, f"`{key}` is {reprlib.repr(value)}", unfit)
    if "content" not in fields.keys() | bad:
        bad.add("content")
        findings.add(where, "`message` is missing", Unfit("expected the text in `message` or `content`", "Name the column so."))
    fields = {name: value for name, value in fields.items() if value is not None}
    if kept:
        fields["attributes"] = _with_kept(fields.get("attributes", {}), kept)
    return _validated({"kind": "chat", **fields}, bad, where, findings)


def _validated(fields: dict[str, Any], bad: set[str], where: str, findings: Findings) -> Event | None:
    try:
        event = Event.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False):
            name = str(problem["loc"][0])
            if name not in bad:
                missing = problem["type"] == "missing"
                expected = "expected in every row" if missing else problem["msg"].replace("Input should be", "expected", 1)
                what = f"`{name}` is missing" if missing else f"`{name}` is {reprlib.repr(problem['input'])}"
                findings.add(where, what, Unfit(expected, "Correct the row, or leave it out."))
        return None
    wrong = annotations.misfit(event)
    if wrong is not None:
        findings.add(where, f"`{wrong.name}` is {reprlib.repr(wrong.value)}", Unfit(wrong.expected, "Correct the row, or leave it out."))
    return None if bad or wrong else event


def _plain(value: Any) -> Any:
    """A value of a column that is not ours, as JSON can hold it."""
    if isinstance(value, bytes):
        return value.hex()
    return text_of(value) if isinstance(value, str) else value


def _with_kept(attributes: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    if KEPT in attributes:  # it was imported before, by whoever exported it
        kept = {**kept, KEPT: attributes[KEPT]}
    return {**attributes, KEPT: kept}


def seconds(value: Any) -> float:
    """A time as seconds since the epoch, UTC.

    A number below 253,402,300,800 (the year 10000) is seconds; 1,000 times as large it is milliseconds, then microseconds, then
    nanoseconds. Text is such a number, or a time in ISO 8601, in UTC unless it says otherwise.

    Raises:
        Unfit: it is no time.
    """
    if isinstance(value, str):
        return _seconds_of_text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        for unit in _UNITS:
            if abs(value) < _SECONDS_END * unit:
                return value / unit
    raise Unfit(
        "expected seconds, milliseconds, microseconds or nanoseconds since 1970, or a time in ISO 8601 such as '2026-11-23T01:42:21Z'",
        "Write the time as one of these.",
    )


def _seconds_of_text(text: str) -> float:
    try:
        return seconds(float(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return seconds(None)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def session_id(value: Any) -> str:
    """The id of ours for the session id of another, always the same for the same; ours stay as they are.

    One that cannot be an id becomes its usable characters and 12 digits of the SHA-256 of the whole: "team/alice 1" becomes
    "team-alice-1-" and the digits.

    Raises:
        Unfit: it is empty, or no text.
    """
    text = text_of(value)
    if not text:
        raise Unfit("expected the name of a session", "Write a name into every row, for example the conversation's.")
    try:
        return check_id(text)
    except UserError:
        usable = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100]
        digits = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{usable or 'session'}-{digits}"


def text_of(value: Any) -> str | None:
    """Text, or a number as text; None stays None.

    Raises:
        Unfit: it is neither, or bytes that are no UTF-8.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Unfit("expected text in UTF-8", "Convert the text to UTF-8 first.") from error
    if value is None or isinstance(value, str):
        return value
    raise Unfit("expected text", "Write it as text.")


def parse_json(text: bytes) -> Any:
    """The value of the JSON `text`; of a surrogate pair that was cut in two, the half becomes U+FFFD, as in the log.

    Raises:
        ValueError: it is no JSON, or nests too deeply.
    """
    try:
        return from_json(text)
    except ValueError:
        if b"\\u" not in text:
            raise
        try:
            loose = json.dumps(json.loads(text), ensure_ascii=False)
        except RecursionError as error:
            raise ValueError("it nests too deeply") from error
        return from_json(loose.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _session(value: Any, kept: dict[str, Any]) -> str:
    session = session_id(value)
    if session != str(value):
        kept["session_id"] = value
    return session


def _role(value: Any, kept: dict[str, Any]) -> str:
    role = ROLES.get(value.strip().lower()) if isinstance(value, str) else None
    if role is None:
        raise Unfit(f"expected one of {', '.join(ROLES)}", "Rename the role to the one of these that it means.")
    if role != value:
        kept["role"] = value
    return role


def _attributes(value: Any, kept: dict[str, Any]) -> dict[str, Any] | None:
    try:
        parsed = parse_json(value.encode()) if isinstance(value, str) else value
    except ValueError as error:
        raise Unfit(f"expected a JSON object ({error})", "Correct the JSON, or leave the column empty.") from error
    if parsed is not None and not isinstance(parsed, dict):
        raise Unfit("expected a JSON object", 'Write {"name": value}, or leave the column empty.')
    return cast("dict[str, Any] | None", parsed)


def _readers() -> dict[str, Callable[[Any, dict[str, Any]], Any]]:
    readers: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
        name: (lambda value, kept: text_of(value)) if kind == "TEXT" else (lambda value, kept: value)
        for name, kind in column_types().items()
    }
    special: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
        "session": _session,
        "ts": lambda value, kept: seconds(value),
        "role": _role,
        "attributes": _attributes,
    }
    return readers | special


_READERS: Final = _readers()
