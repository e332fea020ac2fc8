"""How the session log is: whether it has changed, and what of it cannot be read."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

from codex.core.errors import Problem
from codex.core.paths import Workspace
from codex.sessionlog import LogReport, SessionInfo, SessionLog

HEALTH_SECONDS: Final = 10.0
"""How long what was said of a log's damage is kept: a part may be damaged while nothing else of the log changes."""


def state_of(folder: Path) -> tuple[Any, ...]:
    """What changes whenever the log does: which files it has, how large they are, and what of this cannot be looked at."""
    found: list[Any] = []
    try:
        state = (folder / "MANIFEST").stat()
        found.append((state.st_ino, state.st_mtime_ns))
    except OSError as error:
        found += _unseen("MANIFEST", error)
    try:
        for path in (folder / "segments").iterdir():
            try:
                found.append((path.name, path.stat().st_size))
            except OSError as error:
                found += _unseen(path.name, error)
    except OSError as error:
        found += _unseen("segments", error)
    return tuple(sorted(found, key=str))


def _unseen(name: str, error: OSError) -> list[tuple[str, str]]:
    """What stands for a file that cannot be looked at, which whoever asks the log is told in words; a missing one is none."""
    return [] if isinstance(error, FileNotFoundError) else [(name, type(error).__name__)]


def damage(workspace: Workspace) -> str | None:
    """What of the log is damaged, in a sentence, after reading all of it; None when nothing is."""
    return _sentence(SessionLog.open(workspace).check())


def damage_seen(log: SessionLog) -> str | None:
    """What of the log is damaged, in a sentence, as far as it shows without reading all of it again; None when nothing is."""
    return _sentence(log.health())


def _sentence(report: LogReport) -> str | None:
    said: list[str] = []
    if report.bad or report.missing:
        first = f"; the first in {report.bad[0].segment}" if report.bad else ""
        total = report.good + report.compacted + max(report.missing, len(report.bad))  # one that is damaged may be one that is missing
        said.append(f"{len(report.bad):,} damaged and {report.missing:,} missing of {total:,} events are left out{first}")
    if report.others:
        said.append(f"{report.others:,} events have numbers that others have, and are left out")
    if report.damaged_parts:
        said.append(f"{len(report.damaged_parts):,} compacted files are damaged, the first {report.damaged_parts[0]}")
    return "; ".join(said) or None


class Health:
    """What `damage_seen` says of a log that is looked at again and again. Safe across threads."""

    def __init__(self, log: SessionLog) -> None:
        self._log = log
        self._guard = threading.Lock()
        self._known: tuple[float, str | None] | None = None

    def damage(self) -> str | None:
        """What of the log is damaged, as of at most `HEALTH_SECONDS` ago; None when nothing is."""
        with self._guard:
            if self._known is None or time.monotonic() - self._known[0] > HEALTH_SECONDS:
                sentence = damage_seen(self._log)
                self._known = time.monotonic(), sentence
            return self._known[1]


def unreadable(info: SessionInfo) -> Problem:
    """What is said of a session that lists know of, and of whose events none can be read."""
    many = f"none of the {info.events:,} events of session {info.id!r} can be read"
    what = many if info.events != 1 else f"the event of session {info.id!r} cannot be read"
    return Problem(what, "expected whole files that hold them", "`codex-ml logs doctor` says what is damaged and what can be mended.")
