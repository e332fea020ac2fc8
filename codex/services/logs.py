"""What a person asks of the session log: its newest events, lists, one session, words, and SQL over everything."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, BinaryIO, Literal, get_args

from codex.core.errors import Problem, UserError
from codex.core.events import Event, Kind
from codex.core.paths import Workspace
from codex.services.ask import Limits, Written, ask, fitting, write_answer
from codex.services.child_errors import ChildDied
from codex.services.log_state import damage_seen, unreadable
from codex.sessionlog import Annotation, Hit, Selection, SessionInfo, SessionLog, annotations

__all__ = [
    "Annotation",
    "Hit",
    "Limits",
    "Selection",
    "SessionInfo",
    "SessionLog",
    "Table",
    "Timeline",
    "answered",
    "checked",
    "damage_seen",
    "find",
    "open_log",
    "resolve",
    "search",
    "sql",
    "sql_text",
    "tail",
    "timeline",
    "write_sql",
]

CONDITION_LIMITS = Limits(seconds=60.0, megabytes=2_000.0)
"""What a condition of the command line may take: as long as `codex-ml logs sql` waits, and some 50 million events."""
_NAMED = 5
_SESSIONS = f"select id from sessions where kind != '{annotations.KIND}'"


@dataclass(frozen=True)
class Table:
    """The rows of a query.

    Args:
        columns: their names, of which two may be the same.
        rows: values that JSON can hold; dates, decimals and the like as text.
        numeric: of each column, whether its values are numbers.
        truncated: whether there were more rows.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    numeric: tuple[bool, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class Timeline:
    """One session to read: what a list says of it, its events in order, and what was said of them, by seq.

    `problem` says that none of its events can be read.
    """

    info: SessionInfo
    events: tuple[Event, ...]
    annotations: dict[int, Annotation]
    problem: Problem | None = None


def open_log(workspace: Workspace) -> SessionLog:
    """The workspace's log, to ask several things of without reading it anew."""
    return SessionLog.open(workspace)


def tail(log: SessionLog, *, session: str | None = None, lines: int = 20, follow: bool = False) -> Iterator[Event]:
    """The newest events, oldest first; with `follow`, those to come as well.

    Args:
        log: where they are.
        session: only those of this session, which need not exist yet; else see `resolve`.
        lines: how many to begin with.
        follow: go on until the caller stops.

    Raises:
        UserError: several sessions are meant.
    """
    name = session
    if session is not None and (ids := _meant(log, session)):
        name = _only(session, ids)
    yield from log.tail(session=name, follow=follow, n=lines)


def find(log: SessionLog, selection: Selection, *, limit: int) -> list[SessionInfo]:
    """The sessions that fit, the newest first; those that only hold ratings and notes are left out unless their kind is asked for.

    Raises:
        UserError: a session or kind is unknown, or the condition in `selection.where` cannot be used.
    """
    chosen = checked(log, selection)
    if not chosen.kinds:
        kinds = [kind for (kind,) in log.rows("select distinct kind from sessions") if kind != annotations.KIND]
        chosen = replace(chosen, kinds=tuple(kinds) or ("none",))
    open_, keys = answered(log, chosen, "sessions")
    return log.find(open_, limit=limit, among=keys)


def search(log: SessionLog, words: str, selection: Selection, *, limit: int) -> list[Hit]:
    """The events that have all `words`, the best first; see `SessionLog.search`.

    Raises:
        UserError: there is no word, or as `find`.
    """
    chosen = checked(log, selection)
    open_, keys = answered(log, chosen, "events")
    return log.search(words, open_, limit=limit, among=keys)


def timeline(log: SessionLog, name: str, *, first: int | None = None, stop: int | None = None) -> Timeline:
    """One session.

    Args:
        log: where it is.
        name: see `resolve`.
        first: the seq to begin with; below 0 it counts from the end.
        stop: the seq to stop before; below 0 it counts from the end.

    Raises:
        UserError: there is no such session, or several.
    """
    session = resolve(log, name)
    info = _info(log, session, name)
    low = first if first is not None and first > 0 else 0
    events, position = log.since(session, low)
    begin, end = (position + value if value is not None and value < 0 else value for value in (first, stop))
    shown = [event for event in events if event.seq >= (begin or 0) and (end is None or event.seq < end)]
    problem = None
    if not events and not log.since(session, 0)[0]:
        problem = unreadable(_info(log, session, name))  # looked for anew, for it may have been purged since
    return Timeline(info, tuple(shown), log.annotations(session), problem)


def _info(log: SessionLog, session: str, name: str) -> SessionInfo:
    """What a list says of a session.

    Raises:
        UserError: it was purged since its `name` was looked up.
    """
    found = log.find(Selection(sessions=(session,)))
    if not found:
        raise _unknown_session(log, name)
    return found[0]


def resolve(log: SessionLog, name: str) -> str:
    """The id of the session that `name` means: an id, the beginning or the end of one that no other has, or `last`, the newest.

    Raises:
        UserError: there is none, or there are several.
    """
    ids = _meant(log, name)
    if not ids:
        raise _unknown_session(log, name)
    return _only(name, ids)


def _meant(log: SessionLog, name: str) -> list[str]:
    """The sessions that `name` may mean, those that it fits best; at most one more than an error names."""
    part = name.strip().strip("…")  # as a narrow list shows it
    if part == "last":
        return [id for (id,) in log.rows(f"{_SESSIONS} order by started desc, id desc limit 1")]
    if not part:
        return []
    fits = "case when id = $1 then 3 when starts_with(id, $1) then 2 when ends_with(id, $1) then 1 else 0 end"
    asked = f"select id from (select id, started, {fits} as fit from sessions) where fit > 0"
    best = f"{asked} qualify fit = max(fit) over () order by started desc, id limit {_NAMED + 1}"
    return [id for (id,) in log.rows(best, [part])]


def _only(name: str, ids: Sequence[str]) -> str:
    """The one session that is meant.

    Raises:
        UserError: there are several.
    """
    if len(ids) == 1:
        return ids[0]
    many = f"{len(ids)}" if len(ids) <= _NAMED else f"more than {_NAMED}"
    more = " …" if len(ids) > _NAMED else ""
    expected = f"expected an id, or as much of one as no other has: {', '.join(ids[:_NAMED])}{more}"
    raise UserError(f"{name!r} is in the ids of {many} sessions", expected, "Use more of its id.")


def _unknown_session(log: SessionLog, name: str) -> UserError:
    near = get_close_matches(name, [id for (id,) in log.rows(f"{_SESSIONS} order by started desc limit 1000")], n=1, cutoff=0.7)
    fix = f"Did you mean {near[0]!r}?" if near else "See `codex-ml logs list`."
    shown = name if len(name) <= 60 else f"{name[:60]}…"
    return UserError(f"session {shown!r} is unknown", "expected the id of a session of this log, its beginning or end, or `last`", fix)


def checked(log: SessionLog, selection: Selection) -> Selection:
    """`selection` with whole session ids.

    Raises:
        UserError: a session is unknown, or a kind is none of ours and of no session either.
    """
    strange = [kind for kind in selection.kinds if kind not in get_args(Kind)]
    if strange:
        there = {kind for (kind,) in log.rows("select distinct kind from events")}
        for kind in strange:
            if kind not in there:
                raise _unknown_kind(kind, sorted(there | set(get_args(Kind))))
    return replace(selection, sessions=tuple(resolve(log, each) for each in selection.sessions))


def _unknown_kind(kind: str, known: Sequence[str]) -> UserError:
    near = get_close_matches(kind.lower(), known, n=1, cutoff=0.3)
    return UserError(f"kind {kind!r} is unknown", f"expected one of {', '.join(known)}", f"Use `{near[0] if near else 'chat'}`.")


def answered(log: SessionLog, selection: Selection, view: Literal["sessions", "events"]) -> tuple[Selection, Any]:
    """`selection` without its condition in SQL, and the keys of what fits that: the `among` of the log's own methods; None without one.

    It is answered in a process of its own that can be stopped at any moment, like all SQL that a person types.

    Raises:
        UserError: DuckDB cannot make sense of the condition, or it takes more than `CONDITION_LIMITS` or fits more.
    """
    if not selection.where.strip():
        return selection, None
    with _child("condition"):
        keys = fitting(selection.where, view, workspace=Workspace(log.folder.parent), limits=CONDITION_LIMITS)
    return replace(selection, where=""), keys


def sql(query: str, *, workspace: Workspace, parameters: Sequence[Any] = (), limits: Limits | None = None) -> Table:
    """The rows of one SQL query over the views `events`, `sessions` and `annotations`, within limits; see `codex.services.ask`.

    Raises:
        UserError: the query was refused or stopped; the message is DuckDB's own.
    """
    with _child():
        answer = ask(query, workspace=workspace, parameters=parameters, limits=limits or Limits())
    columns = answer.columns
    return Table(tuple(each.name for each in columns), tuple(answer.rows), tuple(each.numeric for each in columns), answer.truncated)


def write_sql(query: str, target: BinaryIO, format: str, *, workspace: Workspace, limits: Limits | None = None) -> Written:
    """Write the whole answer to a stream as it comes, as `csv` or `json`.

    Raises:
        UserError: as `sql`; what was written before is then only a part.
    """
    assert format in ("csv", "json")
    with _child():
        return write_answer(query, target, format, workspace=workspace, limits=limits or Limits())


@contextmanager
def _child(what: str = "query") -> Generator[None]:
    try:
        yield
    except ChildDied as error:
        raise UserError(
            f"the {what} has no answer: {' '.join(str(error).split())}",
            "expected its process to live until it is done",
            "Ask again; when it happens again, ask for less.",
        ) from error


def sql_text(name: str, *, workspace: Workspace) -> str:
    """The SQL of a query with a name: the person's own, else an example; `-` may stand for `_`.

    Raises:
        UserError: there is none of that name; the message lists those there are.
    """
    from codex.services import queries

    known = {query.name: query.sql for query in [*queries.examples(), *queries.saved(workspace)]}
    for each in (name, name.replace("-", "_")):
        if each in known:
            return known[each]
    near = get_close_matches(name, known, n=1)
    fix = f"Use `--name {near[0]}`." if near else "Choose one of these."
    raise UserError(f"the query {name!r} is unknown", f"expected one of {', '.join(sorted(known))}", fix)
