"""Sessions as a table, and as records of JSON and CSV."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from codex.cli.logs_timeline import outcome_of, rating_of, stamp
from codex.cli.tables import GAP, NARROWEST, table
from codex.cli.terminal import Painted, Part, cells, clipped, is_terminal, one_line, width
from codex.core import clock, numbers

if TYPE_CHECKING:
    from codex.services.logs import SessionInfo

HEADINGS = ("started", "kind", "title", "events", "tokens", "errors", "outcome", "id")
TITLE, ID = HEADINGS.index("title"), HEADINGS.index("id")
LEAST_TITLE = 20
ID_END = 8
"""How many of the last characters of an id a narrow window shows: those that chance chose, or a time to the second."""


def session_columns() -> list[str]:
    """The keys of `session_json`."""
    from dataclasses import fields

    from codex.services.logs import SessionInfo

    return [*(field.name for field in fields(SessionInfo)), "time"]


def session_json(info: SessionInfo) -> dict[str, Any]:
    """A session under the names of the view `sessions`; `time` is `started` to read."""
    from dataclasses import asdict

    return {**asdict(info), "time": clock.iso(info.started)}


def show_sessions(found: list[SessionInfo]) -> None:
    """Write a table; in a window that is too narrow, titles give way first.

    Where that is not enough, ids are cut at their beginning, for what tells them apart is at their end.
    """
    narrow = is_terminal(sys.stdout)
    rows = [_row(each, short_time=narrow) for each in found]
    if narrow:
        if _title_room(rows) < LEAST_TITLE:
            for row, each in zip(rows, found, strict=True):
                row[ID] = Painted(each.id if len(each.id) <= ID_END + 1 else f"…{each.id[-ID_END:]}", "bold")
        room = max(_title_room(rows), NARROWEST)
        for row, each in zip(rows, found, strict=True):
            row[TITLE] = clipped(one_line(each.title), room)
    table(HEADINGS, rows, right=[3, 4, 5])


def _row(info: SessionInfo, *, short_time: bool) -> list[Part]:
    return [
        _short(info.started) if short_time else stamp(info.started)[:16],
        info.kind,
        info.title,
        numbers.count(info.events),
        numbers.count(info.tokens_in + info.tokens_out),
        Painted(numbers.count(info.errors), "bad") if info.errors else "0",
        _ending(info),
        Painted(info.id, "bold"),
    ]


def _ending(info: SessionInfo) -> Painted:
    """How it ended; where it is rated the rating, with an ending that is out of the ordinary."""
    outcome, rating = outcome_of(info), rating_of(info)
    if rating is None:
        return outcome
    return Painted(f"rated {rating.text}" if info.outcome == "finished" else f"{outcome.text}, {rating.text}", rating.tone)


def _short(ts: float) -> str:
    """Month, day and time of this year, else the date."""
    moment = time.localtime(ts)
    return time.strftime("%m-%d %H:%M" if moment.tm_year == time.localtime(clock.now()).tm_year else "%Y-%m-%d", moment)


def _title_room(rows: list[list[Part]]) -> int:
    """How many columns the rest of the table leaves to titles."""
    texts = [[one_line(cell.text if isinstance(cell, Painted) else cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(HEADINGS, *texts, strict=True)]
    return width() - sum(widths) + widths[TITLE] - len(GAP) * (len(widths) - 1)
