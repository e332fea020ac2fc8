"""A session and its events in a few words, for the list and the timeline."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup, escape

from codex.core import clock, numbers
from codex.core.events import Event
from codex.services.sessions import Annotation, Filters, Found, Listed, SessionInfo, Stretch
from codex_ui.render import render

LIVE_SECONDS: Final = 60.0
"""A session without an end counts as live for so long after its last event."""
MOST_SHOWN: Final = 4_000
"""Characters of an event that are shown unfolded."""
MOST_FOLDED: Final = 200_000
"""Characters that are sent at all; the rest is in the log."""
ROLES: Final = {
    "system": "System",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool call",
    "info": "Info",
    "warning": "Warning",
    "error": "Error",
}
MARK: Final = "session_event"
TITLED: Final = ("opened", "continued")
"""Marks of events whose content is the session's title."""
FIGURES: Final = ("learning_rate", "grad_norm", "tokens_per_s")


def when_short(ts: float, now: float | None = None) -> str:
    """A time in a list: "07:12" of today, "yesterday", "24 Nov" of this year, "2025-11-24"."""
    then = datetime.fromtimestamp(clock.shown(ts)).astimezone()
    today = datetime.fromtimestamp(clock.now() if now is None else now).astimezone()
    days = (today.date() - then.date()).days
    if days == 0:
        return then.strftime("%H:%M")
    if days == 1:
        return "yesterday"
    return f"{then.day} {then:%b}" if then.year == today.year else f"{then:%Y-%m-%d}"


def offset(seconds: float) -> str:
    """How long after the session began: "+0.4 s", "+6:12", "+2:05:00", "+3 d"."""
    if seconds < 0:
        return f"{numbers.MINUS}{numbers.fixed(-seconds, 1)} s"
    if seconds < 60:
        return f"+{seconds:.1f} s" if round(seconds, 1) < 60 else "+1:00"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"+{hours // 24} d"
    return f"+{hours}:{minutes:02}:{rest:02}" if hours else f"+{minutes}:{rest:02}"


def latency(milliseconds: float | None) -> str:
    """ "12 ms", "8.2 s", "2 min 5 s"."""
    if milliseconds is None:
        return numbers.MISSING
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else numbers.duration(milliseconds / 1000)


def state(info: SessionInfo, now: float | None = None) -> tuple[str, str]:
    """How a session is, as a look of `parts.html` and a word."""
    if info.outcome is None:
        alive = (clock.now() if now is None else now) - info.last_ts < LIVE_SECONDS
        return ("running", "Live") if alive else ("queued", "No end")
    looks = {"finished": "finished", "failed": "failed"}
    return looks.get(info.outcome, "stopped"), info.outcome.capitalize()


def marked(text: str, marks: Sequence[tuple[int, int]]) -> Markup:
    """`text`, escaped, with what the search found in `<mark>`."""
    out, at = Markup(""), 0
    for start, end in sorted(marks):
        if start >= at:
            out += escape(text[at:start]) + Markup("<mark>{}</mark>").format(text[start:end])
            at = end
    return out + escape(text[at:])


def address(query: Mapping[str, str], **changes: object) -> str:
    """The page's address with what is asked for now, but for `changes`; None leaves a thing out."""
    from urllib.parse import urlencode

    kept = {key: value for key, value in query.items() if value and key not in ("token", "from", "before", "e")}
    merged = {**kept, **{key.removesuffix("_"): value for key, value in changes.items()}}
    return "/sessions?" + urlencode({key: str(value) for key, value in merged.items() if value is not None})


def list_html(filters: Filters, shown: Listed, query: Mapping[str, str], page: int, total: int) -> Markup:
    """The list of sessions."""
    rows = [(info, state(info), when_short(info.started), address(query, s=info.id)) for info in shown.sessions]
    return render(
        "sessions-list.html",
        rows=rows,
        more=shown.more,
        page=page,
        current=query.get("s", ""),
        filtered=filters != Filters(),
        total=total,
        older=address(query, p=page + 1),
        newer=address(query, p=page - 1 or None),
        all=address({}, s=query.get("s") or None),
    )


def hits_html(filters: Filters, found: Found, query: Mapping[str, str]) -> Markup:
    """What a search found."""
    rows = [
        (
            hit.event,
            found.titles.get(hit.event.session) or hit.event.session,
            marked(hit.snippet, (*hit.marks, *_begun(hit.snippet, filters.text))),
            when_short(hit.event.ts),
            address(query, s=hit.event.session, e=hit.event.seq),
            query.get("s") == hit.event.session and query.get("e") == str(hit.event.seq),
        )
        for hit in found.hits
    ]
    return render("sessions-hits.html", rows=rows, roles=ROLES, text=filters.text, all=address({}, s=query.get("s") or None))


