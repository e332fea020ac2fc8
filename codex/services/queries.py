"""Queries to begin with, queries that a person keeps, and what the views they ask hold.

A query is a file of SQL whose first line is `-- ` and its title. Examples are shipped, the person's own are in the workspace's `queries`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codex.core.errors import UserError, WorkspaceError
from codex.core.files import fsync_folder, write_atomic
from codex.core.paths import Workspace
from codex.core.publish import draft_in, publish
from codex.services.ask import LONGEST_QUERY, ask

_EXAMPLES = Path(__file__).parent / "example_queries"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TITLE = "-- "
_SUFFIX = ".sql"

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "events": {
        "session": "The session that the event belongs to.",
        "seq": "Its number in the session, from 0.",
        "ts": "When, in seconds since 1970, UTC.",
        "role": "Who speaks: system, user, assistant, tool, info, warning or error.",
        "kind": "What it is about: chat, agent, training, evaluation, decision, serving, notebook or annotation.",
        "content": "What is said.",
        "attributes": "Anything else, as JSON: `attributes->>'split'` is text, `(attributes->'tokens')::int` a number.",
        "tool": "The tool that was called.",
        "model": "The model that answered.",
        "latency_ms": "How long it took, in milliseconds.",
        "tokens_in": "Tokens that were read.",
        "tokens_out": "Tokens that were written.",
        "run_id": "The run that it belongs to.",
        "step": "The training step, from 0.",
        "loss": "The loss of that step.",
        "redacted": "How many secrets were taken out of it before it was stored.",
        "time": "When, as a timestamp, UTC; a condition on it lets a large log be read in part.",
        "day": "The date of `time`; a condition on it lets a large log be read in part.",
    },
    "sessions": {
        "id": "The session's name.",
        "kind": "What it is: chat, agent, training, evaluation, decision, serving, notebook or annotation.",
        "title": "What lists call it.",
        "started": "When its first event was written, in seconds since 1970, UTC.",
        "last_ts": "When its last event was written, in seconds since 1970, UTC.",
        "events": "How many events it has.",
        "run_id": "The run that it belongs to.",
        "outcome": "How it ended: finished, stopped, failed, interrupted; nothing while it is open, and when its writer was killed.",
        "errors": "How many of its events are errors.",
        "tokens_in": "Tokens that were read, in all.",
        "tokens_out": "Tokens that were written, in all.",
        "redacted": "How many secrets were taken out of its events before they were stored.",
        "roles": "The roles that speak in it.",
        "tools": "The tools that were called in it.",
        "models": "The models that answered in it.",
        "last_seq": "The number of its last event.",
        "time": "When it started, as a timestamp, UTC.",
        "day": "The date of `time`.",
    },
    "annotations": {
        "session": "The session of the event that something was said of.",
        "seq": "That event's number in it.",
        "rating": "1 for good, -1 for bad, 0 for a rating that was taken back; the newest counts.",
        "note": "What was noted; the newest counts.",
        "edit": "A better answer; the newest counts.",
        "time": "When something was said of it last, as a timestamp, UTC.",
        "rated": "When it was rated last, as a timestamp, UTC; a later note does not change it.",
    },
}
"""What each column of each view is, in a sentence."""


@dataclass(frozen=True)
class Query:
    """A query with a name.

    Args:
        name: of its file, without `.sql`.
        title: what lists call it.
        sql: one SELECT.
    """

    name: str
    title: str
    sql: str


@dataclass(frozen=True)
class ViewColumn:
    """A column that a query can ask for: its name, its type as DuckDB calls it, and what it is in a sentence."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class View:
    """A view that a query can ask, with its columns in their order."""

    name: str
    columns: tuple[ViewColumn, ...]


def examples() -> list[Query]:
    """The queries that are shipped, by name."""
    return [_read(path) for path in sorted(_EXAMPLES.glob(f"*{_SUFFIX}"))]


def saved(workspace: Workspace) -> list[Query]:
    """The person's own queries, by name.

    Raises:
        WorkspaceError: one of them cannot be read.
    """
    try:
        return [_read(path) for path in sorted(folder(workspace).glob(f"*{_SUFFIX}"))]
    except OSError as error:
        raise WorkspaceError(
            f"the query {str(error.filename)!r} cannot be read ({error.strerror or error})",
            "expected a file that you may read",
            "Make it readable, or remove it.",
        ) from error


