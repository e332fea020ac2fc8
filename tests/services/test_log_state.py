"""Whether a log has changed, and what is said of its damage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from codex.core.paths import Workspace
from codex.services import log_state
from codex.services.log_state import Health, damage, damage_seen, state_of
from codex.sessionlog import SessionLog
from tests.sessionlog.logs import flip, some_events, write_segments


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose log has 120 events."""
    made = Workspace(tmp_path / "workspace").create()
    write_segments(made.log, some_events(120))
    return made


def test_log_has_another_state_when_it_grows_or_is_compacted_and_the_same_otherwise(workspace: Workspace, tmp_path: Path) -> None:
    assert state_of(tmp_path / "nothing") == ()
    states = [state_of(workspace.log)]
    assert state_of(workspace.log) == states[0]
    with SessionLog.open(workspace) as log, log.session("chat") as chat:
        states.append(state_of(workspace.log))
        chat.append("user", "More.")
        states.append(state_of(workspace.log))
    states.append(state_of(workspace.log))
    SessionLog.open(workspace).compact()
    states.append(state_of(workspace.log))
    assert len(set(states)) == len(states)


def test_what_cannot_be_looked_at_is_a_state_of_its_own(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    known = state_of(workspace.log)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert state_of(workspace.log) not in (known, ())


def test_damage_is_told_in_the_words_of_the_command_line_and_looked_for_now_and_then(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SessionLog.open(workspace)
    log.compact()
    health = Health(log)
    assert health.damage() is None
    flip(next((workspace.log / "parts").glob("*/*")))
    assert health.damage() is None, "kept for a while"
    monkeypatch.setattr(log_state, "HEALTH_SECONDS", 0.0)
    told = health.damage()
    assert told is not None and told == damage_seen(log)
    assert told.startswith("1 compacted files are damaged, the first parts/")


def test_damage_that_changes_neither_size_nor_time_is_only_seen_by_reading_all(workspace: Workspace) -> None:
    log = SessionLog.open(workspace)
    log.compact()
    assert (damage_seen(log), damage(workspace)) == (None, None)
    part = sorted(workspace.log.glob("parts/*/*.parquet"))[0]
    before, raw = part.stat(), bytearray(part.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    part.write_bytes(raw)
    os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert damage_seen(SessionLog.open(workspace)) is None
    assert damage(workspace) == f"1 compacted files are damaged, the first {part.relative_to(workspace.log)}"
    part.write_bytes(raw[:-1])
    assert "1 compacted files are damaged" in (damage_seen(SessionLog.open(workspace)) or "")


def test_damage_is_not_an_event_that_stands_there_twice_but_one_that_is_broken(workspace: Workspace) -> None:
    segment = sorted((workspace.log / "segments").iterdir())[0]
    again = segment.with_name(f"9{segment.name}")
    shutil.copy(segment, again)
    assert damage_seen(SessionLog.open(workspace)) is None
    lines = segment.read_bytes().splitlines(keepends=True)
    broken = [line.replace(b'"seq":', b'"sqe":') for line in lines]
    again.write_bytes(b"".join(broken))
    said = damage_seen(SessionLog.open(workspace))
    assert said == f"{len(lines)} damaged and 0 missing of {120 + len(lines)} events are left out; the first in {again.name}"


def test_events_that_are_missing_are_some_of_all_that_there_were(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "another").create()
    with SessionLog.open(workspace) as log, log.session("chat", id="talk") as talk:
        for number in range(3):
            talk.append("user", f"message {number}")
    (path,) = (workspace.log / "segments").iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[3:]))
    assert damage(workspace) == "0 damaged and 3 missing of 5 events are left out"
