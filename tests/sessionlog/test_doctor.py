"""Every sort of damage is named, and what can be mended is."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codex.core import files
from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.sessionlog import SessionLog, doctor, examination, manifest
from codex.sessionlog.compactor import Compacted, Compactor
from codex.sessionlog.doctor import examine, repair
from codex.sessionlog.manifest import sha256
from codex.sessionlog.store import Store
from tests.sessionlog.logs import by_key, current, flip, some_events, write_segments


@pytest.fixture
def events() -> list[Event]:
    return some_events(300)


@pytest.fixture
def compacted(log: SessionLog, events: list[Event]) -> SessionLog:
    """A log that was compacted twice, whose first segments are gone."""
    write_segments(log.folder, events[:200], seed=1)
    log.compact(grace_seconds=0)
    log.compact(grace_seconds=0)
    write_segments(log.folder, events[200:], seed=2)
    log.compact()
    return log


def test_sound_log_has_no_finding(compacted: SessionLog) -> None:
    assert examine(compacted.folder).findings == ()
    assert repair(compacted.folder) == ()


@pytest.mark.parametrize("change", ["compact", "purge"])
def test_log_that_changes_while_it_is_examined_is_looked_at_again(
    compacted: SessionLog, events: list[Event], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    write_segments(compacted.folder, [Event(session="new", seq=0, ts=events[-1].ts, role="user", kind="chat", content="zebra")], 1, seed=3)
    real = examination.of_text

    def of_text(store: Store) -> Iterator[examination.Finding]:
        if examination.of_text is of_text:  # once
            monkeypatch.setattr(examination, "of_text", real)
            compacted.compact() if change == "compact" else compacted.purge(events[150].ts)
        return real(store)

    monkeypatch.setattr(examination, "of_text", of_text)
    assert examine(compacted.folder).findings == ()


def test_what_a_log_lacks_is_reported_even_when_it_changes_all_the_time(compacted: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(compacted.folder / "text-1")
    monkeypatch.setattr(examination, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(examination, "_state", lambda _: object())
    assert [finding.harm for finding in examine(compacted.folder).findings] == ["search incomplete"]


def test_empty_log_is_sound(folder: Path) -> None:
    assert examine(folder / "log").ok and repair(folder / "log") == ()
    assert not (folder / "log").exists()


def touch_rollup(log: SessionLog) -> None:
    rollup = current(log).sessions
    assert rollup is not None
    flip(log.folder / rollup.name)


def lose_text(log: SessionLog) -> None:
    shutil.rmtree(log.folder / "text-1")


def break_text(log: SessionLog) -> None:
    for path in (log.folder / "text-1").glob("*"):
        path.write_bytes(b"")


def break_manifest(log: SessionLog) -> None:
    flip(log.folder / manifest.NAME)


def lose_manifest(log: SessionLog) -> None:
    (log.folder / manifest.NAME).unlink()


def lose_both_manifests(log: SessionLog) -> None:
    (log.folder / manifest.NAME).unlink()
    (log.folder / manifest.BEFORE).unlink()


def break_both_manifests(log: SessionLog) -> None:
    flip(log.folder / manifest.NAME)
    flip(log.folder / manifest.BEFORE)


DAMAGE = [touch_rollup, lose_text, break_text, break_manifest, break_both_manifests, lose_manifest, lose_both_manifests]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_that_costs_no_event_is_named_and_mended(
    compacted: SessionLog, events: list[Event], damage: Callable[[SessionLog], None]
) -> None:
    sessions, hits = compacted.sessions(), {(hit.event.session, hit.event.seq) for hit in compacted.search("verdict", limit=500)}
    damage(compacted)
    assert examine(compacted.folder).findings
    done = repair(compacted.folder)
    assert done and all(sentence.endswith(".") for sentence in done)
    log = SessionLog(compacted.folder)
    assert by_key(log.scan()) == by_key(events)
    assert log.sessions() == sessions
    assert {(hit.event.session, hit.event.seq) for hit in log.search("verdict", limit=500)} == hits
    left = [finding for finding in examine(compacted.folder).findings if finding.harm != "none"]
    assert left == []


@pytest.mark.parametrize("lose", [lose_manifest, lose_both_manifests], ids=lambda lose: lose.__name__)
def test_parts_without_manifest_are_damage_and_never_removed(compacted: SessionLog, lose: Callable[[SessionLog], None]) -> None:
    parts = set(compacted.folder.glob("parts/*/*"))
    lose(compacted)
    for log in (compacted, SessionLog(compacted.folder)):  # one that has read it before, and one that has not
        with pytest.raises(WorkspaceError, match=r"MANIFEST', is missing.*doctor --repair"):
            log.sessions()
        with pytest.raises(WorkspaceError, match="missing"):
            log.compact(grace_seconds=0)
    assert not examine(compacted.folder).ok
    assert set(compacted.folder.glob("parts/*/*")) == parts


class Killed(BaseException):
    """Stands for signal 9."""


class Resting(Compactor):
    """Leaves what follows a repair to the tests of compaction, which are slow."""

    def run(self) -> Compacted:
        return Compacted()


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Die at the `step`-th change of the disk that counts; an odd one is before it, an even one after it."""
    left = [step]

    def strike() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def dying(home: object, name: str) -> None:
        real = getattr(home, name)

        def change(*arguments: object, **options: object) -> object:
            strike()
            result = real(*arguments, **options)
            strike()
            return result

        monkeypatch.setattr(home, name, change)

    for home, name in ((files, "write_atomic"), (os, "link"), (Path, "unlink"), (shutil, "rmtree")):
        dying(home, name)


