"""The newest events of a log, and those to come."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from functools import partial

from codex.core.events import Event
from codex.sessionlog.manifest import Manifest
from codex.sessionlog.numbers import given
from codex.sessionlog.store import Store

Positions = dict[str, int]
"""Session → the seq that is read next."""


def tail(store: Store, session: str | None, follow: bool, n: int, *, poll_seconds: float) -> Iterator[Event]:
    """See `SessionLog.tail`."""
    manifest, positions, latest = store.now(lambda: _begin(store, session, follow, n))
    yield from latest
    while follow:
        time.sleep(poll_seconds)
        manifest, positions, new = store.now(partial(_look, store, session, manifest, positions))
        yield from heapq.merge(*new, key=lambda event: event.ts)


def _names(store: Store, session: str | None) -> list[str]:
    return store.live.ids() if session is None else [session]


def _begin(store: Store, session: str | None, follow: bool, n: int) -> tuple[Manifest, Positions, list[Event]]:
    """The last `n` events, and where to go on."""
    held = {name: store.live.last_events(name, max(n, 1)) for name in _names(store, session)}
    positions = {name: last + 1 for name, last in store.last_seqs(session).items()} if follow else {}
    positions |= {name: events[-1].seq + 1 for name, events in held.items() if events}
    latest = list(heapq.merge(store.latest(n, session) if n else [], *held.values(), key=lambda event: event.ts))
    return store.manifest, positions, latest[max(len(latest) - n, 0) :]


def _look(store: Store, session: str | None, before: Manifest, at: Positions) -> tuple[Manifest, Positions, Sequence[list[Event]]]:
    """What came after the positions `at`, of which MANIFEST was `before`, and where to go on."""
    reached = {name: store.live.last_seq(name) for name in _names(store, session)}
    read, positions = store.live.events, at
    if store.manifest is not before:  # what was live at the last look may stand in parts now
        stored = store.last_seqs(session)
        reached = {name: max(reached.get(name, -1), stored.get(name, -1)) for name in reached | stored}
        read = store.events
        # One that ends before where we were, and has not lost what was there, was purged, and may have begun again under its id.
        lost = given(store.folder)
        positions = {
            name: next_seq if max(reached.get(name, -1), lost.get(name, -1)) + 1 >= next_seq else 0 for name, next_seq in at.items()
        }
    changed = [name for name, last in reached.items() if last >= positions.get(name, 0)]
    new = {name: read(name, positions.get(name, 0)) for name in changed}
    reached_now = {name: events[-1].seq + 1 for name, events in new.items() if events}
    return store.manifest, positions | reached_now, list(new.values())
