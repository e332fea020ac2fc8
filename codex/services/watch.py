"""Look at runs again and again, as a page does: what has not changed since the last look is not read again."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from codex.core.errors import RunError
from codex.core.paths import Workspace
from codex.runs.folders import run_folders
from codex.runs.store import RunStore
from codex.runs.views import view_run
from codex.services.metrics import Point, SeriesReader, session_of
from codex.services.runs import RunSummary, summary_of
from codex.sessionlog import SessionLog

Signature = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of each file that a summary is made of: a rewritten file has another."""
FILES = ("run.json", "status.json", "report.json")


def _signature(folder: Path) -> Signature:
    return tuple(_mark(folder / name) for name in FILES)


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


class RunWatch:
    """The runs of a workspace and their series, cheap to ask for once a second. Safe across threads.

    Args:
        workspace: where they are.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._log = SessionLog.open(workspace)
        self._ended: dict[Path, tuple[Signature, RunSummary]] = {}
        self._readers: dict[str, tuple[SeriesReader, list[Point]]] = {}
        self._guard = threading.Lock()

    def overview(self) -> list[RunSummary]:
        """Every run, newest first; an ended one is read again only when its files have changed."""
        with self._guard:
            found: list[RunSummary] = []
            for folder in run_folders(self._workspace.runs):
                with contextlib.suppress(RunError):  # deleted while we looked
                    found.append(self._summary(folder))
            known = {summary.run.folder for summary in found}
            self._ended = {folder: kept for folder, kept in self._ended.items() if folder in known}
            return found[::-1]

    def _summary(self, folder: Path) -> RunSummary:
        signature = _signature(folder)
        kept = self._ended.get(folder)
        if kept is not None and kept[0] == signature:
            return kept[1]
        summary = summary_of(view_run(folder))
        if summary.ended and signature == _signature(folder):
            self._ended[folder] = (signature, summary)
        return summary

    def points(self, name: str) -> list[Point]:
        """Every logged step of a run, in the order of the log; a replayed step that came out differently stands again, later.

        Raises:
            RunError: there is no such run.
        """
        session = session_of(RunStore(self._workspace).get(name))
        with self._guard:
            reader, points = self._readers.setdefault(session, (SeriesReader(self._log, session), []))
            points.extend(reader.new())
            return list(points)
