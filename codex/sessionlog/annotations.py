"""What people say about events: a rating, a note, a better answer.

The log only grows, so an annotation is an event of its own, in a session of its own; of each event and each thing that can be said
of it, the newest annotation counts. That way the session that it is about may be running in another process, or be long over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

from codex.core.errors import UserError
from codex.core.events import Event

KIND: Final = "annotation"
RATINGS: Final = (-1, 0, 1)

VIEW: Final = f"""
    select about as session, number as seq,
        arg_max(rating, written) filter (rating is not null) as rating,
        arg_max(note, written) filter (note is not null) as note,
        arg_max(edit, written) filter (edit is not null) as edit,
        max(written.time) as time,
        max(written.time) filter (rating is not null) as rated
    from (
        select attributes->>'$.about.session' as about,
            try_cast(regexp_extract(attributes->>'$.about.seq', '^[0-9]+$') as bigint) as number,
            case attributes->>'$.rating' when '1' then 1 when '0' then 0 when '-1' then -1 end as rating,
            attributes->>'$.note' as note,
            attributes->>'$.edit' as edit,
            {{'time': time, 'session': events.session, 'seq': events.seq}} as written
        from events
        where kind = '{KIND}' and (attributes->'$.about') is not null
    )
    where about is not null and number is not null
    group by 1, 2
"""
"""SQL over `events`: one row for each event that something was said of. What is no number or no rating counts as not said."""


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


class Misfit(NamedTuple):
    """What is wrong with an annotation that comes in: which attribute, its value, and what was expected."""

    name: str
    value: Any
    expected: str


def misfit(event: Event) -> Misfit | None:
    """The first thing for which an import would not take `event` as an annotation; None also when it says nothing of an event."""
    if event.kind != KIND or event.attributes.get("about") is None:
        return None
    if not isinstance(event.attributes["about"], dict):
        return Misfit("about", event.attributes["about"], 'expected {"session": its id, "seq": its number}')
    about, said = cast("dict[str, Any]", event.attributes["about"]), event.attributes
    if not isinstance(about.get("session"), str):
        return Misfit("about.session", about.get("session"), "expected the id of a session")
    if type(about.get("seq")) is not int or not 0 <= about["seq"] <= 2**53:
        return Misfit("about.seq", about.get("seq"), "expected the number of an event, 0 to 2^53")
    if said.get("rating") is not None and (type(said["rating"]) is not int or said["rating"] not in RATINGS):
        return Misfit("rating", said["rating"], "expected 1 (good), -1 (bad) or 0 (neither)")
    for name in ("note", "edit"):
        if not isinstance(said.get(name), str | None):
            return Misfit(name, said[name], "expected text")
    return None


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