def _begun(snippet: str, text: str) -> list[tuple[int, int]]:
    """Where words of a snippet begin as the last word that was typed does: it may not be whole yet."""
    last = re.findall(r"[^\W_]+", text.casefold())[-1:]
    words = re.finditer(r"[^\W_]+", snippet) if last and text[-1:].isalnum() else ()
    return [word.span() for word in words if word[0].casefold().startswith(last[0])]


def head_html(shown: SessionInfo) -> Markup:
    """What a session is: title, kind, sums, how it ended."""
    return render("session-head.html", info=shown, state=state(shown), took=shown.last_ts - shown.started)


def session_html(shown: Stretch, query: Mapping[str, str]) -> Markup:
    """A session with some of its events."""
    first, last = (shown.events[0].seq, shown.events[-1].seq) if shown.events else (0, 0)
    return render(
        "session.html",
        info=shown.info,
        head=head_html(shown.info),
        rows=events_html(shown.events, shown.info.started, shown.said),
        shown=shown,
        back=address({key: value for key, value in query.items() if key != "s"}),
        beginning=address(query),
        earlier=address(query, before=first),
        later=address(query, from_=last + 1),
        newest=address(query, before="end"),
        first=first,
        last=last,
    )


def events_html(events: Sequence[Event], started: float, said: Mapping[int, Annotation]) -> Markup:
    """Rows of the timeline."""
    return Markup("").join(event_html(event, started, said.get(event.seq)) for event in events)


def event_html(event: Event, started: float, said: Annotation | None) -> Markup:
    """One row of the timeline."""
    return render(
        "session-event.html",
        event=event,
        said=said or Annotation(event.session, event.seq),
        role=ROLES.get(event.role, event.role.capitalize()),
        offset=offset(event.ts - started),
        latency=latency(event.latency_ms),
        tokens=(event.tokens_in or 0) + (event.tokens_out or 0),
        call=call(event),
        mark=_mark(event),
        figures=_figures(event),
        side=event.attributes["side"] if isinstance(event.attributes.get("side"), str) else "",
        rest=_rest(event),
        content="" if event.attributes.get(MARK) in TITLED else event.content[:MOST_FOLDED],
        fold=len(event.content) > MOST_SHOWN or event.content.count("\n") > 60,
        left_out=max(0, len(event.content) - MOST_FOLDED),
    )


def call(event: Event) -> str:
    """The arguments of a tool call on one line: `path="codex/data", branch=true`."""
    arguments = event.attributes.get("arguments")
    if isinstance(arguments, Mapping):
        text = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    else:
        text = "" if arguments is None else arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"


def _mark(event: Event) -> str:
    """What an event says of its session: that it begins, goes on or ends."""
    mark, outcome = event.attributes.get(MARK), event.attributes.get("outcome")
    return "" if not isinstance(mark, str) else f"{mark.capitalize()}: {outcome}" if outcome else mark.capitalize()


def _figures(event: Event) -> list[tuple[str, str]]:
    """A training step's figures, named, as people read them."""
    if event.step is None:
        return []
    split = event.attributes.get("split")
    found = [("step", numbers.count(event.step)), ("held-out loss" if split == "heldout" else "loss", numbers.loss(event.loss))]
    shown: dict[str, Any] = {name: event.attributes.get(name) for name in FIGURES}
    as_text = {"learning_rate": numbers.rate, "grad_norm": lambda value: numbers.fixed(value, 2), "tokens_per_s": numbers.count}
    return found + [
        (name.replace("_", " ").replace("tokens per s", "tokens/s"), as_text[name](value))
        for name, value in shown.items()
        if isinstance(value, int | float)
    ]


def _rest(event: Event) -> str:
    """The attributes that nothing else shows, as JSON; "" when there are none."""
    hidden = {MARK, "outcome", "side", *(("arguments",) if call(event) and not call(event).endswith("…") else ())}
    if event.step is not None:
        hidden |= {"split", "attempt", *FIGURES, "tokens", "memory_gib", "gpu_memory_gib"}
    rest = {name: value for name, value in event.attributes.items() if name not in hidden}
    return json.dumps(rest, indent=2, ensure_ascii=False)[:MOST_FOLDED] if rest else ""
