"""The log is compacted without anybody asking, when it is worthwhile, and by a process that nobody waits for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from codex.core.paths import Workspace
from codex.services import compacting
from codex.services.compacting import Compacting, compact_in_background, is_worthwhile
from codex.sessionlog import SessionLog


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace").create()


def fill(workspace: Workspace, segments: int) -> None:
    for number in range(segments):
        with SessionLog.open(workspace) as log, log.session("chat", id=f"c-{number}") as session:
            session.append("user", "hello")


def compacted(workspace: Workspace) -> int:
    """How many events are in parts, once there are any."""
    deadline = time.monotonic() + 60
    while not (count := SessionLog.open(workspace).health().compacted):
        assert time.monotonic() < deadline, "nothing was compacted"
        time.sleep(0.05)
    return count


def test_little_is_left_alone(workspace: Workspace) -> None:
    assert not is_worthwhile(Workspace(workspace.root / "nowhere"))
    fill(workspace, compacting.ENOUGH_SEGMENTS - 1)
    assert not is_worthwhile(workspace) and not compact_in_background(workspace)


def test_many_segments_are_compacted_by_a_process_of_its_own(workspace: Workspace) -> None:
    fill(workspace, compacting.ENOUGH_SEGMENTS)
    assert compact_in_background(workspace)
    assert compacted(workspace) == 3 * compacting.ENOUGH_SEGMENTS


def test_one_large_segment_is_enough(workspace: Workspace) -> None:
    with SessionLog.open(workspace) as log, log.session("chat") as session:
        session.append("user", "x" * compacting.ENOUGH_BYTES)
    assert is_worthwhile(workspace)


def test_segments_that_cannot_be_looked_at_end_nothing(workspace: Workspace) -> None:
    (workspace.log / "segments").write_text("a file")
    assert not is_worthwhile(workspace)


def test_who_is_open_looks_again_and_again(workspace: Workspace) -> None:
    looking = Compacting(workspace, pause_seconds=0.05)
    fill(workspace, compacting.ENOUGH_SEGMENTS)
    assert compacted(workspace)
    looking.close()
    assert SessionLog.open(workspace).health().ok
