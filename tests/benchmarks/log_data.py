"""Realistic events for benchmarks of the session log: chats, agents, training runs and evaluations over 30 days.

Words come from the running Python's standard library, with frequencies as in natural text (Zipf), so that text compresses and is
found as real text is. The same seed gives the same events, one after another, without holding them.
"""

from __future__ import annotations

import json
import random
import re
import sysconfig
import zlib
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

DAYS = 30
BEGIN = 1_793_491_200  # 2026-11-01T00:00:00Z
SEGMENT_BYTES = 32 * 2**20
VOCABULARY = 20_000
TOOLS = tuple(f"{verb}_{noun}" for verb in ("read", "write", "search", "run") for noun in ("file", "table", "web"))
MODELS = ("codex-tiny", "llama-8b", "qwen-7b")


def vocabulary() -> list[str]:
    """The most frequent words of the standard library's source, the most frequent first."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    counts: dict[str, int] = {}
    for path in files:
        for word in re.findall(r"[A-Za-z]{3,14}", path.read_text(errors="ignore")):
            counts[word.lower()] = counts.get(word.lower(), 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))[:VOCABULARY]


class Events:
    """`count` events of `seed`, as dictionaries of their columns, defaults left out."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._chance = random.Random(seed)
        words = vocabulary()
        weights = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
        self._pool = self._chance.choices(words, cum_weights=weights, k=1_000_000)

    def _words(self, least: int, most: int) -> str:
        length = self._chance.randint(least, most)
        start = self._chance.randrange(len(self._pool) - length)
        return " ".join(self._pool[start : start + length])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        made = number = 0
        while made < self._count:
            kind = self._chance.choices(("chat", "agent", "training", "evaluation"), (4, 4, 1, 1))[0]
            length = min(300 if kind == "training" else self._chance.choice((10, 20, 40, 80)), self._count - made)
            yield from self._session(kind, number, length, BEGIN + DAYS * 86_400 * made / self._count)
            made, number = made + length, number + 1

    def _session(self, kind: str, number: int, length: int, ts: float) -> Iterator[dict[str, Any]]:
        session = f"{kind}-{number:08}-{self._chance.getrandbits(32):08x}"
        for seq in range(length):
            ts += self._chance.expovariate(0.5)
            event: dict[str, Any] = {"session": session, "seq": seq, "ts": round(ts, 6)}
            yield event | {"role": "info", "kind": kind} | self._fields(kind, number, seq, length)

    def _fields(self, kind: str, number: int, seq: int, length: int) -> dict[str, Any]:
        chance = self._chance
        if seq == 0:
            return {"content": self._words(3, 6), "attributes": {"session_event": "opened"}}
        if seq == length - 1:
            return {"attributes": {"session_event": "ended", "outcome": "finished"}}
        if kind == "training":
            return self._step(number, seq)
        turn = seq % 4
        if turn == 1:
            return {"role": "user", "content": self._words(4, 25), "tokens_in": chance.randint(5, 50)}
        if turn == 2:
            spoken = {"role": "assistant", "content": self._words(10, 60), "model": chance.choice(MODELS)}
            return spoken | {
                "latency_ms": round(chance.lognormvariate(6, 1), 2),
                "tokens_in": chance.randint(50, 900),
                "tokens_out": chance.randint(20, 300),
            }
        if turn == 3:
            arguments = {"path": f"/data/{chance.randrange(1000)}.json", "limit": chance.randrange(99)}
            called = {"role": "tool", "content": self._words(3, 20), "tool": chance.choice(TOOLS), "attributes": {"arguments": arguments}}
            return called | {"latency_ms": round(chance.lognormvariate(4, 1.2), 2)}
        return {"attributes": {"note": f"n{chance.randrange(99)}"}}

    def _step(self, number: int, seq: int) -> dict[str, Any]:
        chance = self._chance
        attributes = {
            "split": "train",
            "attempt": 1,
            "learning_rate": chance.random() * 1e-4,
            "grad_norm": round(chance.random(), 4),
            "tokens": seq * 2048,
            "tokens_per_s": round(2000 + chance.random() * 100, 1),
        }
        loss = round(6 / (1 + seq / 100) + chance.random() / 10, 5)
        return {"attributes": attributes, "run_id": f"r-{number % 400:04}", "step": seq * 10, "loss": loss}


def write_segments(events: Iterator[dict[str, Any]], folder: Path) -> int:
    """Write events as sealed segments of a log whose folder is `folder`; gives their bytes."""
    segments = folder / "segments"
    segments.mkdir(parents=True)
    held: list[bytes] = []
    size = total = number = 0

    def seal() -> None:
        nonlocal held, size, number
        (segments / f"bench-{number:06}.v2.ndjson").write_bytes(b"".join(held))
        held, size, number = [], 0, number + 1

    for event in events:
        body = json.dumps(event, separators=(",", ":")).encode()[:-1]
        held.append(b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body)))
        size += len(held[-1])
        total += len(held[-1])
        if size > SEGMENT_BYTES:
            seal()
    seal()
    return total
