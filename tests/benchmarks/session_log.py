"""The session log beside SQLite: writing, seeing, asking, searching, disk, and what damage does.

Run by `python -m tests.benchmarks.session_log --json`, with `--events 10000000` for the size that the bars are for. The peer is SQLite
with WAL, indexes and FTS5 (`log_peer`). Both hold the same events (`log_data`); questions are asked in turns, CPU
time of this process, median of `REPEATS` after one that is not counted, and both answers are compared. What is slow to make
is kept in `--cache` and used again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codex.core import clock
from codex.sessionlog import SessionLog
from codex.sessionlog.parts import rows_of
from codex.sessionlog.selection import Selection
from tests.benchmarks import log_damage, log_data, log_peer, log_writers

REPEATS = 5
SETTLING_BYTES = 40_000
"""Of a request for memory upon which glibc gathers all small pieces that were freed: whoever freed them pays, not who asks next."""
WORDS = ("import error", "path name value", "socket timeout", "self", "decimal context")


def build(cache: Path, events: int, seed: int) -> tuple[Path, Path, dict[str, float]]:
    """Both stores, made once: the workspace of our log, SQLite's file, and what making them took."""
    home = cache / f"{events}-{seed}"
    made = home / "made.json"
    if not made.exists():
        shutil.rmtree(home, ignore_errors=True)
        (home / "ours").mkdir(parents=True)
        ndjson = log_data.write_segments(iter(log_data.Events(events, seed)), home / "ours" / "log")
        begun = time.process_time()
        log = SessionLog.open(home / "ours")
        log.compact(grace_seconds=0)
        log.compact(grace_seconds=0)
        compacting = time.process_time() - begun
        begun = time.process_time()
        log_peer.fill(home / "peer.db", log_data.Events(events, seed))
        facts = {"compaction_cpu_s": compacting, "peer_fill_cpu_s": time.process_time() - begun, "ndjson_bytes": ndjson}
        made.write_text(json.dumps(facts))
    return home / "ours", home / "peer.db", json.loads(made.read_text())


def cpu_ms(*asked: Callable[[], Any]) -> tuple[list[float], list[Any]]:
    """Of each question the median CPU time in ms, asked in turns, and its answer."""
    spent: list[list[float]] = [[] for _ in asked]
    answers: list[Any] = [None for _ in asked]
    for turn in range(REPEATS + 1):
        for at, ask in enumerate(asked):
            begun = time.process_time()
            answers[at] = ask()
            bytearray(SETTLING_BYTES)
            if turn:
                spent[at].append((time.process_time() - begun) * 1000)
    return [statistics.median(each) for each in spent], answers


def questions(ours: Path, peer: Path) -> dict[str, float]:
    """Aggregates, search, a session and the newest events, on both sides."""
    log, other = SessionLog.open(ours), log_peer.connect(peer)
    log_peer.uncover(other)  # of a run that was broken off
    figures = sums(log, other) | searches(log, other) | rows(log, other)
    log_peer.cover(other)
    covered = sums(log, other)
    log_peer.uncover(other)
    return figures | {f"{name}_covering_ratio": covered[f"{name}_ratio"] for name in ("counts", "p95", "tokens")}


def sums(log: SessionLog, other: Any) -> dict[str, float]:
    """Counts, percentiles and sums over all events."""
    figures: dict[str, float] = {}
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "counts": (
            lambda: log.sql(
                "select epoch(day)::bigint // 86400, role, n from (select day, role, count(*) as n from events group by all) order by all"
            ).fetchall(),
            lambda: log_peer.counts(other),
        ),
        "p95": (
            lambda: log.sql(
                "select tool, quantile_disc(latency_ms, 0.95) from events where tool is not null group by tool order by tool"
            ).fetchall(),
            lambda: log_peer.p95(other),
        ),
        "tokens": (
            lambda: log.sql(
                "select model, sum(tokens_in)::bigint, sum(tokens_out)::bigint from events where model is not null"
                " group by model order by model"
            ).fetchall(),
            lambda: log_peer.tokens(other),
        ),
    }
    for name, (ask, ask_peer) in pairs.items():
        (mine, theirs), (answer, expected) = cpu_ms(ask, ask_peer)
        if answer != expected:
            raise RuntimeError(f"{name}: the two sides differ: {answer[:3]} and {expected[:3]}")
        figures |= {f"{name}_ratio": theirs / mine, f"{name}_cpu_ms": mine, f"{name}_peer_cpu_ms": theirs}
    return figures


