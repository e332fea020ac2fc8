"""The numbers of events: none is given twice, also when the events that had the last ones are lost.

A repair that takes events out keeps the highest number of each of their sessions in `numbers.json`, so that who goes on with one leaves
a gap, and what comes back from a backup finds its place free. Where that is not known (both MANIFESTs were old ones, say), two
events may come to stand under one number. The log keeps the one that it has, and the other is kept in `quarantine/` and told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from codex.core import files

NAME: Final = "numbers.json"
SAME: Final = "session, seq, time, said"
"""By which an event is known, in rows of `with_said`."""


def with_said(rows: str) -> str:
    """SQL for `rows` with a column `said`: a hash of who says what."""
    return f"(select *, hash(role, content) as said from {rows})"


def given(folder: Path) -> dict[str, int]:
    """The highest number that each session had whose last events were taken out; none when nobody knows any more."""
    try:
        known = json.loads((folder / NAME).read_bytes())
        return {str(name): int(seq) for name, seq in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # two events under one number are noticed all the same


def keep(folder: Path, numbers: Mapping[str, int]) -> None:
    """Keep these numbers too, the higher one of each session; synced when this returns."""
    known = given(folder)
    raised = {**known, **{name: max(seq, known.get(name, -1)) for name, seq in numbers.items()}}
    if raised != known:
        files.write_atomic(folder / NAME, json.dumps(raised))


def forget(folder: Path, sessions: Collection[str]) -> None:
    """Let sessions that are gone on purpose begin at 0 again."""
    known = given(folder)
    left = {name: seq for name, seq in known.items() if name not in sessions}
    if left != known:
        files.write_atomic(folder / NAME, json.dumps(left))
