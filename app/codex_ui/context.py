"""What every page works with: the workspace, and what is kept between looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from codex.core.paths import Workspace
from codex.services import machine, runs
from codex.services.chats import ChatRoom
from codex.services.metrics import Point
from codex.services.planner import Planner
from codex.services.sessions import Sessions
from codex.services.side import notebooks, tracker
from codex.services.watch import RunWatch
from codex_ui.address import Address

KEEP_SECONDS = 0.5
"""How old an answer may be: many viewers of one thing cost one look."""
MOST_KEPT = 200
"""Answers after which those that are too old are let go of: addresses can ask for anything, and nothing would ever be forgotten."""
CLOSING_SECONDS = 4.0
"""How long all that is beside the app may take to end. What a leash holds ends without us as well, and the log loses nothing."""
Value = TypeVar("Value")


class Kept:
    """Answers that are kept for a moment, so that twenty viewers cost as much as one."""

    def __init__(self, seconds: float = KEEP_SECONDS) -> None:
        self._seconds = seconds
        self._values: dict[Any, tuple[float, Any]] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, key: Any, make: Callable[[], Value]) -> Value:
        """The answer under `key`, made anew when it is too old; one maker at a time."""
        with self._guard:
            if len(self._locks) > MOST_KEPT:
                self._let_go()
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            made, value = self._values.get(key, (0.0, None))
            if time.monotonic() - made > self._seconds:
                value = make()
                self._values[key] = (time.monotonic(), value)
            return value

    def _let_go(self) -> None:
        """Forget what is too old to be given; what is being made stays."""
        oldest = time.monotonic() - self._seconds
        for key in [key for key, lock in self._locks.items() if not lock.locked() and self._values.get(key, (0.0, None))[0] < oldest]:
            self._values.pop(key, None)
            del self._locks[key]

    def forget(self) -> None:
        """Look again next time, for something was just changed."""
        with self._guard:
            self._values.clear()


class Snapshots:
    """The workspace as it is, looked at no more than twice a second however many look.

    Args:
        workspace: what is looked at.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._kept = Kept()
        self._watch = RunWatch(workspace)

    def runs(self) -> list[runs.RunSummary]:
        """Every run, newest first."""
        return self._kept.get("runs", self._watch.overview)

    def run(self, name: str) -> runs.RunSummary:
        """One run by id, number, title or `last`."""
        return self._kept.get(("run", name), lambda: runs.show(name, workspace=self._workspace))

    def points(self, run_id: str) -> list[Point]:
        """Every logged step of a run, in the order of the log."""
        return self._kept.get(("points", run_id), lambda: self._watch.points(run_id))

    def machine(self) -> machine.Machine:
        """This machine."""
        return self._kept.get("machine", lambda: machine.look(self._workspace))

    def log_tail(self, run_id: str, lines: int) -> list[str]:
        """The last lines of a run's log."""
        return self._kept.get(("log", run_id, lines), lambda: runs.log_tail(run_id, workspace=self._workspace, lines=lines))

    def kept(self, key: Any, make: Callable[[], Value]) -> Value:
        """What `make` gives, as of at most half a second ago."""
        return self._kept.get(key, make)

    def forget(self) -> None:
        """Look again next time."""
        self._kept.forget()


class AppContext:
    """What pages and routes share.

    Args:
        workspace: what the app shows.
        address: where it is reached.
    """

    def __init__(self, workspace: Workspace, address: Address) -> None:
        self.workspace = workspace
        self.address = address
        self.now = Snapshots(workspace)
        self.memo: dict[Any, Any] = {}  # what never changes once it is there, such as a run's configuration
        self.planner = Planner(workspace)
        self.chats = ChatRoom(workspace)
        self.sessions = Sessions(workspace)
        self.side = {"notebooks": notebooks(workspace), "tracker": tracker(workspace)}
        self._guard = threading.Lock()
        self._closing: list[threading.Thread] = []
        self._closed_by = 0.0

    @property
    def workspace_name(self) -> str:
        """The workspace's folder as a person writes it."""
        try:
            return f"~/{self.workspace.root.relative_to(Path.home())}"
        except ValueError:
            return str(self.workspace.root)

    def close(self) -> None:
        """End the app's own processes, side by side; runs go on. Whoever calls it again waits for the first call's end, and no longer."""
        with self._guard:
            if not self._closing:
                self._closed_by = time.monotonic() + CLOSING_SECONDS
                parts = (self.planner, self.chats, self.sessions, *self.side.values())
                self._closing = [threading.Thread(target=part.close, daemon=True) for part in parts]
                for each in self._closing:
                    each.start()
        for each in self._closing:
            each.join(max(0.0, self._closed_by - time.monotonic()))
