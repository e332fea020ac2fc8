"""Four processes write at once, ours and SQLite in turns; and how soon a reader sees what was written."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from codex.sessionlog import SessionLog
from tests.benchmarks import log_peer

WRITERS = 4
ROUNDS = 3
SEEN_EVENTS = 400
POLL_SECONDS = 0.01
TEXT = "What does this function return when the list is empty, and which error does it raise otherwise?"


def figures(seconds: float, seed: int) -> dict[str, float]:
    """Durable and grouped appends, and the time until a live reader sees an event."""
    ours: list[list[int]] = []
    peers: list[list[int]] = []
    grouped: list[list[int]] = []
    for _ in range(ROUNDS):
        ours.append(_round("durable", seconds))
        peers.append(_round("sqlite", seconds))
        grouped.append(_round("grouped", seconds))
    totals = [sum(each) / sum(peer) for each, peer in zip(ours, peers, strict=True)]
    seen, bare = visible()
    return {
        "durable_append_ratio": statistics.median(totals),
        "durable_append_events_per_s": statistics.median(sum(each) / seconds for each in ours),
        "durable_append_peer_events_per_s": statistics.median(sum(each) / seconds for each in peers),
        "slowest_writer_share": min(min(each) / sum(each) for each in ours),
        "slowest_peer_writer_share": min(min(each) / sum(each) for each in peers),
        "grouped_append_events_per_s": statistics.median(sum(each) / seconds for each in grouped),
        "visible_p95_ms": seen,
        "bare_visible_p95_ms": bare,
    }


def _round(mode: str, seconds: float) -> list[int]:
    """How many events each of the writers wrote, all at once."""
    with tempfile.TemporaryDirectory(prefix="log-writers-") as folder:
        if mode == "sqlite":
            log_peer.create(Path(folder) / "peer.db").close()
        else:
            (Path(folder) / "log").mkdir()
        command = [sys.executable, "-m", "tests.benchmarks.log_writers", mode, folder, str(seconds)]
        running = [
            subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for number in range(WRITERS)
        ]
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()  # it has imported everything
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [int(process.communicate()[0]) for process in running]


def write(mode: str, folder: Path, seconds: float, number: int) -> int:
    """Write for `seconds`; gives how many events."""
    print("ready", flush=True)
    sys.stdin.readline()
    return _write_sqlite(folder, seconds, number) if mode == "sqlite" else _write_ours(mode, folder, seconds, number)


def _write_ours(mode: str, folder: Path, seconds: float, number: int) -> int:
    made, end = 0, time.perf_counter() + seconds
    with SessionLog.open(folder).session("agent", id=f"w{number}") as session:
        while time.perf_counter() < end:
            if mode == "durable":
                session.append("user", TEXT, tokens_in=20)
            else:
                session.append("info", attributes={"split": "train", "learning_rate": 1e-4, "grad_norm": 0.5}, step=made, loss=1.5)
            made += 1
    return made


def _write_sqlite(folder: Path, seconds: float, number: int) -> int:
    connection = log_peer.connect(folder / "peer.db")
    made, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        event = {"session": f"w{number}", "seq": made, "ts": time.time(), "role": "user", "kind": "agent", "content": TEXT, "tokens_in": 20}
        connection.execute(log_peer.INSERT, log_peer.row(event))
        made += 1
    return made


def visible() -> tuple[float, float]:
    """The 95th percentile, in ms, of the time from the return of an append, and of a bare write, to a reader that has the event.

    Writer and readers are threads of two processes; both readers look every 10 ms.
    """
    with tempfile.TemporaryDirectory(prefix="log-visible-") as folder:
        (Path(folder) / "log").mkdir()
        bare = Path(folder) / "bare"
        bare.touch()
        command = [sys.executable, "-m", "tests.benchmarks.log_writers", "seen", folder, "0", "0"]
        writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None and writer.stdin is not None
        writer.stdout.readline()
        ours: dict[int, float] = {}
        plain: dict[int, float] = {}
        readers = [
            threading.Thread(target=_follow, args=(Path(folder), ours)),
            threading.Thread(target=_follow_bare, args=(bare, plain)),
        ]
        for reader in readers:
            reader.start()
        writer.stdin.write("go\n")
        writer.stdin.flush()
        written = json.loads(writer.communicate()[0])
        for reader in readers:
            reader.join()
    return _p95(ours, written["ours"]), _p95(plain, written["bare"])


def _p95(seen: dict[int, float], written: Sequence[float]) -> float:
    late = sorted(max(seen[number] - at, 0.0) * 1000 for number, at in enumerate(written))
    return late[int(0.95 * len(late))]


def _follow(folder: Path, seen: dict[int, float]) -> None:
    for event in SessionLog.open(folder).tail(follow=True, n=0):
        if event.step is not None:
            seen[event.step] = time.perf_counter()
            if event.step == SEEN_EVENTS - 1:
                return


def _follow_bare(path: Path, seen: dict[int, float]) -> None:
    with open(path, "rb", buffering=0) as file:
        while len(seen) < SEEN_EVENTS:
            time.sleep(POLL_SECONDS)
            for line in file.read().splitlines():
                seen[int(line)] = time.perf_counter()


def _write_seen(folder: Path) -> dict[str, list[float]]:
    """Write to both, one after the other, at moments that no reader's rhythm fits; gives when each write returned."""
    print("ready", flush=True)
    sys.stdin.readline()
    written: dict[str, list[float]] = {"ours": [], "bare": []}
    plain = os.open(folder / "bare", os.O_WRONLY | os.O_APPEND)
    with SessionLog.open(folder).session("agent", id="w") as session:
        for number in range(SEEN_EVENTS):
            session.append("user", TEXT, step=number)
            written["ours"].append(time.perf_counter())
            os.write(plain, b"%d\n" % number)
            written["bare"].append(time.perf_counter())
            time.sleep(0.0137)
    os.close(plain)
    return written


if __name__ == "__main__":
    mode, folder, seconds, number = sys.argv[1:]
    if mode == "seen":
        print(json.dumps(_write_seen(Path(folder))))
    else:
        print(write(mode, Path(folder), float(seconds), int(number)))
