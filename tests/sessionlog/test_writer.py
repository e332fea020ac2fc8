"""Frames get to the disk whole, in one's own file, and as durably as promised."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from codex.core import clock
from codex.core.errors import WorkspaceError
from codex.core.paths import Workspace
from codex.sessionlog import SessionLog
from codex.sessionlog import segment as segment_module
from codex.sessionlog.segment import Segment
from codex.sessionlog.writer import SegmentWriter


class Disk:
    """Stands in for the disk's sync: notes how large the file was, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[int] = []
        self.moments: list[float] = []
        self.fails = False
        monkeypatch.setattr(segment_module, "datasync", self.datasync)

    def datasync(self, descriptor: int) -> None:
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.synced.append(os.fstat(descriptor).st_size)
        self.moments.append(time.monotonic())


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize(
    ("role", "kind"), [("user", None), ("assistant", None), ("tool", None), ("error", None), ("info", "decision"), ("info", "evaluation")]
)
def test_append_of_what_must_last_returns_after_its_sync(log: SessionLog, segments: Path, disk: Disk, role: str, kind: str | None) -> None:
    with log.session("training") as session:
        session.append(role, "x", kind=kind)  # pyright: ignore[reportArgumentType]
        assert disk.synced[-1] == only_file(segments).stat().st_size


def test_metrics_are_synced_soon_and_in_groups_of_10_ms(log: SessionLog, segments: Path, disk: Disk) -> None:
    with log.session("training") as session:
        for step in range(300):
            session.append("info", step=step)
            time.sleep(0.0005)
        deadline = time.monotonic() + 10
        while not disk.synced or disk.synced[-1] != only_file(segments).stat().st_size:
            assert time.monotonic() < deadline, "not synced within 10 s"
            time.sleep(0.005)
        assert len(disk.moments) > 3
        assert all(after - before >= 0.0099 for before, after in pairwise(disk.moments))


def test_flush_returns_after_everything_is_synced(log: SessionLog, segments: Path, disk: Disk) -> None:
    with log.session("training") as session:
        session.append("info", step=1)
        log.flush()
        assert disk.synced[-1] == only_file(segments).stat().st_size


def test_close_syncs_and_unlocks_the_segment(log: SessionLog, segments: Path, disk: Disk) -> None:
    log.session("training").append("info", step=1)
    log.close()
    assert disk.synced[-1] == only_file(segments).stat().st_size


def test_failing_sync_is_said_and_the_next_event_goes_to_a_fresh_segment(log: SessionLog, segments: Path, disk: Disk) -> None:
    with log.session("chat", id="c") as session:
        log.flush()
        disk.fails = True
        with pytest.raises(WorkspaceError, match="Input/output error"):
            session.append("user", "first")
        disk.fails = False
        session.append("user", "second")
        assert len(list(segments.iterdir())) == 2
        assert [event.seq for event in log.events("c")] == [0, 1, 2]


def test_failing_group_sync_is_said_by_the_next_append(log: SessionLog, disk: Disk) -> None:
    with log.session("training", id="t") as session:
        disk.fails = True
        session.append("info", step=1)
        with pytest.raises(WorkspaceError, match="Input/output error"):
            for _ in range(1000):
                time.sleep(0.005)
                session.append("info", step=2)
        disk.fails = False
        session.append("info", step=3)
        assert [event.step for event in log.events("t")][-1] == 3


def test_full_disk_leaves_no_half_frame_and_says_so(run_python: Callable[..., str], folder: Path) -> None:
    answer = run_python(
        """
import resource, sys
from codex.core.errors import WorkspaceError
from codex.core.paths import Workspace
from codex.sessionlog import SessionLog
log = SessionLog.open(sys.argv[1])
session = log.session("chat", id="c")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    for number in range(1000):
        session.append("user", f"{number} " + "x" * 900)
except WorkspaceError as error:
    print(number, "|", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
session.append("user", "there is room again")
log.close()
""",
        folder,
    )
    refused, _, message = answer.partition(" | ")
    assert "File too large" in message and "Free some room" in message and str(folder) in message
    log = SessionLog.open(folder)
    events = log.events("c")
    assert [event.seq for event in events] == list(range(len(events)))
    said = [event.content.split(" x")[0] for event in events if event.role == "user"]
    assert said == [*map(str, range(int(refused))), "there is room again"]
    report = log.check()
    assert (report.bad, report.torn, report.segments) == ((), (), 1)


def test_half_frame_that_cannot_be_cut_off_is_never_followed_by_another(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def fill_up(descriptor: int, data: bytes, write: Callable[[int, bytes], int] = os.write) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(write(descriptor, data[:20]))
        return written[0]

    def fail(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with log.session("chat", id="c") as session:
        session.append("user", "before")
        with monkeypatch.context() as full:
            full.setattr(os, "write", fill_up)
            full.setattr(os, "ftruncate", fail)
            with pytest.raises(WorkspaceError, match="No space left"):
                session.append("user", "lost")
        session.append("user", "after")
    assert [event.content for event in log.events("c") if event.role == "user"] == ["before", "after"]
    report = log.check()
    assert (len(report.torn), report.torn[0].size, report.bad) == (1, 20, ())


def test_folder_that_cannot_be_made_is_a_workspace_error(folder: Path) -> None:
    (folder / "log").write_text("in the way")
    with pytest.raises(WorkspaceError, match=r"log.*cannot be written.*workspace DIR"):
        SessionLog.open(folder).session("chat")


def test_segment_is_rotated_before_it_grows_too_large(folder: Path) -> None:
    with SessionLog(folder, segment_bytes=2000) as log, log.session("training", id="t") as session:
        for step in range(100):
            session.append("info", "x" * 100, step=step)
        sizes = [path.stat().st_size for path in (folder / "segments").iterdir()]
        assert len(sizes) > 5 and max(sizes) <= 2000
        assert [event.step for event in log.events("t")] == [None, *range(100)]


def test_frame_larger_than_a_segment_gets_its_own(folder: Path) -> None:
    with SessionLog(folder, segment_bytes=2000) as log, log.session("chat", id="c") as session:
        session.append("user", "y" * 10_000)
        session.append("user", "short")
        assert [len(event.content) for event in log.events("c")] == [0, 10_000, 5]


def test_two_writers_of_one_pid_and_one_moment_never_share_a_segment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_795_000_000.0)
    names = set()
    for _ in range(20):
        segment = Segment(folder)
        names.add(segment.path.name)
        segment.close()
    assert len(names) == 20 == len(list(folder.iterdir()))


def test_writer_that_starts_leaves_other_segments_alone(folder: Path) -> None:
    for _ in range(3):
        before = {path.name: path.read_bytes() for path in folder.glob("*.ndjson")}
        writer = SegmentWriter(folder)
        writer.write(b"{}\n")
        writer.close()
        after = {path.name: path.read_bytes() for path in folder.glob("*.ndjson")}
        assert len(after) == len(before) + 1 and after.items() > before.items()


def test_datasync_is_the_systems_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests above stand in for `datasync`; this one asks the operating system, for each durable event before `append` returns."""
    synced: list[int] = []
    name = "fsync" if sys.platform == "darwin" else "fdatasync"
    real = getattr(os, name)

    def watched(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, name, watched)
    workspace = Workspace(tmp_path / "workspace")
    with SessionLog.open(workspace) as log, log.session("chat") as session:
        for number in range(3):
            session.append("user", f"message {number}")
            segment = only_file(workspace.log / "segments")
            assert synced and synced[-1] == segment.stat().st_size
