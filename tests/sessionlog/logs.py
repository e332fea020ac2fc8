"""Events of every sort, and what a log must say of them, worked out in plain Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from codex.core.events import Event
from codex.sessionlog import SessionLog, frames, manifest
from codex.sessionlog.doctor import examine

DAY = 86_400
MIDNIGHT = 1_795_392_000  # 2026-11-23T00:00:00Z
WORDS = [
    "adapter",
    "loss",
    "token",
    "checkpoint",
    "rank",
    "learning",
    "rate",
    "held",
    "out",
    "verdict",
    "socket",
    "timeout",
    "retry",
    "tool",
    "answer",
    "question",
    "file",
    "snake_case",
]


def some_events(count: int, seed: int = 0, *, days: int = 3, sessions: int = 12) -> list[Event]:
    """`count` events of `sessions` sessions over `days` days, in the order in which they were written."""
    chance = random.Random(seed)
    seqs: Counter[str] = Counter()
    events: list[Event] = []
    for at in range(count):
        session = f"s-{chance.randrange(sessions)}"
        events.append(_event(chance, session, seqs[session], MIDNIGHT + days * DAY * at / count))
        seqs[session] += 1
    return events


def _event(chance: random.Random, session: str, seq: int, ts: float) -> Event:
    role = chance.choice(("user", "assistant", "tool", "info", "error"))
    fields: dict[str, object] = {"content": " ".join(chance.choices(WORDS, k=chance.randrange(1, 9)))}
    if seq == 0:
        role, fields = "info", {"content": f"Title of {session}", "attributes": {"session_event": "opened"}}
    elif role == "tool":
        fields |= {
            "tool": chance.choice(("grep", "read")),
            "latency_ms": chance.random() * 100,
            "attributes": {"arguments": {"n": [1, None, "ü"]}},
        }
    elif role == "assistant":
        fields |= {"model": "codex-tiny", "tokens_in": chance.randrange(99), "tokens_out": chance.randrange(99)}
    elif role == "info":
        fields = {
            "step": seq,
            "loss": chance.choice((1.5, float("inf"), 0.1 + 0.2)),
            "run_id": "r-0001",
            "attributes": {"deep": {"x": 1.5}},
        }
    return Event.model_validate({"session": session, "seq": seq, "ts": ts, "role": role, "kind": "agent", **fields})


def write_segments(folder: Path, events: Sequence[Event], count: int = 4, *, version: int = 2, seed: int = 0) -> list[Path]:
    """Write events into `count` sealed segments of a log's folder; each session's stay in order, but may change the segment."""
    segments = folder / "segments"
    segments.mkdir(parents=True, exist_ok=True)
    ending = f".v{version}.ndjson" if version > 1 else ".ndjson"
    paths = [segments / f"2026-{seed:03}-{number:03}{ending}" for number in range(count)]
    chance = random.Random(seed)
    chosen = [chance.randrange(count) for _ in events]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(frames.encode(event) for event, at in zip(events, chosen, strict=True) if at == number))
    return paths


def by_key(events: Iterable[Event]) -> dict[tuple[str, int], str]:
    """Events as (session, seq) → their JSON, which also tells NaN from NaN."""
    found: dict[tuple[str, int], str] = {}
    for event in events:
        assert (event.session, event.seq) not in found, "an event came twice"
        found[event.session, event.seq] = event.model_dump_json()
    return found


def current(log: SessionLog) -> manifest.Manifest:
    """The log's manifest, which must be whole."""
    found = manifest.read(log.folder)
    assert found is not None
    return found


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, without the compactor's lock."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def said(log: SessionLog, texts: Sequence[str], session: str = "talk") -> None:
    """Go on with a session, as another process does."""
    with SessionLog(log.folder) as other, other.session("chat", id=session) as talk:
        for text in texts:
            talk.append("user", text)


def compact(log: SessionLog) -> None:
    """Compact, and have everything go that is not needed any more."""
    for _ in range(3):
        SessionLog(log.folder).compact(grace_seconds=0)


def words(log: SessionLog) -> dict[str, list[str]]:
    """What users said, by session; every event counts once and no number is missing."""
    fresh = SessionLog(log.folder)
    found = by_key(fresh.scan())
    told: dict[str, list[str]] = {}
    for event in fresh.scan():
        if event.role == "user":
            told.setdefault(event.session, []).append(event.content)
    assert sum(info.events for info in fresh.sessions()) == len(found)
    assert fresh.health().missing == 0
    return told


def harms(log: SessionLog) -> list[str]:
    return [finding.what for finding in examine(log.folder).findings if finding.harm not in ("none", "given up")]
