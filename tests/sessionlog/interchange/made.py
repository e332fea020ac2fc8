"""Events of every sort that a log can hold, and how to compare them."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from codex.core.events import Event, Kind, Role

INT64 = st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(0, 2**53)
PLAIN = st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8
)
TEXT = st.text(max_size=30) | st.sampled_from(
    ["nul \x00 inside", "🦉 漢字", "a\nb\r\n\u2028\x85c", "'; drop table session_events; --", "NaN"]
)

ONE_EVENT = st.builds(
    Event,
    session=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}", fullmatch=True),
    seq=COUNT,
    ts=st.floats(-(2**32), 2**32, exclude_max=True),  # to the year 2106: later, a float has no whole microseconds to keep
    role=st.sampled_from(get_args(Role)),
    kind=st.sampled_from(get_args(Kind)) | TEXT,
    content=TEXT,
    attributes=st.dictionaries(TEXT, JSON, max_size=4),
    tool=st.none() | TEXT,
    model=st.none() | TEXT,
    latency_ms=st.none() | st.floats(),
    tokens_in=st.none() | COUNT,
    tokens_out=st.none() | COUNT,
    run_id=st.none() | TEXT,
    step=st.none() | INT64,
    loss=st.none() | st.floats(),
    redacted=COUNT,
)
EVENTS = st.lists(ONE_EVENT, max_size=6, unique_by=lambda event: (event.session, event.seq))


def values(event: Event) -> dict[str, Any]:
    """What `event` holds, so that two that are alike are equal: a NaN is unlike itself."""
    return {name: str(value) if value != value else value for name, value in event.model_dump().items()}


def an_event(seq: int = 0, role: str = "user", content: str = "hello", **fields: Any) -> Event:
    """An event of a chat, unless told otherwise."""
    return Event.model_validate(
        {"session": "s", "seq": seq, "ts": 1763.25 + seq, "role": role, "kind": "chat", "content": content, **fields}
    )