def save(query: Query, *, workspace: Workspace, overwrite: bool = False) -> Path:
    """Keep a query under its name; gives the file.

    Args:
        query: what to keep; a title that is empty becomes the name.
        workspace: where.
        overwrite: whether one that is called so may be replaced.

    Raises:
        UserError: the name, the title or the SQL cannot be kept, or the name is taken.
        WorkspaceError: the folder cannot be written.
    """
    path = _path(query.name, workspace)
    text = _written(query)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            write_atomic(path, text)
        else:
            _write_new(path, text)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        UserError: it is.
        OSError: the folder cannot be written.
    """
    with draft_in(path.parent) as draft:
        draft.write_text(text, encoding="utf-8")
        try:
            publish(draft, path)
        except FileExistsError as error:
            raise UserError(
                f"a query called {path.stem!r} is there already", "expected a name that is free", "Choose another name, or replace it."
            ) from error


def delete(name: str, *, workspace: Workspace) -> None:
    """Remove one of the person's own queries.

    Raises:
        UserError: there is none of this name.
        WorkspaceError: it cannot be removed.
    """
    path = _path(name, workspace)
    try:
        path.unlink()
        fsync_folder(path.parent)
    except FileNotFoundError as error:
        names = ", ".join(query.name for query in saved(workspace)) or "none"
        raise UserError(f"no query is called {name!r}", f"expected one that was saved: {names}", "Choose one of these.") from error
    except OSError as error:
        raise _unwritable(path, error) from error


def folder(workspace: Workspace) -> Path:
    """Where the person's own queries are."""
    return workspace.root / "queries"


def schema(workspace: Workspace) -> list[View]:
    """What a query can ask: each view of the workspace's log, with the types and descriptions of its columns.

    Raises:
        UserError: the log cannot be read.
    """
    types = _types(workspace)
    return [
        View(view, tuple(ViewColumn(name, kind, DESCRIPTIONS[view].get(name, "")) for name, kind in types[view])) for view in DESCRIPTIONS
    ]


@lru_cache(maxsize=8)
def _types(workspace: Workspace) -> dict[str, list[tuple[str, str]]]:
    """Of each view its columns and their types; asked where queries are, and once, for a program's views stay what they are."""
    described = (f"select '{view}', column_name, column_type from (describe {view})" for view in DESCRIPTIONS)
    types: dict[str, list[tuple[str, str]]] = {view: [] for view in DESCRIPTIONS}
    for view, name, kind in ask(" union all ".join(described), workspace=workspace).rows:
        types[view].append((name, kind))
    return types


def _read(path: Path) -> Query:
    text = path.read_text(encoding="utf-8", errors="replace")
    first, _, rest = text.partition("\n")
    titled = first.startswith(_TITLE) and bool(rest.strip())
    return Query(path.stem, first.removeprefix(_TITLE).strip() if titled else path.stem, (rest if titled else text).strip())


def _written(query: Query) -> str:
    """The text of a query's file.

    Raises:
        UserError: the title or the SQL cannot be kept.
    """
    title, sql = query.title.strip() or query.name, query.sql.strip()
    if not title.isprintable():
        raise UserError(f"the title {query.title!r} is no single line of text", "expected one that is", "Leave out the line break.")
    if not sql or len(sql) > LONGEST_QUERY or "\0" in sql or not _is_unicode(sql):
        raise UserError(
            f"the query is {sql[:80]!r}", f"expected text of at most {LONGEST_QUERY:,} characters", "Write one SELECT, and save it again."
        )
    return f"{_TITLE}{title}\n{sql}\n"


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _path(name: str, workspace: Workspace) -> Path:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"the name {name!r} cannot be a query's",
            "expected at most 64 letters, digits, `-`, `_` and `.`, a letter or digit first",
            "Choose another one, such as `slow_tools`.",
        )
    return folder(workspace) / f"{name}{_SUFFIX}"


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"the query's file {str(path)!r} cannot be written ({error.strerror or error})",
        "expected a folder that you may write, on a disk with room",
        "Make it writable, or name another workspace: `--workspace DIR`.",
    )
