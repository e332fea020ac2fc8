"""Signals reach the process they are meant for, and locks the folder they are meant for."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex.core.clock import process_start
from codex.runs.locks import RunLock
from codex.runs.processes import send_signal, signal_name
from codex.runs.status import ProcessId


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_signal_reaches_the_process_it_names(sleeper: subprocess.Popen[bytes]) -> None:
    start = process_start(sleeper.pid)
    assert start is not None
    assert send_signal(ProcessId(sleeper.pid, start), signal.SIGKILL)
    assert sleeper.wait(10) == -signal.SIGKILL
    assert not send_signal(ProcessId(sleeper.pid, start), signal.SIGKILL)


def test_signal_to_another_process_with_the_same_pid_is_not_sent(sleeper: subprocess.Popen[bytes]) -> None:
    assert not send_signal(ProcessId(sleeper.pid, "1"), signal.SIGKILL)
    assert sleeper.poll() is None


def test_signal_name_is_what_people_know() -> None:
    assert [signal_name(number) for number in (9, 15, 11, 63)] == ["SIGKILL", "SIGTERM", "SIGSEGV", "signal 63"]


def test_lock_is_held_by_one_and_free_once_released(tmp_path: Path) -> None:
    first = RunLock.take(tmp_path)
    assert first is not None and RunLock.take(tmp_path) is None and RunLock.take(tmp_path, patience_s=0.05) is None
    first.release()
    second = RunLock.take(tmp_path)
    assert second is not None
    second.release()


def test_lock_shared_with_a_child_is_held_until_the_child_is_gone(tmp_path: Path) -> None:
    lock = RunLock.take(tmp_path)
    assert lock is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,)) as child:
        os.close(lock.descriptor)
        assert RunLock.take(tmp_path) is None
        child.kill()
    again = RunLock.take(tmp_path)
    assert again is not None
    again.release()


def test_lock_of_a_folder_deleted_between_opening_and_locking_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    real = fcntl.flock

    def delete_first(descriptor: int, how: int) -> None:
        folder.rename(tmp_path / "deleted")
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with pytest.raises(FileNotFoundError):
        RunLock.take(folder)


def test_lock_of_a_folder_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RunLock.take(tmp_path / "gone")
