"""Every sort of damage is named, and what can be mended is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.events import Event
from codex.sessionlog import SessionLog, manifest
from codex.sessionlog.doctor import examine, repair
from tests.sessionlog.logs import by_key, some_events, write_segments


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


def current(log: SessionLog) -> manifest.Manifest:
    found = manifest.read(log.folder / manifest.NAME)
    assert found is not None
    return found


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_sound_log_has_no_finding(compacted: SessionLog) -> None:
    assert examine(compacted.folder).findings == ()
    assert repair(compacted.folder) == ()


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


def break_both_manifests(log: SessionLog) -> None:
    flip(log.folder / manifest.NAME)
    flip(log.folder / manifest.BEFORE)


DAMAGE = [touch_rollup, lose_text, break_text, break_manifest, break_both_manifests]


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


def test_damaged_part_whose_segments_are_there_loses_nothing(compacted: SessionLog, events: list[Event]) -> None:
    newest = current(compacted).parts[-1]
    flip(compacted.folder / newest.name)
    (finding,) = (finding for finding in examine(compacted.folder).findings if finding.where == newest.name)
    assert finding.harm == "events lost" and f"{newest.rows:,} events" in finding.what
    said, *_ = repair(compacted.folder)
    assert f"{newest.rows:,} events were read from segments again" in said
    log = SessionLog(compacted.folder)
    assert by_key(log.scan()) == by_key(events)
    assert examine(log.folder).ok


def test_damaged_part_without_segments_is_set_aside_and_the_rest_stays(compacted: SessionLog, events: list[Event]) -> None:
    import duckdb

    oldest = current(compacted).parts[0]
    lost = set(duckdb.execute(f"select session, seq from '{compacted.folder / oldest.name}'").fetchall())
    flip(compacted.folder / oldest.name)
    assert repair(compacted.folder)
    log = SessionLog(compacted.folder)
    assert by_key(log.scan()) == by_key(event for event in events if (event.session, event.seq) not in lost)
    assert len(list((log.folder / "quarantine").iterdir())) == 1
    assert log.health().missing > 0


def test_damaged_frames_and_torn_tails_are_named(log: SessionLog, events: list[Event]) -> None:
    (path,) = write_segments(log.folder, events, count=1)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"seq", b"sEq")
    path.write_bytes(b"".join(lines) + b'{"session":"s')
    found = examine(log.folder)
    assert [finding.harm for finding in found.findings] == ["events lost", "none", "events lost"]
    assert f"offset {len(b''.join(lines[:5])):,}" in found.findings[0].what
    assert not found.ok
