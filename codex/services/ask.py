"""A person's SQL over the session log, each query in a process of its own that can only read the log and is killed at its limit.

Nothing that is typed can change a file, read another one, reach the network or hold up whoever asks: see `sandboxed` for what the process
gives up, `sql_child` for what runs there.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast, get_args

from codex.core.errors import UserError, WorkspaceError
from codex.core.paths import Workspace, is_there
from codex.core.publish import draft_in, publish
from codex.services.sql_process import Cancelled, Limits, QueryProcess
from codex.sessionlog.lookup import KEYS

__all__ = ["Answer", "Cancelled", "Column", "Format", "Limits", "Written", "ask", "fitting", "write_answer"]

LONGEST_QUERY = 100_000
DEFAULT_LIMITS = Limits()
HELD_BYTES = 16 * 2**20
"""How much of a condition's answer is kept in memory before it is read; more goes to a temporary file."""

Format = Literal["csv", "parquet", "json"]
Parameters = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of an answer.

    Args:
        name: as the query names it; two may be called the same.
        type: as DuckDB calls it.
        numeric: whether its values are numbers; decimals are so, though they come as text.
    """

    name: str
    type: str
    numeric: bool


@dataclass(frozen=True)
class Answer:
    """What a query gave.

    Args:
        columns: in the order of the values.
        rows: values that JSON can hold, and numbers that are not finite; dates, decimals and blobs as DuckDB's
            text, lists and structs as JSON.
        truncated: whether there was more than the limits let through.
        seconds: how long it took, without the start of its process.
        cpu_seconds: how long it computed.
        confined: whether the kernel kept everything but the log from its process; without, DuckDB's own settings did.
    """

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool
    seconds: float
    cpu_seconds: float
    confined: bool


@dataclass(frozen=True)
class Written:
    """An answer that was written to a file; see `Answer`.

    Args:
        rows: how many it holds.
        size: in bytes.
        truncated: whether there were more rows than the limit let through.
        seconds: how long it took, without the start of its process.
        cpu_seconds: how long it computed.
        confined: whether the kernel kept everything but the log from its process.
    """

    rows: int
    size: int
    truncated: bool
    seconds: float
    cpu_seconds: float
    confined: bool


def ask(
    query: str,
    *,
    workspace: Workspace,
    limits: Limits = DEFAULT_LIMITS,
    parameters: Parameters = (),
    cancel: threading.Event | None = None,
) -> Answer:
    """The answer to one SELECT or EXPLAIN over the views `events`, `sessions` and `annotations` of the workspace's log.

    Args:
        query: what the person typed.
        workspace: whose log is asked.
        limits: what it may take; what is beyond `rows` and `megabytes` is left out, and the answer says so.
        parameters: values for `?`, or for `$name` by name: text, numbers, booleans, None.
        cancel: set it from another thread to stop the query.

    Raises:
        UserError: it is no question to the log, DuckDB cannot answer it, or it takes more than the limits allow.
        Cancelled: `cancel` was set.
        ChildDied: its process could not do its work, through no fault of the query.
    """
    request = _request(query, workspace, limits, parameters, None)
    columns: tuple[Column, ...] = ()
    rows: list[tuple[Any, ...]] = []
    with QueryProcess(request, limits, cancel) as asked:
        for frame in asked.frames():
            assert isinstance(frame, dict), "bytes are only sent of a file"
            columns = tuple(Column(*column) for column in frame.get("columns", ())) or columns
            rows += map(tuple, frame.get("rows", ()))
    end = asked.end
    return Answer(columns, rows, end["truncated"], end["seconds"], end["cpu_seconds"], asked.confined)


def write_answer(
    query: str,
    target: Path | BinaryIO,
    format: Format = "csv",
    *,
    workspace: Workspace,
    limits: Limits = DEFAULT_LIMITS,
    parameters: Parameters = (),
    cancel: threading.Event | None = None,
) -> Written:
    """Write the whole answer, up to `limits.megabytes`, to a file.

    Args:
        query: what the person typed.
        target: a path where nothing is yet, which gets the whole file or none; or a stream, which gets it as it comes. Writing to a stream
            counts as time of the query.
        format: what to write. CSV and JSON hold what `ask` gives, Parquet holds dates, decimals and blobs as such.
        workspace: whose log is asked.
        limits: what it may take; `rows` does not count here.
        parameters: values for `?`, or for `$name` by name.
        cancel: set it from another thread to stop the query.

    Raises:
        UserError: as `ask`; or the path is taken, or cannot be written.
        Cancelled: `cancel` was set.
        ChildDied: its process could not do its work, through no fault of the query.
    """
    if format not in get_args(Format):
        raise UserError(f"the format {format!r} is unknown", f"expected one of {', '.join(get_args(Format))}", "Choose one of these.")
    request = _request(query, workspace, limits, parameters, format)
    if not isinstance(target, Path):
        return _stream(request, limits, cancel, target)
    if is_there(target):
        raise _taken(target)
    try:
        with draft_in(target.parent) as draft:
            with open(draft, "wb") as file:
                written = _stream(request, limits, cancel, file)
            publish(draft, target)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        raise WorkspaceError(
            f"{str(target)!r} cannot be written ({error.strerror or error})",
            "expected a name in a folder that you may write, on a disk with room",
            "Choose another place.",
        ) from error
    return written


def fitting(
    where: str,
    view: Literal["sessions", "events"],
    *,
    workspace: Workspace,
    limits: Limits = DEFAULT_LIMITS,
    cancel: threading.Event | None = None,
) -> Any:
    """The keys of what fits a person's condition, as an Arrow table: `id` of sessions, `session` and `seq` of events.

    `SessionLog.find`, `scan` and `search` take it as `among`.

    Args:
        where: what the person typed.
        view: what it is about.
        workspace: whose log is asked.
        limits: what it may take; a key counts about 40 bytes of `megabytes`, and 12 in what is given back.
        cancel: set it from another thread to stop it.

    Raises:
        UserError: DuckDB cannot make sense of it, or it takes more than the limits allow or fits more.
        Cancelled: `cancel` was set.
        ChildDied: its process could not do its work, through no fault of the condition.
    """
    from pyarrow.parquet import read_table  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    types = {"seq": "bigint"}
    keys = ", ".join(f"try_cast({name} as {types.get(name, 'varchar')}) as {name}" for name in KEYS[view])
    # It begins in the query's first line, so that a line in DuckDB's words is its own; a line break follows, for it may end in a comment.
    query = f"select {keys} from (select {', '.join(KEYS[view])} from {view} where ({where}\n))"
    request = _request(query, workspace, limits, (), "parquet") | {"condition": {"text": where, "view": view}}
    with tempfile.SpooledTemporaryFile(HELD_BYTES) as file:
        written = _stream(request, limits, cancel, cast("BinaryIO", file))
        if written.truncated:
            raise UserError(
                f"the condition {where[:200]!r} fits more than {written.rows:,} {view}", "expected one that fits fewer", "Add a day to it."
            )
        file.seek(0)
        return read_table(file, read_dictionary=["session"])


def _taken(target: Path) -> UserError:
    return UserError(f"{str(target)!r} is there already", "expected a name that is free", "Choose another name, or remove that file.")


def _stream(request: dict[str, Any], limits: Limits, cancel: threading.Event | None, target: BinaryIO) -> Written:
    size = 0
    with QueryProcess(request, limits, cancel) as asked:
        for frame in asked.frames():
            if isinstance(frame, bytes):
                target.write(frame)
                size += len(frame)
    end = asked.end
    return Written(end["done"], size, end["truncated"], end["seconds"], end["cpu_seconds"], asked.confined)


def _request(query: str, workspace: Workspace, limits: Limits, parameters: Parameters, format: Format | None) -> dict[str, Any]:
    """What the process is told.

    Raises:
        UserError: the query or a parameter cannot be sent.
    """
    _check_query(query)
    named = isinstance(parameters, Mapping)
    for name, value in parameters.items() if named else enumerate(parameters, 1):
        if not isinstance(value, str | int | float | None):
            raise UserError(
                f"parameter {name!r} of the query is {value!r}", "expected text, a number, True, False or None", "Give it as text."
            )
    sent = dict(parameters) if named else list(cast("Sequence[Any]", parameters))
    told = {"query": query, "workspace": str(workspace.root.absolute()), "parameters": sent, "format": format}
    return told | asdict(limits)


def _check_query(query: str) -> None:
    """Raises UserError for what is no text of a size that somebody types."""
    if len(query) > LONGEST_QUERY:
        raise UserError(
            f"the query has {len(query):,} characters", f"expected at most {LONGEST_QUERY:,}", "Make it shorter; give values as parameters."
        )
    strange = next((character for character in query if character == "\0" or "\ud800" <= character <= "\udfff"), None)
    if strange is not None:
        raise UserError(f"the query holds the character {strange!r}", "expected text", "Remove it.")
