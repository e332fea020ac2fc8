"""The program that runs one query that a person typed: `python -m codex.services.sql_child --replies FD --parent PID`.

The request comes as JSON on standard input, what it gives goes out as frames through a pipe. Before it looks at the query, it gives up
files, the network, memory and time (`sandboxed`). Whoever started it kills it at the query's limit; if nobody is left to do so, the
kernel does.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex.core.errors import UserError
from codex.core.paths import Workspace
from codex.services.child_errors import described
from codex.services.sandboxed import Memory, confine, end_within, limit_work, machine_files, python_folders, stand_back
from codex.services.sql_formats import WRITERS, Broken, send_rows
from codex.services.sql_frames import Replies
from codex.sessionlog.statements import change_in

if TYPE_CHECKING:
    import duckdb

GRACE_SECONDS = 1.5
"""How much later than the process that asks the kernel ends this one."""
MEGABYTE = 10**6
SHOWN_QUERY = 200
SHOWN_MESSAGE = 500
_CONNECTING_BYTES = 256 * 2**20
"""Address space that a connection takes besides what a query uses."""
_MODULES = {"csv": ("pyarrow.csv",), "parquet": ("pyarrow.parquet",)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the query that standard input holds."""
    parser = argparse.ArgumentParser(prog="python -m codex.services.sql_child", description="Ask one query.")
    parser.add_argument("--replies", type=int, required=True, help="descriptor that replies go to")
    parser.add_argument("--parent", type=int, required=True, help="the process that started this one")
    options = parser.parse_args(arguments)
    stand_back(options.parent)
    request = json.load(sys.stdin)
    end_within(request["start_seconds"] + GRACE_SECONDS)
    replies = Replies(options.replies)
    settle(replies, lambda: answer(request, opened(request, replies), replies))
    return 0


def settle(replies: Replies, work: Callable[[], None]) -> None:
    """Do `work`, and say what went wrong with it, if that is the person's to know."""
    try:
        work()
    except UserError as error:
        replies.message(user_error=described(error))
    except MemoryError:
        replies.message(memory=True)


def opened(request: Mapping[str, Any], replies: Replies) -> Callable[..., Any]:
    """The log's `sql`, after everything has been given up that asking it does not need."""
    sys.meta_path.insert(0, WithoutPandas())
    for module in ("duckdb", "pyarrow", *_MODULES.get(request["format"], ())):
        importlib.import_module(module)  # what is here now takes neither files nor the query's time later
    from codex.sessionlog import SessionLog

    workspace = Workspace(Path(request["workspace"]))
    budget = int(request["memory_gib"] * 2**30)
    limit_connections(budget)
    memory = Memory()
    confined = confine([workspace.log, *python_folders(), *machine_files()])
    log = SessionLog.open(workspace)
    log.sql("select 1")  # reads what is new, so that the time and memory of the query are its own
    memory.allow(budget + _CONNECTING_BYTES)
    limit_work(request["seconds"])
    end_within(request["seconds"] + GRACE_SECONDS)
    replies.message(ready=confined)
    return log.sql


