"""Kill writers and the compactor of the session log with signal 9, again and again, and count what was lost.

Run by `python -m tests.benchmarks.log_crash --json`. Four real processes append to one session each, which they continue in
every round, and say after each append which event was acknowledged; a fifth compacts without a pause. They are killed at random
moments of a printed seed. What the log then holds is read twice: by `SessionLog`, and by a second reader here that shares no
code with it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from codex.sessionlog import SessionLog

WRITERS = 4
LINE = re.compile(rb'(\{.*),"crc":"([0-9a-f]{8})"\}')


@dataclass
class Acknowledged:
    """What the writers were told is in the log: (session, seq) → CRC32 of the content."""

    events: dict[tuple[str, int], int] = field(default_factory=dict)
    twice: int = 0


def write_forever(workspace: str, session: str, seed: int) -> None:
    """Append events of mixed size and durability until killed; print each one after `append` returned."""
    chance = random.Random(seed)
    with SessionLog.open(workspace).session("agent", id=session) as writing:
        while True:
            text = chance.randbytes(chance.choices((10, 200, 3000, 200_000), (40, 40, 18, 2))[0]).hex()
            event = writing.append(chance.choice(("info", "info", "user", "tool")), text)
            os.write(1, f"{event.session} {event.seq} {zlib.crc32(text.encode())}\n".encode())


def start_writer(workspace: Path, session: str, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.benchmarks.log_crash", "--writer", str(workspace), session, str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def compact_forever(workspace: str) -> None:
    """Compact, keeping nothing for other readers, until killed."""
    log = SessionLog.open(workspace)
    print("ready", flush=True)
    while True:
        log.compact(grace_seconds=0)


def start_compactor(workspace: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.benchmarks.log_crash", "--compactor", str(workspace)]
    compactor = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert compactor.stdout is not None
    compactor.stdout.readline()
    return compactor


def collect(writer: subprocess.Popen[bytes], acknowledged: Acknowledged, lock: threading.Lock, started: threading.Event) -> None:
    """Take down what one writer says until its pipe ends."""
    assert writer.stdout is not None
    for line in writer.stdout:
        session, seq, crc = line.split()
        with lock:
            key = session.decode(), int(seq)
            acknowledged.twice += key in acknowledged.events
            acknowledged.events[key] = int(crc)
        started.set()


def one_round(workspace: Path, chance: random.Random, acknowledged: Acknowledged) -> None:
    """Start all writers and a compactor, let each writer acknowledge something, and kill each at its own moment."""
    lock = threading.Lock()
    compactor = start_compactor(workspace)
    running: list[tuple[subprocess.Popen[bytes], threading.Thread, threading.Event]] = []
    for number in range(WRITERS):
        writer = start_writer(workspace, f"writer-{number}", chance.getrandbits(32))
        started = threading.Event()
        thread = threading.Thread(target=collect, args=(writer, acknowledged, lock, started))
        thread.start()
        running.append((writer, thread, started))
    for writer, thread, started in running:
        if not started.wait(60):
            raise RuntimeError(f"a writer acknowledged nothing within 60 s (exit {writer.poll()})")
        time.sleep(chance.uniform(0.0, 0.15))
        writer.kill()
        writer.wait()
        thread.join()
        assert writer.stdout is not None
        writer.stdout.close()
    compactor.kill()
    compactor.wait()
    assert compactor.stdout is not None
    compactor.stdout.close()


def read_plainly(workspace: Path) -> tuple[dict[tuple[str, int], int], int]:
    """Every good event as (session, seq) → CRC32 of its content, and how many are there more than once."""
    contents: dict[tuple[str, int], int] = {}
    seen: Counter[tuple[str, int]] = Counter()
    folder = workspace / "log"
    done, parts = read_manifest(folder)
    for session, seq, content in (row for part in parts for row in read_part(folder / part)):
        seen[session, seq] += 1
        contents[session, seq] = zlib.crc32(content.encode())
    for path in sorted(each for each in (folder / "segments").glob("*.ndjson") if each.name not in done):
        for line in path.read_bytes().split(b"\n")[:-1]:
            match = LINE.fullmatch(line)
            if match is None or zlib.crc32(match[1]) != int(match[2], 16):
                continue
            event = json.loads(line)
            key = event["session"], event["seq"]
            seen[key] += 1
            contents[key] = zlib.crc32(event.get("content", "").encode())
    return contents, sum(count - 1 for count in seen.values())


def read_manifest(folder: Path) -> tuple[set[str], list[str]]:
    """The segments that are done and the parts, as MANIFEST says."""
    path = folder / "MANIFEST"
    if not path.exists():
        return set(), []
    held = json.loads(path.read_text())
    return {each["name"] for each in held["done"]}, [each["name"] for each in held["parts"]]


def read_part(path: Path) -> list[tuple[str, int, str]]:
    """Session, seq and content of each row."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, columns=["session", "seq", "content"])
    return list(zip(*(table.column(name).to_pylist() for name in ("session", "seq", "content")), strict=True))


def run(rounds: int, seed: int) -> dict[str, int]:
    """The figures after `rounds` rounds."""
    chance = random.Random(seed)
    acknowledged = Acknowledged()
    with tempfile.TemporaryDirectory(prefix="log-crash-") as folder:
        workspace = Path(folder)
        for _ in range(rounds):
            one_round(workspace, chance, acknowledged)
        plain, duplicates = read_plainly(workspace)
        log = SessionLog.open(workspace)
        read = {(name, event.seq): zlib.crc32(event.content.encode()) for name in log_sessions(log) for event in log.events(name)}
        report = log.check()
    lost = [key for key in acknowledged.events if key not in read]
    return {
        "acknowledged": len(acknowledged.events),
        "acknowledged_lost": len(lost),
        "wrong": sum(read[key] != crc for key, crc in acknowledged.events.items() if key in read),
        "duplicates": duplicates + acknowledged.twice,
        "readers_differ": len(plain.items() ^ read.items()),
        "missing": report.missing,
        "bad_frames": len(report.bad),
        "torn_tails": len(report.torn),
        "segments": report.segments,
        "rounds": rounds,
        "compactor_kills": rounds,
        "compacted": report.compacted,
    }


def log_sessions(log: SessionLog) -> list[str]:
    return [info.id for info in log.sessions()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--writer", nargs=3, metavar=("WORKSPACE", "SESSION", "SEED"), help="be one of the writers")
    parser.add_argument("--compactor", metavar="WORKSPACE", help="be the compactor")
    asked = parser.parse_args()
    if asked.compactor:
        return compact_forever(asked.compactor)
    if asked.writer:
        return write_forever(asked.writer[0], asked.writer[1], int(asked.writer[2]))
    begun = time.perf_counter()
    figures = run(asked.rounds, asked.seed)
    result = {
        "benchmark": "log_crash",
        "figures": figures,
        "settings": {"writers": WRITERS, "rounds": asked.rounds, "seed": asked.seed},
        "seconds": round(time.perf_counter() - begun, 1),
    }
    print(json.dumps(result) if asked.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))
    return None


if __name__ == "__main__":
    main()