def killed_repairs(damaged: Path, folder: Path) -> Iterator[Path]:
    """Copies of a damaged log, each with a repair killed one step later than in the one before, until a repair comes through."""
    steps = 0
    for steps in range(1, 200):
        copy = folder / str(steps)
        shutil.copytree(damaged, copy)
        try:
            with pytest.MonkeyPatch.context() as patching:
                kill_at(patching, steps)
                repair(copy)
            break
        except Killed:
            yield copy
    assert 3 < steps < 199


@pytest.mark.parametrize("damage", [break_manifest, break_both_manifests, lose_both_manifests], ids=lambda damage: damage.__name__)
def test_repair_that_is_killed_at_any_step_loses_nothing(
    compacted: SessionLog, events: list[Event], damage: Callable[[SessionLog], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(compacted)
    monkeypatch.setattr(doctor, "Compactor", Resting)
    for folder in killed_repairs(compacted.folder, tmp_path):
        with contextlib.suppress(WorkspaceError):
            SessionLog(folder).compact(grace_seconds=0)
        repair(folder)
        assert by_key(SessionLog(folder).scan()) == by_key(events), folder.name
        assert [finding for finding in examine(folder).findings if finding.harm != "none"] == [], folder.name


def test_log_never_has_a_part_before_it_has_a_manifest(log: SessionLog, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Killed

    write_segments(log.folder, events)
    with pytest.raises(Killed), monkeypatch.context() as patching:
        patching.setattr(Compactor, "_roll", die)
        log.compact()
    assert list(log.folder.glob("parts/*/*"))
    assert by_key(log.scan()) == by_key(events) == by_key(SessionLog(log.folder).scan())
    assert log.compact().events == len(events)
    assert by_key(log.scan()) == by_key(events)


def test_damaged_part_whose_segments_are_there_loses_nothing(compacted: SessionLog, events: list[Event]) -> None:
    newest = current(compacted).parts[-1]
    flip(compacted.folder / newest.name)
    (finding,) = (finding for finding in examine(compacted.folder).findings if finding.where == newest.name)
    assert finding.harm == "events lost" and f"{newest.rows:,} events" in finding.what
    said, *_ = repair(compacted.folder)
    assert f"{newest.rows:,} events were read again" in said
    log = SessionLog(compacted.folder)
    assert by_key(log.scan()) == by_key(events)
    assert examine(log.folder).ok


def test_damaged_part_without_segments_is_set_aside_and_the_rest_stays(compacted: SessionLog, events: list[Event]) -> None:
    import duckdb

    oldest = current(compacted).parts[0]
    lost = set(duckdb.execute(f"select session, seq from '{compacted.folder / oldest.name}'").fetchall())
    flip(compacted.folder / oldest.name)
    said, *_ = repair(compacted.folder)
    assert said.endswith(f"0 events were read again, {len(lost):,} events are lost.")
    log = SessionLog(compacted.folder)
    assert by_key(log.scan()) == by_key(event for event in events if (event.session, event.seq) not in lost)
    assert sha256(next((log.folder / "quarantine").glob("parts-*"))) != oldest.sha256
    note = next((log.folder / "quarantine").glob("lost-events.*"))
    (finding,) = (finding for finding in examine(log.folder).findings if finding.where == f"quarantine/{note.name}")
    assert finding.harm == "events lost" and f"{len(lost):,} events of 1 damaged parts are lost" in finding.what
    assert repair(log.folder) == () and not examine(log.folder).ok
    note.unlink()
    assert log.health().missing > 0


def test_events_lost_at_the_end_of_sessions_are_counted(log: SessionLog) -> None:
    """No number is missing below a session's last, so only the repair knows of them."""
    events = some_events(40, sessions=1, days=2)
    write_segments(log.folder, events, count=1)
    for _ in range(3):
        log.compact(grace_seconds=0)
    last = max(current(log).parts, key=lambda part: part.day)
    flip(log.folder / last.name)
    repair(log.folder)
    found = examine(log.folder)
    assert not found.ok and any(f"{last.rows} events" in finding.what for finding in found.findings)


@pytest.mark.parametrize("at", [0, -1])
def test_repair_of_a_part_that_is_killed_at_any_step_counts_each_event_once(
    compacted: SessionLog, events: list[Event], at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    part = current(compacted).parts[at]
    lost = set(duckdb.execute(f"select session, seq from '{compacted.folder / part.name}'").fetchall()) if at == 0 else set()
    flip(compacted.folder / part.name)
    damaged = (compacted.folder / part.name).read_bytes()
    left = [event for event in events if (event.session, event.seq) not in lost]
    monkeypatch.setattr(doctor, "Compactor", Resting)
    for folder in killed_repairs(compacted.folder, tmp_path):
        repair(folder)
        log = SessionLog(folder)
        assert by_key(log.scan()) == by_key(left), folder.name
        log.compact(grace_seconds=0)
        assert by_key(log.scan()) == by_key(left), folder.name
        assert sum(info.events for info in log.sessions()) == len(left), folder.name
        found = examine(folder)
        said = [finding.what for finding in found.findings if finding.harm != "none" and "quarantine" in finding.where]
        assert said == ([f"{len(lost)} events of 1 damaged parts are lost"] if lost else []), folder.name
        assert not any("text" in finding.where for finding in found.findings), folder.name
        kept = [path.read_bytes() for path in (folder / "quarantine").glob("parts-*")]
        assert kept == [damaged], folder.name
        assert found.ok == (not lost), folder.name


def test_log_without_a_rollup_counts_each_event_once(compacted: SessionLog, events: list[Event]) -> None:
    known, sessions = current(compacted), compacted.sessions()
    manifest.publish(compacted.folder, known.model_copy(update={"sessions": None, "done": ()}))
    log = SessionLog(compacted.folder)
    assert by_key(log.scan()) == by_key(events) and log.sessions() == sessions
    log.compact(grace_seconds=0)
    assert by_key(log.scan()) == by_key(events) and log.sessions() == sessions


def test_last_event_whose_newline_is_damaged_too_is_not_lost_in_silence(log: SessionLog, events: list[Event]) -> None:
    (path,) = write_segments(log.folder, events, count=1)
    data = path.read_bytes()
    path.write_bytes(data[:-60] + bytes(range(60, 120)))
    assert examine(log.folder).ok, "printable to the end: nobody can tell it from an event that was being written"
    path.write_bytes(data[:-60] + random.Random(1).randbytes(60).replace(b"\n", b"\0"))
    found = examine(log.folder)
    assert [finding.harm for finding in found.findings] == ["events lost"] and "no frame begins so" in found.findings[0].what
    assert not log.health().ok
    compacted = log.compact(grace_seconds=0)
    assert compacted.damaged == 1 and len(list(log.folder.glob("quarantine/*"))) == 1
    (kept,) = examine(log.folder).findings  # no number tells of it: the session may just as well have ended there
    assert kept.harm == "events lost" and kept.what.startswith("1 damaged frames were set aside here by compaction")


def test_damaged_frames_and_torn_tails_are_named(log: SessionLog, events: list[Event]) -> None:
    (path,) = write_segments(log.folder, events, count=1)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"seq", b"sEq")
    path.write_bytes(b"".join(lines) + b'{"session":"s')
    found = examine(log.folder)
    assert [finding.harm for finding in found.findings] == ["events lost", "none", "events lost"]
    assert f"offset {len(b''.join(lines[:5])):,}" in found.findings[0].what
    assert not found.ok
