"""Which events or sessions are meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """What a list, a search, an export or a data set is made of; everything that is given must hold.

    Args:
        since: not before, seconds since the epoch.
        until: before, seconds since the epoch.
        kinds: of one of these kinds.
        roles: spoken by one of these roles; of a session, at least one event is.
        tools: by one of these tools; of a session, at least one event is.
        models: by one of these models; of a session, at least one event is.
        sessions: only these.
        run_id: of this run.
        rating: rated so (1 good, -1 bad) by its newest rating; of a session, at least one event is.
        where: a condition in SQL over the columns of `events`, or of `sessions` where sessions are listed.
    """

    since: float | None = None
    until: float | None = None
    kinds: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    run_id: str | None = None
    rating: int | None = None
    where: str = ""
