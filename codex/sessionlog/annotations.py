"""What people say about events: a rating, a note, a better answer.

The log only grows, so an annotation is an event of its own, in a session of its own; of each event and each thing that can be said
of it, the newest annotation counts. That way the session that it is about may be running in another process, or be long over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from codex.core.errors import UserError

KIND: Final = "annotation"
RATINGS: Final = (-1, 0, 1)

VIEW: Final = f"""
    select attributes->>'$.about.session' as session,
        (attributes->>'$.about.seq')::bigint as seq,
        arg_max((attributes->>'$.rating')::integer, (time, events.session, events.seq))
            filter ((attributes->>'$.rating') is not null) as rating,
        arg_max(attributes->>'$.note', (time, events.session, events.seq)) filter ((attributes->>'$.note') is not null) as note,
        arg_max(attributes->>'$.edit', (time, events.session, events.seq)) filter ((attributes->>'$.edit') is not null) as edit,
        max(time) as time,
        max(time) filter ((attributes->>'$.rating') is not null) as rated
    from events
    where kind = '{KIND}' and (attributes->'$.about') is not null
    group by 1, 2
"""
"""SQL over `events`: one row for each event that something was said of."""


@dataclass(frozen=True)
class Annotation:
    """What is said of one event.

    Args:
        session, seq: the event.
        rating: 1 good, -1 bad, 0 neither; None when nobody rated it.
        note: what was noted.
        edit: a better content than the event's own.
    """

    session: str
    seq: int
    rating: int | None = None
    note: str | None = None
    edit: str | None = None

    def attributes(self) -> dict[str, Any]:
        """As the attributes of an annotation event."""
        said = {"rating": self.rating, "note": self.note, "edit": self.edit}
        about = {"session": self.session, "seq": self.seq}
        return {"about": about, **{name: value for name, value in said.items() if value is not None}}


def check(annotation: Annotation, found: Sequence[int]) -> None:
    """Whether an annotation can be kept.

    Args:
        annotation: it.
        found: the seq of the event that it is about, when there is one.

    Raises:
        UserError: it cannot.
    """
    if annotation.seq not in found:
        raise UserError(
            f"session {annotation.session!r} has no event {annotation.seq}",
            "expected an event of the log",
            "`codex-ml logs show ID` lists them.",
        )
    if annotation.rating not in (None, *RATINGS):
        raise UserError(f"the rating is {annotation.rating!r}", "expected 1 (good), -1 (bad) or 0 (neither)", "Choose one of these.")
    if annotation.rating is None and annotation.note is None and annotation.edit is None:
        raise UserError("nothing is said of the event", "expected a rating, a note or an edit", "Give one: `rating=1`.")
