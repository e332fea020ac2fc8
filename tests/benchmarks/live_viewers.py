"""What it costs the app that twenty people watch one live run: each asks once a second for what is new, as the page does.

    python -m tests.benchmarks.live_viewers --json

A writer logs a step a second into a run's session, as a worker would, and rewrites its status. Each viewer asks `/api/live/run` with the
marks of what it has, and `/api/runs/<id>/metrics?since=`. Figures: the app's CPU time by wall time (`app_cores`), and how long after a
point was logged the slowest viewer had it (`slowest_seen_s`). Bars: 0.2 cores, 2 s. The viewers' own cost is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from codex.core import clock
from codex.core.paths import Workspace
from codex.services.metrics import session_of
from codex.sessionlog import SessionLog
from tests.browser.app import App
from tests.browser.workspaces import configured, log_steps
from tests.made import Made

BARS = {"app_cores": 0.2, "slowest_seen_s": 2.0}
WARM_UP_SECONDS = 5.0


@dataclass
class Viewer:
    """One browser's questions.

    Args:
        url: the app's address.
        run: whom it watches.
        began: when it asks first, after the start, so that not all ask at once.
    """

    url: str
    run: str
    began: float
    step_seen: dict[int, float] = field(default_factory=dict)
    late: int = 0
    seen: str = ""
    next: int = 0

    def ask(self) -> None:
        """What the page asks for once a second."""
        live = self._get(f"/api/live/run?id={self.run}&seen={self.seen}")
        self.seen = live["seen"]
        points = self._get(f"/api/runs/{self.run}/metrics?since={self.next}")
        self.next = points["next"]
        now = time.time()
        for step in points["step"]:
            self.step_seen.setdefault(step, now)

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def watch(self, until: float) -> None:
        """Ask once a second until `until` (monotonic)."""
        due = time.monotonic() + self.began
        while due < until:
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            else:
                self.late += 1
            self.ask()
            due += 1.0


def _train(made: Made, run: Any, first: int, until: float, logged: dict[int, float]) -> None:
    """Log a step a second, as a worker does."""
    with SessionLog.open(made.workspace) as log, log.session("training", run.title, id=session_of(run), run_id=run.id) as session:
        step = first
        while time.monotonic() < until:
            numbers = {"split": "train", "learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_s": 1900.0, "memory_gib": 1.1}
            session.append("info", attributes=numbers, step=step, loss=2.0 + 1 / step)
            logged[step] = time.time()
            made.tell(run, **made.alive(step=step, total=10_000))
            step += 1
            time.sleep(1.0)


def measure(viewers: int, seconds: float) -> dict[str, float]:
    """The app's cost and the viewers' waiting over `seconds`, after a warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        made = Made(Workspace(Path(folder) / "workspace"))
        run = configured(made.running("Watched", step=500, total=10_000, started=clock.now() - 500))
        log_steps(made.workspace, run, range(1, 501))
        with App(made.workspace.root) as app:
            until = time.monotonic() + WARM_UP_SECONDS + seconds
            logged: dict[int, float] = {}
            watching = [Viewer(app.url, run.id, number / viewers) for number in range(viewers)]
            threads = [threading.Thread(target=viewer.watch, args=(until,)) for viewer in watching]
            threads.append(threading.Thread(target=_train, args=(made, run, 501, until - 3, logged)))
            for thread in threads:
                thread.start()
            time.sleep(WARM_UP_SECONDS)
            process = psutil.Process(app.process.pid)
            before, began = process.cpu_times(), time.monotonic()
            for thread in threads:
                thread.join()
            after, took = process.cpu_times(), time.monotonic() - began
    waits = [viewer.step_seen[step] - ts for viewer in watching for step, ts in logged.items() if step in viewer.step_seen]
    missed = sum(step not in viewer.step_seen for viewer in watching for step in logged)
    return {
        "app_cores": round((after.user + after.system - before.user - before.system) / took, 3),
        "slowest_seen_s": round(max(waits), 2),
        "median_seen_s": round(statistics.median(waits), 2),
        "points_missed": missed,
        "late_questions": sum(viewer.late for viewer in watching),
    }


def main() -> int:
    """Measure, print, and end with 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    started = time.monotonic()
    figures = measure(options.viewers, options.seconds)
    settings = {"viewers": options.viewers, "seconds": options.seconds, "hz": 1, "bars": BARS}
    report = {"benchmark": "live_viewers", "figures": figures, "settings": settings, "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))
    return int(figures["points_missed"] > 0 or any(figures[name] > bar for name, bar in BARS.items()))


if __name__ == "__main__":
    sys.exit(main())
