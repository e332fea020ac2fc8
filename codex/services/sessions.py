"""The session log as a person looks through it: a list by filters, a search, one session in stretches, and what is said of its events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from codex.core.errors import Problem, UserError
from codex.core.events import Event
from codex.core.files import folder_bytes
from codex.core.paths import Workspace
from codex.services.ask import fitting
from codex.services.log_state import Health, state_of, unreadable
from codex.sessionlog import Annotation, Hit, Selection, SessionInfo, SessionLog

__all__ = ["Annotation", "Filters", "Found", "Hit", "Listed", "SessionInfo", "Sessions", "Stretch", "Totals"]

PAGE_ROWS: Final = 50
"""Sessions that a page of the list has."""
STRETCH: Final = 200
"""Events that are shown at once."""
MOST_HITS: Final = 30
MOST_FITTING: Final = 200_000
"""Sessions that a person's condition may select."""
CONDITION_SECONDS: Final = 10.0
"""How long what a condition selected is kept while the log grows: each time takes a process of its own."""
MOST_KEPT: Final = 100
MOST_CONDITIONS: Final = 8
"""Conditions whose sessions are kept: there may be many of each."""
ABOUT: Final = "annotation"
"""The kind of sessions that hold ratings and notes; they are listed only where they are asked for."""
EVENT_COLUMNS: Final = tuple(Event.model_fields)
RATINGS: Final = {"good": 1, "bad": -1}
Value = TypeVar("Value")


@dataclass(frozen=True)
class Filters:
    """What a list or a search is narrowed to, as a person typed it; "" leaves a thing open.

    Args:
        text: words to look for.
        since, until: the first and the last day, as `2026-11-25` in this machine's time zone.
        kind: of sessions; an event of another kind in such a session is found as well.
        role, tool: one of each.
        rating: "good" or "bad".
        where: a condition in SQL over the columns of the view `sessions`.
    """

    text: str = ""
    since: str = ""
    until: str = ""
    kind: str = ""
    role: str = ""
    tool: str = ""
    rating: str = ""
    where: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """The filters of an address: `q` for the text, the others by their names."""
        known = {name: query.get(name, "").strip() for name in cls.__dataclass_fields__ if name != "text"}
        return cls(text=query.get("q", "").strip(), **known)

    def selection(self, kinds: Sequence[str]) -> Selection:
        """What the store can select by itself: all but rating and condition.

        Args:
            kinds: those of sessions that are shown when no kind was chosen.

        Raises:
            UserError: a day is none.
        """
        return Selection(
            since=None if not self.since else day_start(self.since, "since"),
            until=None if not self.until else day_start(self.until, "until", days_later=1),
            kinds=(self.kind,) if self.kind else tuple(kinds),
            roles=(self.role,) if self.role else (),
            tools=(self.tool,) if self.tool else (),
        )


def day_start(day: str, name: str, *, days_later: int = 0) -> float:
    """When a day begins on this machine, seconds since the epoch.

    Raises:
        UserError: it is no day.
    """
    try:
        return (datetime.strptime(day, "%Y-%m-%d") + timedelta(days=days_later)).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f"the day `{name}` is {day[:40]!r}", "expected one such as `2026-11-25`", "Choose one of the calendar.") from error