class WithoutPandas(importlib.abc.MetaPathFinder):
    """Arrow and DuckDB import pandas wherever it is installed, and do without where it is not; it would be most of the start."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Say that pandas is not installed."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)


def limit_connections(memory: int) -> None:
    """Give every connection that is made in this process one thread and so many bytes, in the settings that the log then locks."""
    import duckdb

    connect = duckdb.connect

    def limited(database: str = ":memory:", read_only: bool = False, config: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
        return connect(database, read_only, {**(config or {}), "threads": 1, "async_threads": 0, "memory_limit": f"{memory}B"})

    duckdb.connect = limited


def answer(request: Mapping[str, Any], ask: Callable[..., Any], replies: Replies) -> None:
    """Ask the query, and send what it gives.

    Raises:
        UserError: it is not one question, or DuckDB cannot answer it; about the condition that the query was made of, if it was.
        MemoryError: it needs more than it may have.
    """
    try:
        _answer(request, ask, replies)
    except NotAnswered as error:
        condition = request.get("condition")
        raise (error if condition is None else _not_usable(condition["text"], condition["view"], error.why)) from error


def _answer(request: Mapping[str, Any], ask: Callable[..., Any], replies: Replies) -> None:
    import duckdb

    began, computed = time.perf_counter(), time.process_time()
    query: str = request["query"]
    most_bytes = int(request["megabytes"] * MEGABYTE)
    relation = _relation(query, request["parameters"] or None, ask)
    try:
        if request["format"] is None:
            rows, truncated = send_rows(relation, replies, most_rows=request["rows"], most_bytes=most_bytes)
        else:
            rows, truncated = WRITERS[request["format"]](relation, replies, most_bytes=most_bytes)
    except (duckdb.Error, Broken) as error:
        raise _refused(query, error, with_line=False) from error
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - computed
    replies.message(done=rows, truncated=truncated, seconds=seconds, cpu_seconds=cpu_seconds)


def _relation(query: str, parameters: Any, ask: Callable[..., Any]) -> duckdb.DuckDBPyRelation:
    """What the log makes of the query; some kinds, such as EXPLAIN, are run by that already.

    Raises:
        UserError: it is not one question, or DuckDB cannot answer it.
        MemoryError: it needs more than it may have.
    """
    import duckdb

    change = change_in(query)
    if change:
        raise not_answered(query, f"{change}; the log is only read")
    try:
        return ask(query, parameters)
    except UserError as error:
        if isinstance(error.__cause__, duckdb.Error):
            raise _refused(query, error.__cause__) from error
        if type(error) is UserError:  # all else that `sql` refuses; what is wrong with the log has a class of its own
            raise not_answered(query, "it is not one SELECT; the log is only read") from error
        raise
    except ValueError as error:  # of a kind of statement that DuckDB's own Python does not know
        raise not_answered(query, "it is not one SELECT; the log is only read") from error


def _refused(query: str, error: Exception, *, with_line: bool = True) -> Exception:
    """DuckDB's error as the person's, or as want of memory."""
    text = str(error)
    if "Out of Memory Error" in text or "bad_alloc" in text:
        return MemoryError(text)
    return not_answered(query, own_words(text, with_line=with_line))


def own_words(text: str, *, with_line: bool = True) -> str:
    """What DuckDB says first, and in which line of the query it sees the error; no stack, no advice about its settings.

    Args:
        text: its whole message.
        with_line: whether its lines are those of the query; an answer on its way out is asked for in other lines.
    """
    said, _, seen = text.partition("\n\nLINE ")
    said = textwrap.shorten(said.partition("\n\nStack Trace")[0], SHOWN_MESSAGE, placeholder=" …")
    line = seen.partition(":")[0]
    return f"{said}, in line {line}" if with_line and line.isdigit() else said


class NotAnswered(UserError):
    """A query is no question to the log; `why` is what is wrong with it."""

    def __init__(self, query: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"the query {_shown(query)!r} cannot be answered ({why})",
            "expected one SELECT over the views `events`, `sessions` and `annotations`",
            "`select * from events limit 5` shows the columns.",
        )


def not_answered(query: str, why: str) -> UserError:
    """The error for a query that is no question to the log."""
    return NotAnswered(query, why)


def _not_usable(condition: str, view: str, why: str) -> UserError:
    """The error for a person's condition, which says nothing of the query that was made of it."""
    return UserError(
        f"the condition {_shown(condition)!r} cannot be used ({why})",
        f"expected a condition in SQL over the columns of `{view}`",
        f"For example `{'errors > 0' if view == 'sessions' else 'tokens_out > 100'}`.",
    )


def _shown(query: str) -> str:
    return query if len(query) <= SHOWN_QUERY else f"{query[:SHOWN_QUERY]}…"


if __name__ == "__main__":
    code = main()
    os._exit(code)  # what DuckDB and Arrow would tidy up, the system does at once
