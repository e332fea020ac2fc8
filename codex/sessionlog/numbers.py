"""The numbers of events: none is given twice, also when the events that had the last ones are lost.

A repair that takes events out keeps the highest number of each of their sessions in `numbers.json`, so that who goes on with one leaves
a gap, and what comes back from a backup finds its place free. Where that is not known (both MANIFESTs were old ones, say), two
events may come to stand under one number. The log keeps the one that it has, and the other's file is kept in `quarantine/` and told.

How many events a session lacks that a person has given up stands in `given-up.json`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, cast

from codex.core import files

NAME: Final = "numbers.json"
GIVEN_UP: Final = "given-up.json"
MOST: Final = 2**53 - 1
"""A session with a higher number takes no event any more."""
SAME: Final = "session, seq, time, said"
"""By which an event is known, in rows of `with_said`."""


def with_said(rows: str) -> str:
    """SQL for `rows` with a column `said`: a hash of who says what."""
    return f"(select *, hash(role, content) as said from {rows})"


def given(folder: Path) -> dict[str, int]:
    """The highest number that each session had whose last events were taken out; none when nobody knows any more."""
    return _read(folder / NAME) or {}  # two events under one number are noticed all the same


def damaged(folder: Path) -> list[Path]:
    """The files of these that are not what was kept."""
    return [folder / name for name in (NAME, GIVEN_UP) if _read(folder / name) is None]


def _read(path: Path) -> dict[str, int] | None:
    """What was kept, nothing when nothing was; None when it cannot be read."""
    try:
        known = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(known, dict):
        return None
    counts = cast("dict[str, Any]", known)
    return counts if all(type(count) is int and 0 <= count <= MOST for count in counts.values()) else None


def keep(folder: Path, numbers: Mapping[str, int]) -> None:
    """Keep these numbers too, the higher one of each session; synced when this returns."""
    known = given(folder)
    raised = {**known, **{name: max(seq, known.get(name, -1)) for name, seq in numbers.items() if seq <= MOST}}
    if raised != known:
        files.write_atomic(folder / NAME, json.dumps(raised))


def given_up(folder: Path) -> dict[str, int]:
    """How many events of each session are missing and were given up; none when nobody knows any more, so they are told again."""
    return _read(folder / GIVEN_UP) or {}


def give_up(folder: Path, missing: Mapping[str, int]) -> None:
    """Keep that these events, and no others, are missing and given up; synced when this returns."""
    if missing != given_up(folder):
        files.write_atomic(folder / GIVEN_UP, json.dumps(dict(missing)))


def forget(folder: Path, sessions: Collection[str]) -> None:
    """Let sessions that are gone on purpose begin at 0 again."""
    for path in (folder / NAME, folder / GIVEN_UP):
        known = _read(path) or {}
        left = {name: count for name, count in known.items() if name not in sessions}
        if left != known:
            files.write_atomic(path, json.dumps(left))