@dataclass(frozen=True)
class Totals:
    """What there is in the log.

    Args:
        sessions, events: how many; without those that hold ratings and notes.
        size: of the log's files, in bytes.
        kinds: of its sessions, without that of ratings and notes.
        tools: that were called.
    """

    sessions: int
    events: int
    size: int
    kinds: tuple[str, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """One page of the list: its sessions, the newest first, and whether older ones follow."""

    sessions: tuple[SessionInfo, ...]
    more: bool


@dataclass(frozen=True)
class Found:
    """What a search found: the best events first, and the titles of their sessions by id."""

    hits: tuple[Hit, ...]
    titles: Mapping[str, str]


@dataclass(frozen=True)
class Stretch:
    """Some events of a session, one after another.

    Args:
        info: the session.
        events: at most `STRETCH`.
        earlier, later: whether the session has events before and after them.
        position: what `Sessions.newer` asks with for what comes after the session's last event.
        said: what was said of them, by seq.
        measured: whether the session holds steps of a training.
        problem: that none of its events can be read; then there are none here.
    """

    info: SessionInfo
    events: tuple[Event, ...]
    earlier: bool
    later: bool
    position: int
    said: Mapping[int, Annotation] = field(default_factory=dict[int, Annotation])
    measured: bool = False
    problem: Problem | None = None


class Sessions:
    """The session log of a workspace, as a page looks at it again and again. Safe across threads.

    Args:
        workspace: whose log it is.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._log = SessionLog.open(workspace)
        self.health = Health(self._log)
        self._kept: dict[Any, tuple[object, Any]] = {}
        self._fitting: dict[str, tuple[object, float, frozenset[str] | UserError]] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """Seal what was written; nothing is written after it."""
        self._log.close()

    def _unchanged(self, key: Any, make: Callable[[], Value]) -> Value:
        """What `make` gives, kept for as long as the log has not changed."""
        state = state_of(self._log.folder)
        with self._guard:
            known, value = self._kept.get(key, (None, None))
        if known != state:
            value = make()
            with self._guard:
                if len(self._kept) > MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = (state, value)
        return value

    # --- the list ---

    def totals(self) -> Totals:
        """What there is."""
        return self._unchanged("totals", self._count)

    def _count(self) -> Totals:
        counts = self._log.rows(
            f"select count(*), coalesce(sum(events), 0)::bigint, coalesce(list(distinct kind order by kind), [])"
            f" from sessions where kind != '{ABOUT}'"
        )[0]
        tools = self._log.rows("select distinct unnest(tools) as tool from sessions order by tool")
        return Totals(counts[0], counts[1], folder_bytes(self._log.folder), tuple(counts[2]), tuple(tool for (tool,) in tools))

    def listed(self, filters: Filters, page: int = 0) -> Listed:
        """One page of the sessions that fit, the newest first.

        Raises:
            UserError: a day is none, or the condition cannot be answered.
        """
        return self._unchanged(("listed", filters, page, self._ids_mark(filters)), lambda: self._list(filters, page))

    def _list(self, filters: Filters, page: int) -> Listed:
        selection, ids = filters.selection(self.totals().kinds), self._fitting_ids(filters)
        if not selection.kinds:
            return Listed((), False)
        if ids is None:
            found = self._log.find(selection, limit=PAGE_ROWS + 1, offset=page * PAGE_ROWS)
        else:
            fitting = [info for info in self._log.find(selection, limit=None) if info.id in ids]
            found = fitting[page * PAGE_ROWS : (page + 1) * PAGE_ROWS + 1]
        return Listed(tuple(found[:PAGE_ROWS]), len(found) > PAGE_ROWS)

    def search(self, filters: Filters) -> Found:
        """The events with all the words of `filters.text`, the best first; its last word may be the beginning of one.

        Raises:
            UserError: there is no word, a day is none, or the condition cannot be answered.
        """
        return self._unchanged(("search", filters, self._ids_mark(filters)), lambda: self._search(filters))

    def _search(self, filters: Filters) -> Found:
        ids = self._fitting_ids(filters)
        if filters.kind:  # as the list means it: of sessions of that kind, whose events may be of other kinds
            chosen = self._unchanged(("kind", filters.kind), lambda: self._sessions_of(filters.kind))
            ids = chosen if ids is None else ids & chosen
        kinds = () if filters.kind else self._unchanged("event kinds", self._event_kinds)
        if (not filters.kind and not kinds) or (ids is not None and not ids):
            return Found((), {})
        narrowed = replace(filters.selection(()), kinds=kinds, sessions=tuple(sorted(ids or ())))
        hits = self._log.search(filters.text, narrowed, limit=MOST_HITS, prefix=True)
        ids_found = tuple({hit.event.session for hit in hits})
        titles = {info.id: info.title for info in self._log.find(Selection(sessions=ids_found), limit=None)} if hits else {}
        return Found(tuple(hits), titles)

    def _sessions_of(self, kind: str) -> frozenset[str]:
        return frozenset(id for (id,) in self._log.rows("select id from sessions where kind = ?", [kind]))

    def _event_kinds(self) -> tuple[str, ...]:
        """All kinds that events have, which are more than those of sessions; without that of ratings and notes."""
        return tuple(kind for (kind,) in self._log.rows(f"select distinct kind from events where kind != '{ABOUT}'"))

    def _ids_mark(self, filters: Filters) -> object:
        """What a kept answer depends on besides the log: which answer of the condition's process it was made with."""
        return self._fitting_where(filters.where) if filters.where else None

    def _fitting_ids(self, filters: Filters) -> frozenset[str] | None:
        """The sessions that rating and condition leave; None when there is neither."""
        ids = self._fitting_where(filters.where) if filters.where else None
        if filters.rating:
            if filters.rating not in RATINGS:
                raise UserError(f"the rating is {filters.rating[:40]!r}", f"expected {' or '.join(RATINGS)}", "Choose one of these.")
            rows = self._log.rows("select distinct session from annotations where rating = ?", [RATINGS[filters.rating]])
            rated = frozenset(session for (session,) in rows)
            ids = rated if ids is None else ids & rated
        return ids

    def _fitting_where(self, where: str) -> frozenset[str]:
        """The sessions that fit a person's condition; that it cannot be answered is kept for a while, too."""
        state = state_of(self._log.folder)
        with self._guard:
            known, asked, ids = self._fitting.get(where, (None, 0.0, frozenset[str]()))
        recent = known is not None and time.monotonic() - asked < CONDITION_SECONDS
        if not recent and (known != state or isinstance(ids, UserError)):
            ids = self._ask_where(where)
            with self._guard:
                if len(self._fitting) >= MOST_CONDITIONS:
                    self._fitting.clear()
                self._fitting[where] = (state, time.monotonic(), ids)
        if isinstance(ids, UserError):
            raise ids
        return ids

    def _ask_where(self, where: str) -> frozenset[str] | UserError:
        """Asked in a process of its own, which can only read the log and is killed at its limit."""
        try:
            keys = fitting(where, "sessions", workspace=self._workspace)
        except UserError as error:
            return error
        if keys.num_rows > MOST_FITTING:
            return UserError(
                f"the condition {where[:200]!r} fits more than {MOST_FITTING:,} sessions",
                "expected one that fits fewer",
                "Add a day to it.",
            )
        return frozenset(keys["id"].to_pylist())

    def chosen(self, filters: Filters) -> Selection:
        """The sessions that a list or a search shows on all its pages, for making something of them.

        Raises:
            UserError: no session fits, or as `listed` and `search`.
        """
        ids = frozenset({hit.event.session for hit in self.search(filters).hits}) if filters.text else self._fitting_ids(filters)
        if ids is not None and not ids:
            raise UserError("no session fits", "expected at least one", "Take a filter away.")
        return replace(filters.selection((filters.kind,) if filters.kind else ()), sessions=tuple(sorted(ids or ())))

    # --- one session ---

    def info(self, session: str) -> SessionInfo:
        """One session.

        Raises:
            UserError: there is none of this id.
        """
        found = self._log.find(Selection(sessions=(session,)), limit=1)
        if not found:
            raise UserError(
                f"session {session[:160]!r} is unknown", "expected one of the list", "Choose one there; it may have been purged."
            )
        return found[0]

    def stretch(self, session: str, *, first: int | None = None, before: int | None = None, at: int | None = None) -> Stretch:
        """Some events of a session: its first ones, unless another place is named.

        Args:
            session: its id.
            first: begin with this seq.
            before: end before this seq; one that is larger than all gives the newest.
            at: have this seq in their middle.

        Raises:
            UserError: there is no such session.
        """
        info = self.info(session)
        begin = first if first is not None else max(0, (at or 0) - STRETCH // 2)
        place, order, seq = ("<", "desc", before) if before is not None else (">=", "asc", begin)
        span = "session = ? and time between make_timestamp(?) and make_timestamp(?)"
        inside: list[Any] = [session, *(round(ts * 1e6) for ts in (info.started, info.last_ts))]
        whole = f"select min(seq) as low, max(seq) as high, count(loss) > 0 as measured from events where {span}"
        rows = self._log.rows(
            f"select {', '.join(EVENT_COLUMNS)}, low, high, measured from ({whole}) as bounds"
            f" left join (select * from events where {span} and seq {place} ? order by seq {order} limit {STRETCH}) as shown on true",
            [*inside, *inside, min(max(seq, 0), 2**63 - 1)],
        )
        low, high, measured = rows[0][-3:]
        if low is None:
            return self._unreadable(info)
        events = sorted((event_of(row) for row in rows if row[0] is not None), key=lambda event: event.seq)
        ends = (events[0].seq, events[-1].seq) if events else (begin, begin)
        said = self._log.annotations(session)
        return Stretch(info, tuple(events), ends[0] > low, ends[1] < high, high + 1, said, bool(measured))

    def _unreadable(self, info: SessionInfo) -> Stretch:
        """A session of whose events none was found, looked for anew: it may have been purged since, and may have begun again.

        Raises:
            UserError: it was purged.
        """
        now = self.info(info.id)
        return Stretch(info, (), False, False, 0, problem=unreadable(info)) if now == info else self.stretch(info.id)

    def newer(self, session: str, position: int) -> tuple[list[Event], int]:
        """What came into a session after `position`, and the position to ask with next; cheap."""
        return self._log.since(session, position)

    def event(self, session: str, seq: int) -> tuple[Event, Annotation | None]:
        """One event, and what was said of it.

        Raises:
            UserError: there is no such session or event.
        """
        shown = self.stretch(session, first=seq)
        if shown.problem is not None:
            raise UserError(shown.problem.what, shown.problem.expected, shown.problem.fix)
        if not shown.events or shown.events[0].seq != seq:
            raise UserError(f"session {session!r} has no event {seq}", "expected one of its events", "Choose one on its page.")
        return shown.events[0], shown.said.get(seq)

    def say(self, session: str, seq: int, *, rating: int | None = None, note: str | None = None, edit: str | None = None) -> None:
        """Rate an event, note something beside it, or give a better answer; the newest of each counts.

        Args:
            session, seq: the event.
            rating: 1 good, -1 bad, 0 neither.
            note: anything; "" takes it back.
            edit: a better content; "" takes it back.

        Raises:
            UserError: there is no such event, or nothing is said.
        """
        self._log.annotate(session, seq, rating=rating, note=note, edit=edit)


def event_of(row: Sequence[Any]) -> Event:
    """An event of a row that begins with `EVENT_COLUMNS`."""
    values = dict(zip(EVENT_COLUMNS, row, strict=False))
    values["attributes"] = json.loads(values["attributes"] or "{}")
    return Event.model_construct(**values)
