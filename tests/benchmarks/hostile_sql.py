"""Ask a log everything that it should refuse or stop, and see that it does, changes nothing, and answers others meanwhile.

Run by `python -m tests.benchmarks.hostile_sql --json`. Each query goes the way a person's does, with the limits that a person has: 4 s and
2 GiB. While it runs, a second query asks for something that has an answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from codex.core.errors import UserError
from codex.core.paths import Workspace
from codex.services.ask import ask
from codex.services.sandboxed import landlock_version
from tests.services import hostile

QUERIES = (*hostile.REFUSED, *hostile.TOO_LARGE, *hostile.ENDLESS, *hostile.UNSENDABLE)


@dataclass
class Figures:
    """What came of it.

    Args:
        queries: how many were asked.
        refused_or_stopped: how many of them ended in a sentence for the person who asked.
        slowest_s: how long the slowest took until then, with the start of its process.
        start_s: how long an ordinary query takes, which is mostly the start of its process.
        changed_bytes: bytes of the workspace that are not as they were before the first query.
        answered_meanwhile: how many of the second queries were answered rightly while a first one ran.
        asked_meanwhile: how many second queries there were.
        slowest_meanwhile_s: how long the slowest of these took.
        landlock: the version of Landlock in force, 0 for none.
    """

    queries: int = 0
    refused_or_stopped: int = 0
    slowest_s: float = 0.0
    start_s: float = 0.0
    changed_bytes: int = 0
    answered_meanwhile: int = 0
    asked_meanwhile: int = 0
    slowest_meanwhile_s: float = 0.0
    landlock: int = 0


def refused_or_stopped(query: str, workspace: Workspace) -> tuple[bool, float]:
    """Whether the query ended in a sentence, and after how many seconds."""
    began = time.monotonic()
    try:
        ask(query, workspace=workspace)
    except UserError:
        return True, time.monotonic() - began
    return False, time.monotonic() - began


def answered(workspace: Workspace) -> tuple[bool, float]:
    """Whether an ordinary query is answered rightly, and after how many seconds."""
    began = time.monotonic()
    right = ask("select count(*) from events where role = 'user'", workspace=workspace).rows == [(50,)]
    return right, time.monotonic() - began


def measure(workspace: Workspace) -> tuple[Figures, list[str]]:
    """The figures, and the queries that got through."""
    figures, through = Figures(landlock=landlock_version()), []
    before, sum_before = hostile.contents(workspace), hostile.fingerprint(workspace)
    figures.start_s = sorted(answered(workspace)[1] for _ in range(5))[2]
    with ThreadPoolExecutor() as threads:
        for query in QUERIES:
            asked = threads.submit(refused_or_stopped, hostile.filled_in(query, workspace), workspace)
            if query not in hostile.UNSENDABLE:
                right, seconds = answered(workspace)
                figures.asked_meanwhile += 1
                figures.answered_meanwhile += right
                figures.slowest_meanwhile_s = max(figures.slowest_meanwhile_s, seconds)
            ended, seconds = asked.result()
            figures.queries += 1
            figures.refused_or_stopped += ended
            figures.slowest_s = max(figures.slowest_s, seconds)
            through += [] if ended else [query]
    figures.changed_bytes = hostile.changed_bytes(before, hostile.contents(workspace))
    assert (figures.changed_bytes == 0) == (hostile.fingerprint(workspace) == sum_before), "both ways to look agree"
    return figures, through


def main() -> int:
    """Print the figures; exit 1 when a query got through, changed something or kept another from its answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures, through = measure(hostile.make_workspace(Path(folder) / "workspace"))
    shown = {name: round(value, 2) for name, value in asdict(figures).items()}
    took = round(time.monotonic() - began, 1)
    report = {"benchmark": "hostile_sql", "figures": shown, "settings": {"queries": len(QUERIES)}, "seconds": took}
    print(json.dumps(report) if options.json else "\n".join(f"{name}: {value}" for name, value in shown.items()))
    for query in through:
        print(f"got through: {query[:100]}", file=sys.stderr)
    return int(bool(through) or bool(figures.changed_bytes) or figures.answered_meanwhile != figures.asked_meanwhile)


if __name__ == "__main__":
    raise SystemExit(main())
