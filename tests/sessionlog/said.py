"""Annotations that are not as we would have written them, and what a log must say of them, worked out in plain Python."""

from __future__ import annotations

import json
import random
import re
from typing import Any, cast

from codex.core.events import Event

TALK = [
    Event(session="s", seq=seq, ts=100.0 + seq, role=role, kind="chat", content=f"hello {seq}")
    for seq, role in enumerate(("user", "assistant", "user", "assistant"))
]
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**40, 2**63, 2**70, -(2**70), 10**400, 0.4, 0.5, 1.0, 1e300, "", "1", "-1", "abc", "NaN", "0x1",
    " 1", "great", "s", "\x00", "a\x00b", "☃" * 3, "{}", [], [1], {}, {"a": 1}, {"$": {"session": "s"}}, ["x" * 2_000],
    {"session": "s", "seq": 0},
]  # fmt: skip


def said(attributes: dict[str, Any], number: int) -> Event:
    """An event of kind annotation with these attributes, in a session of its own."""
    return Event(session=f"said-{number}", seq=0, ts=200.0 + number, role="user", kind="annotation", content="x", attributes=attributes)


def hostile(count: int, seed: int) -> list[Event]:
    """Annotations with keys that are missing and values of every type; `count` by chance, and each odd value as a rating."""
    chance = random.Random(seed)

    def some(likely: Any) -> Any:
        return chance.choice(ODD) if chance.random() < 0.4 else likely

    made: list[Event] = []
    for number in range(count):
        about = some({name: some(value) for name, value in (("session", "s"), ("seq", chance.randrange(4))) if chance.random() < 0.9})
        values = {
            "rating": some(chance.choice((-1, 0, 1))),
            "note": some("a note"),
            "edit": some("better"),
            "session_event": some("opened"),
        }
        kept = {name: value for name, value in values.items() if chance.random() < 0.7}
        made.append(said({"about": about, **kept}, number))
    return [*made, *(said({"about": {"session": "s", "seq": 1}, "rating": odd}, count + at) for at, odd in enumerate(ODD))]


def text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def ratings_of(events: list[Event]) -> dict[int, int | None]:
    """What the newest rating of each event of session `s` is, worked out in plain Python; None where only something else is said."""
    found: dict[int, int | None] = {}
    for event in events:
        about = event.attributes.get("about")
        place = cast("dict[str, Any]", about) if isinstance(about, dict) else {}
        number, rating = text(place.get("seq")) or "", text(event.attributes.get("rating"))
        if place.get("session") == "s" and re.fullmatch("[0-9]+", number) and int(number) < 2**63:
            found[int(number)] = int(rating) if rating in ("-1", "0", "1") else found.get(int(number))
    return found
