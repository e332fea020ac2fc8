"""What damage does to the session log: kills, files that are cut or changed, and reads while a compactor is at work."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import codex.sessionlog
from codex.core.errors import CodexError
from codex.core.events import Event
from codex.core.files import write_atomic
from codex.sessionlog import SessionLog, doctor, frames, manifest
from tests.benchmarks import log_crash, log_data

CHUNK = 100
EVENTS = 400
READ_EVENTS = 20_000


class Kept:
    """The results of slow parts, kept on the disk for as long as the code is the same: what was broken off goes on where it was."""

    def __init__(self, cache: Path) -> None:
        sources = [*Path(codex.sessionlog.__path__[0]).rglob("*.py"), *Path(__file__).parent.glob("log_*.py")]
        code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()
        self._folder = cache / "damage" / code[:16]

    def result(self, name: str, make: Callable[[], dict[str, int]]) -> dict[str, int]:
        """What `make` gave the first time."""
        path = self._folder / f"{name}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(make()))
        return json.loads(path.read_text())


def figures(kills: int, damages: int, reads: int, seed: int, cache: Path) -> dict[str, float]:
    """Lost and silently wrong events over all three."""
    kept = Kept(cache)
    rounds = max(kills // log_crash.WRITERS, 1)
    crashes = kept.result(f"kills-{rounds}-{seed}", lambda: log_crash.run(rounds, seed))
    cut, changed = all_damaged(kept, damages, seed, cut=True), all_damaged(kept, damages, seed, cut=False)
    looks = Looks(**kept.result(f"reads-{reads}-{seed}", lambda: asdict(read_while_compacting(reads, seed))))
    return {
        "acknowledged": crashes["acknowledged"],
        "kills": kills // log_crash.WRITERS * log_crash.WRITERS + crashes["compactor_kills"],
        "acknowledged_lost": crashes["acknowledged_lost"] + crashes["missing"] + cut.lost + changed.lost,
        "twice": crashes["duplicates"],
        "wrong_after_kill": crashes["wrong"] + crashes["readers_differ"],
        "silent_corruptions": cut.silent + changed.silent,
        "not_mended": cut.not_mended + changed.not_mended,
        "truncations": damages,
        "corruptions": damages,
        "reads_while_compacting": looks.reads,
        "compactions_meanwhile": looks.compactions,
        "reads_with_gap": looks.gaps,
        "reads_with_double": looks.doubles,
        "reads_that_step_back": looks.steps_back,
    }


@dataclass
class Harm:
    """What damage did.

    Args:
        lost: events that the damage did not touch and that were not read.
        silent: looks that gave an event which was never written, or that left events out without saying so.
        not_mended: logs that `doctor --repair` did not make readable again.
    """

    lost: int = 0
    silent: int = 0
    not_mended: int = 0


def _sound(folder: Path, seed: int) -> dict[tuple[str, int], str]:
    """A log in `folder` of which half is compacted and half is not; gives its events."""
    events = [Event.model_validate(event) for event in log_data.Events(EVENTS, seed)]
    half = EVENTS // 2
    segments = folder / "segments"
    segments.mkdir(parents=True)
    (segments / "a.v2.ndjson").write_bytes(b"".join(map(frames.encode, events[:half])))
    log = SessionLog(folder)
    for _ in range(2):
        log.compact(grace_seconds=0)
    (segments / "b.v2.ndjson").write_bytes(b"".join(map(frames.encode, events[half:])))
    return {(event.session, event.seq): event.model_dump_json() for event in events}


def all_damaged(kept: Kept, count: int, seed: int, *, cut: bool) -> Harm:
    """As `damaged`, a hundred at a time, each hundred in a log of its own."""
    harm = Harm()
    for first in range(0, count, CHUNK):
        size, at = min(CHUNK, count - first), f"{seed}-{'cut' if cut else 'changed'}-{first}"
        found = Harm(**kept.result(f"{at}-{size}", lambda size=size, at=at: asdict(damaged(size, at, cut=cut))))
        harm = Harm(harm.lost + found.lost, harm.silent + found.silent, harm.not_mended + found.not_mended)
    return harm


def damaged(count: int, seed: str, *, cut: bool) -> Harm:
    """Cut or change one file of the log, `count` times, each time another one at another place, and look what is read."""
    chance, harm = random.Random(seed), Harm()
    with tempfile.TemporaryDirectory(prefix="log-damage-") as name:
        sound = Path(name) / "sound"
        written = _sound(sound, chance.getrandbits(32))
        files = [path.relative_to(sound) for path in sorted(sound.rglob("*")) if path.is_file() and _matters(path)]
        trial = Path(name) / "trial"
        shutil.copytree(sound, trial)
        for _ in range(count):
            file = chance.choice(files)
            before = (sound / file).read_bytes()
            at = chance.randrange(len(before))
            after = before[:at] if cut else _changed(before, at, chance)
            (trial / file).write_bytes(after)
            _judge(trial, file, before, after, written, harm)
            shutil.rmtree(trial)
            shutil.copytree(sound, trial)
    return harm


def _matters(path: Path) -> bool:
    """The text index is derived from the parts, and locks say nothing."""
    return path.parent.name not in ("text-1", "locks") and path.name != manifest.BEFORE


def _changed(data: bytes, at: int, chance: random.Random) -> bytes:
    """One bit, one byte, or a stretch of it, other than it was."""
    length = chance.choice((1, 1, 1, 64, 4096))
    new = bytearray(data)
    for place in range(at, min(at + length, len(data))):
        new[place] = new[place] ^ (1 << chance.randrange(8) if length == 1 else chance.randrange(1, 256))
    return bytes(new)


def _judge(folder: Path, file: Path, before: bytes, after: bytes, written: dict[tuple[str, int], str], harm: Harm) -> None:
    log = SessionLog(folder)
    try:
        read = {(event.session, event.seq): event.model_dump_json() for event in log.scan()}
        said = not log.health().ok
    except CodexError:  # a damaged MANIFEST is named, not read
        doctor.repair(folder)
        log, said = SessionLog(folder), True
        try:
            read = {(event.session, event.seq): event.model_dump_json() for event in log.scan()}
        except CodexError:
            harm.not_mended += 1
            return
    untouched = _untouched(file, before, after, written)
    harm.lost += len(untouched - read.keys())
    wrong = any(written.get(key) != event for key, event in read.items())
    unsaid = len(read) < len(written) and not said and not _ends_early(before, after)
    harm.silent += wrong or unsaid


def _untouched(file: Path, before: bytes, after: bytes, written: dict[tuple[str, int], str]) -> set[tuple[str, int]]:
    """The events that the damage leaves readable: all lines of a segment that are as they were; of a part, those of other files."""
    halves = list(written)
    stored, live = set(halves[: len(halves) // 2]), set(halves[len(halves) // 2 :])
    if file.suffix == ".parquet" and file.parts[0] == "parts":
        return live
    if file.parts[0] != "segments":
        return stored | live
    kept = set(after.split(b"\n")[:-1]) & set(before.split(b"\n")[:-1])
    events = (frames.decode(line) for line in kept)
    return stored | {(event.session, event.seq) for event in events if event is not None}


def _ends_early(before: bytes, after: bytes) -> bool:
    """A segment that was cut looks like one whose writer was killed there: nobody can tell what would have followed."""
    return before.startswith(after)


@dataclass
class Looks:
    """What readers saw while a compactor was at work."""

    reads: int = 0
    compactions: int = 0
    gaps: int = 0
    doubles: int = 0
    steps_back: int = 0


def read_while_compacting(reads: int, seed: int) -> Looks:
    """Read the whole log `reads` times while it grows and is compacted with no grace."""
    looks, stop = Looks(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="log-reads-") as name:
        folder = Path(name)
        (folder / "segments").mkdir()
        events = (Event.model_validate(event) for event in log_data.Events(READ_EVENTS, seed))

        def compact() -> None:
            log, number = SessionLog(folder), 0
            while not stop.is_set():
                new = [event for _, event in zip(range(50), events, strict=False)]
                if new:
                    unnamed = folder / "segments" / f"{number:06}.new"
                    unnamed.write_bytes(b"".join(map(frames.encode, new)))
                    unnamed.rename(unnamed.with_suffix(".v2.ndjson"))
                log.compact(grace_seconds=0)
                number += 1
                looks.compactions += 1

        thread = threading.Thread(target=compact)
        thread.start()
        try:
            _read_again_and_again(SessionLog(folder), reads, looks)
        finally:
            stop.set()
            thread.join()
    return looks


def _read_again_and_again(log: SessionLog, reads: int, looks: Looks) -> None:
    most = 0
    for _ in range(reads):
        rows = log.rows("select session, count(*), count(distinct seq), min(seq), max(seq) from events group by session")
        count = sum(row[1] for row in rows)
        looks.reads += 1
        looks.doubles += any(row[1] != row[2] for row in rows)
        looks.gaps += any(row[3] != 0 or row[4] != row[1] - 1 for row in rows if row[1] == row[2])
        looks.steps_back += count < most
        most = max(most, count)
