"""What the Sessions page costs the app with a million events: the list, filters, a condition, words, a session, a query.

    python -m tests.benchmarks.sessions_page --json

Each question is what the page sends. Its cost is the CPU time of the app's process and of the processes that it starts for it, from the
request until both have the answer; median and worst of `REPEATS` different questions of a kind, so that no answer is one that was kept.
`first_list_cpu_ms` is the app's first question to the log. Bar: 1 s each. The log is kept in `--cache` and used again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from codex.sessionlog import SessionLog
from tests.benchmarks import log_data
from tests.browser.app import App

BAR_MS = 1000.0
REPEATS = 5
WORDS = ("import error", "path name value", "socket timeout", "decimal context", "thread lock")


def build(cache: Path, events: int, seed: int) -> Path:
    """A workspace whose log holds so many events, made once."""
    home = cache / f"page-{events}-{seed}"
    if not (home / "made").exists():
        shutil.rmtree(home, ignore_errors=True)
        log_data.write_segments(iter(log_data.Events(events, seed)), home / "workspace" / "log")
        with SessionLog.open(home / "workspace") as log:
            for _ in range(2):
                log.compact(grace_seconds=0)
        (home / "made").touch()
    return home / "workspace"


class Costs:
    """The CPU time that an app spends on questions.

    Args:
        app: it runs, and nobody else asks it.
    """

    def __init__(self, app: App) -> None:
        self._url = app.url
        self._process = psutil.Process(app.process.pid)

    def _spent(self) -> float:
        """CPU seconds of the process and of all children that it has waited for."""
        times = self._process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system

    def of(self, path: str, body: Any = None) -> tuple[float, Any]:
        """The milliseconds that an answer cost, and the answer.

        Raises:
            AssertionError: the app says that something is wrong.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data, {"Content-Type": "application/json", "Origin": self._url})
        before = self._spent()
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        assert not told.get("problems"), told
        return (self._spent() - before) * 1000, told


def questions(sessions: list[str]) -> dict[str, list[tuple[str, Any]]]:
    """Of each kind, what the page asks: an address, and what is sent to it."""

    def listed(**query: Any) -> tuple[str, Any]:
        return f"/api/live/sessions?{urllib.parse.urlencode(query)}", None

    return {
        "list": [listed(p=page) for page in range(1, REPEATS + 1)],
        "filter": [listed(kind="agent", since=f"2026-11-{day:02}", until="2026-11-28") for day in range(2, 2 + REPEATS)],
        "rating": [listed(rating="good", p=page) for page in range(REPEATS)],
        "condition": [listed(where=f"tokens_out > {least}") for least in range(40, 40 + REPEATS)],
        "search": [listed(q=words) for words in WORDS],
        "open": [(f"/api/sessions/{urllib.parse.quote(session)}", None) for session in sessions[:REPEATS]],
        "sql": [
            ("/api/sql/run", {"query": f"select role, count(*) from events where seq > {seq} group by all", "name": f"q{seq}"})
            for seq in range(REPEATS)
        ],
    }


def measure(workspace: Path) -> dict[str, float]:
    """Median and worst cost of each kind of question, in ms."""
    rows = SessionLog.open(workspace).sql("select id from sessions order by events desc, id limit 400").fetchall()
    figures: dict[str, float] = {}
    with App(workspace) as app:
        costs = Costs(app)
        figures["first_list_cpu_ms"] = round(costs.of("/api/live/sessions")[0])
        for kind, asked in questions([row[0] for row in rows[::80]]).items():
            spent = [costs.of(*each)[0] for each in asked]
            figures[f"{kind}_cpu_ms"], figures[f"{kind}_most_cpu_ms"] = round(statistics.median(spent)), round(max(spent))
    return figures


def main() -> int:
    """Measure, print, and end with 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "codex-benchmarks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    started = time.monotonic()
    figures = measure(build(options.cache, options.events, options.seed))
    settings = {"events": options.events, "seed": options.seed, "repeats": REPEATS, "bar_ms": BAR_MS}
    report = {"benchmark": "sessions_page", "figures": figures, "settings": settings, "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))
    return int(any(figure > BAR_MS for figure in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
