"""Conversations in short form, as events and as sessions of a real log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from codex.core.events import Event
from codex.core.paths import Workspace
from codex.services.log_choice import Choice, Tally
from codex.services.log_turns import Talk
from codex.sessionlog import Annotation, SessionLog

ROLES = {"?": "user", "=": "assistant", "a": "assistant", "b": "assistant", "t": "tool", "!": "error", "s": "system", "i": "info"}
SIDES = {"a": "adapter", "b": "base"}
Line = str | tuple[str, dict[str, Any]]


def events_of(session: str, lines: Sequence[Line], *, kind: str = "chat") -> list[Event]:
    """Events of one session: an opening, then one a line.

    Args:
        session: its id.
        lines: `? question`, `= answer`, `a answer of the adapter`, `b answer of the base`, `t result of a tool`, `! error`, `s system`,
            `i info`; with fields of the event, among them `attributes`, where it has some.
        kind: of the session.
    """
    opening = Event(session=session, seq=0, ts=1.0, role="info", kind=kind, content="A talk", attributes={"session_event": "opened"})
    return [opening, *(_event(session, seq, line, kind) for seq, line in enumerate(lines, 1))]


def _event(session: str, seq: int, line: Line, kind: str) -> Event:
    text, fields = line if isinstance(line, tuple) else (line, {})
    sign, content = text[0], text[2:]
    side = {"side": SIDES[sign]} if sign in SIDES else {}
    values = {"role": ROLES[sign], "kind": kind, "content": content, **fields, "attributes": {**side, **fields.get("attributes", {})}}
    return Event.model_validate({"session": session, "seq": seq, "ts": 1.0 + seq, **values})


def talk_of(
    *lines: Line,
    session: str = "s",
    ratings: Mapping[int, int] | None = None,
    edits: Mapping[int, str] | None = None,
    picks: Sequence[int] | None = None,
) -> Talk:
    """A talk with what people said of it, by seq; chosen whole unless answers are picked."""
    ratings, edits = ratings or {}, edits or {}
    said = {seq: Annotation(session, seq, ratings.get(seq), None, edits.get(seq)) for seq in {*ratings, *edits}}
    return Talk.of(session, events_of(session, lines), said, whole=picks is None, picks=frozenset(picks or ()))


def log_talk(
    workspace: Workspace,
    session: str,
    *lines: Line,
    kind: str = "chat",
    ratings: Mapping[int, int] | None = None,
    edits: Mapping[int, str] | None = None,
) -> None:
    """The same in the log of a workspace."""
    with SessionLog.open(workspace) as log:
        log.ingest(events_of(session, lines, kind=kind))
        for seq, rating in (ratings or {}).items():
            log.annotate(session, seq, rating=rating)
        for seq, edit in (edits or {}).items():
            log.annotate(session, seq, edit=edit)


def contents(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is said in messages."""
    return [message["content"] for message in messages]


def whole(**fields: Any) -> Choice:
    """A choice for makers, which are given talks by hand."""
    return Choice(sessions=("s",), **fields)


def tally() -> Tally:
    """An empty tally."""
    return Tally(skipped=Counter())
