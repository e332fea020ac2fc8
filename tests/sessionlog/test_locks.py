"""A session has one writer at a time, and a killed one holds nothing back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.sessionlog import CompactorBusy, SessionBusy, SessionLog
from codex.sessionlog.locks import SessionLock, only_one

Start = Callable[..., subprocess.Popen[str]]

HOLD = """
import sys
from codex.sessionlog import SessionLog
session = SessionLog.open(sys.argv[1]).session("chat", id="c")
session.append("user", "mine")
print("held", flush=True)
sys.stdin.read()
"""


def test_session_of_a_live_process_is_busy_and_the_error_names_it(log: SessionLog, folder: Path, start_python: Start) -> None:
    holder = start_python(HOLD, folder)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(SessionBusy, match=rf"'c' is being written by process {holder.pid}; expected one writer"):
        log.session("chat", id="c")


def test_session_of_a_killed_process_goes_on_at_once(log: SessionLog, folder: Path, start_python: Start) -> None:
    holder = start_python(HOLD, folder)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with log.session("chat", id="c") as session:
        session.append("user", "ours")
    events = log.events("c")
    assert [event.content for event in events if event.role == "user"] == ["mine", "ours"]
    assert [event.seq for event in events] == list(range(5))


def test_second_opening_in_one_process_is_busy(log: SessionLog) -> None:
    with log.session("chat", id="c"), pytest.raises(SessionBusy, match="by this process already"):
        log.session("chat", id="c")


def test_released_lock_leaves_no_file(folder: Path) -> None:
    lock = SessionLock(folder, "s")
    lock.acquire()
    assert [path.name for path in folder.iterdir()] == ["s.lock"]
    lock.release()
    assert not list(folder.iterdir())


def test_lock_on_a_removed_file_counts_as_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our open and our flock the holder lets go (removing the file) and a third party locks a new file of that name."""
    import fcntl

    holder, third, late = (SessionLock(folder, "s") for _ in range(3))
    holder.acquire()
    real_flock = fcntl.flock

    def race(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real_flock)
        holder.release()
        third.acquire()
        real_flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", race)
    with pytest.raises(SessionBusy):
        late.acquire()
    third.release()
    late.acquire()
    late.release()


def test_session_called_like_the_compactor_is_one_like_any_other(log: SessionLog) -> None:
    with log.session("chat", id="compactor") as session:
        session.append("user", "hello")
        assert log.compact().segments == 0
        with pytest.raises(SessionBusy):
            log.session("chat", id="compactor")
        with only_one(log.folder):
            session.close()
            with pytest.raises(CompactorBusy), only_one(log.folder):
                pass


def test_lock_of_the_compactor_on_a_removed_file_counts_as_none(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    real_flock = fcntl.flock

    def race(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real_flock)
        (log.folder / "locks" / "compactor.lock").unlink()
        real_flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", race)
    with only_one(log.folder), pytest.raises(CompactorBusy), only_one(log.folder):
        pass