def searches(log: SessionLog, other: Any) -> dict[str, float]:
    """Ranked search: the dearest of WORDS counts."""
    ids: list[float] = []
    texts: list[float] = []
    peers: list[float] = []
    for words in WORDS:
        (first, second, third), (found, hits, theirs) = cpu_ms(
            lambda words=words: log._lookup.ranked(words, Selection(), limit=20),  # pyright: ignore[reportPrivateUsage]
            lambda words=words: log.search(words, limit=20),
            lambda words=words: log_peer.search(other, words),
        )
        if not len(found) == len(hits) == len(theirs):
            raise RuntimeError(f"search {words!r}: {len(found)}, {len(hits)} and {len(theirs)} hits")
        ids.append(first)
        texts.append(second)
        peers.append(third)
    return {
        "text_search_cpu_ms": max(ids),
        "text_search_with_texts_cpu_ms": max(texts),
        "text_search_peer_cpu_ms": max(peers),
    }


def rows(log: SessionLog, other: Any) -> dict[str, float]:
    """One session's events, with and without its day known, and the newest 100; another session in each turn."""
    middle = len(log.sessions()) // 2
    chosen = log.find(limit=REPEATS + 1, offset=middle)
    spans = [(each.id, clock.microseconds(each.started), clock.microseconds(each.last_ts)) for each in chosen]
    ours, known, theirs = iter(chosen), iter(spans), iter(chosen)
    spent, answers = cpu_ms(
        lambda: log.events(next(ours).id),
        lambda: log._store.ask(_in_span(log), next(known)),  # pyright: ignore[reportPrivateUsage]
        lambda: log_peer.session(other, next(theirs).id),
    )
    if len({len(answer) for answer in answers}) != 1:
        raise RuntimeError("a session's events differ")
    figures = dict(zip(("session_cpu_ms", "session_known_day_cpu_ms", "session_peer_cpu_ms"), spent, strict=True))
    (mine, peers), (newest, expected) = cpu_ms(lambda: list(log.tail(n=100)), lambda: log_peer.recent(other))
    if [(event.session, event.seq) for event in reversed(newest)] != [(each[1], each[2]) for each in expected]:
        raise RuntimeError("the newest events differ")
    return figures | {"recent_cpu_ms": mine, "recent_peer_cpu_ms": peers}


def _in_span(log: SessionLog) -> str:
    """The question for a session's events whose time is known."""
    rows = rows_of(log.folder, log._store.parts)  # pyright: ignore[reportPrivateUsage]
    return f"select * from {rows} where session = ? and time between make_timestamp(?) and make_timestamp(?) order by seq"


def disk(ours: Path, peer: Path, events: int) -> dict[str, float]:
    """Bytes on the disk, text index and rollup included."""
    mine = sum(path.stat().st_size for path in (ours / "log").rglob("*") if path.is_file())
    text = sum(path.stat().st_size for path in (ours / "log" / "text-1").rglob("*") if path.is_file())
    theirs = sum(path.stat().st_size for path in peer.parent.glob("peer.db*"))
    return {"disk_bytes_per_event": mine / events, "text_index_bytes_per_event": text / events, "disk_ratio": mine / theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round of writing")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--damages", type=int, default=2_000, help="truncations, and as many corruptions")
    parser.add_argument("--reads", type=int, default=1_000, help="while a compactor is at work")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "codex-bench-session-log")
    parser.add_argument("--only", choices=["questions", "writing", "damage"], help="a part of it")
    asked = parser.parse_args()
    begun = time.perf_counter()
    figures: dict[str, float] = {}
    if asked.only in (None, "writing"):
        figures |= log_writers.figures(asked.seconds, asked.seed)
    if asked.only in (None, "questions"):
        ours, peer, made = build(asked.cache, asked.events, asked.seed)
        figures |= questions(ours, peer) | disk(ours, peer, asked.events) | made
    if asked.only in (None, "damage"):
        figures |= log_damage.figures(asked.kills, asked.damages, asked.reads, asked.seed, asked.cache)
    settings = {
        name: str(value) if isinstance(value, Path) else value for name, value in vars(asked).items() if name not in ("json", "cache")
    }
    result = {"benchmark": "session_log", "figures": {name: round(value, 4) for name, value in figures.items()}, "settings": settings}
    result |= {"seconds": round(time.perf_counter() - begun, 1)}
    print(json.dumps(result) if asked.json else "\n".join(f"{name}: {value}" for name, value in result["figures"].items()))


if __name__ == "__main__":
    main()
