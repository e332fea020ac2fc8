"""The JSON routes of the Sessions page: one session in stretches, what comes to it, its series, and what is said of its events."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request

from codex.core.errors import UserError
from codex.services.metrics import point_of
from codex_ui.api import Fields, as_answer, columns, in_words
from codex_ui.context import AppContext
from codex_ui.sessions_told import event_html, events_html, head_html, session_html

END = "end"
MOST_AT_ONCE = 200
"""New events that one answer holds; the next has those that follow."""


def session_routes(context: AppContext) -> APIRouter:
    """`/api/sessions/*` over one workspace."""
    router = APIRouter(prefix="/api/sessions")
    _reading(router, context)
    _saying(router, context)
    return router


def _whole(value: str | None, name: str) -> int | None:
    """A seq of an address; the largest there can be for "end".

    Raises:
        UserError: it is none.
    """
    if not value:
        return None
    if value == END:
        return 2**63 - 1
    if not value.isdecimal() or len(value) > 18:
        raise UserError(f"`{name}` is {value[:40]!r}", "expected the number of an event", "Choose an event on the page.")
    return int(value)


def _reading(router: APIRouter, context: AppContext) -> None:
    sessions = context.sessions

    @router.get("/{session}")
    @as_answer
    def one(session: str, request: Request) -> Any:
        """Some events of a session as HTML; `from`, `before` and `e` name a place as in the page's address."""
        query = dict(request.query_params)
        first, before, at = (_whole(query.get(name), name) for name in ("from", "before", "e"))
        shown = sessions.stretch(session, first=first, before=before, at=at)
        return {"html": str(session_html(shown, {**query, "s": session})), "next": shown.position, "title": shown.info.title or session}

    @router.get("/{session}/since")
    @in_words
    def since(session: str, position: int, count: bool = False) -> Any:
        """How many events came after `position`; with `count`, only that."""
        events, _ = sessions.newer(session, max(position, 0))
        if count or not events:
            return {"new": len(events), "next": position, "html": ""}
        info, shown = sessions.info(session), events[:MOST_AT_ONCE]
        html = events_html(shown, info.started, {})
        return {"new": len(events), "next": shown[-1].seq + 1, "html": str(html), "head": str(head_html(info))}

    @router.get("/{session}/metrics")
    @in_words
    def metrics(session: str, since: int = 0) -> Any:
        """The points of a training after position `since`, in columns; ask next with `next`."""
        events, position = sessions.newer(session, max(since, 0))
        points = [point for point in map(point_of, events) if point is not None]
        done = sessions.info(session).outcome is not None
        return {"next": position, "total": None, "done": done, **columns(points)}

    @router.get("/{session}/events/{seq}")
    @in_words
    def event(session: str, seq: int) -> Any:
        """One event, and what was said of it."""
        found, said = sessions.event(session, seq)
        words = {"rating": said.rating, "note": said.note, "edit": said.edit} if said else {}
        return {"event": found.model_dump(mode="json"), "said": words}


def _saying(router: APIRouter, context: AppContext) -> None:
    sessions = context.sessions

    @router.post("/{session}/events/{seq}")
    @in_words
    def say(
        session: str,
        seq: int,
        rating: Annotated[int | None, Body()] = None,
        note: Annotated[str | None, Body()] = None,
        edit: Annotated[str | None, Body()] = None,
    ) -> Fields:
        """Rate an event, note something, or give a better answer; gives its new row."""
        sessions.say(session, seq, rating=rating, note=note, edit=edit)
        context.now.forget()
        found, said = sessions.event(session, seq)
        return {"html": str(event_html(found, sessions.info(session).started, said))}
