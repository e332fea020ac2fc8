"""`status.json`, read back as it was written, and refused when torn."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from codex.core import clock
from codex.core.errors import RunError
from codex.runs.record import Run, read_run, run_name, run_number, write_run
from codex.runs.status import (
    Ending,
    ProcessId,
    Reason,
    Status,
    ending_json,
    finite,
    parse_ending,
    parse_status,
    read_status,
    write_status,
)

FULL = Status(
    state="stopping",
    attempt=3,
    step=7,
    total=9,
    note="saves → soon",
    numbers={"loss": 0.5, "rate": None},
    heartbeat=12.5,
    started=1.0,
    ended=13.0,
    reason=Reason("killed", "Killed by signal 9 (SIGKILL).", ("a", "b"), "SIGKILL"),
    supervisor=ProcessId(10, "77"),
    worker=ProcessId(11, "78"),
    boot="boot",
    host="host",
)


@pytest.mark.parametrize("status", [Status(), FULL])
def test_status_written_is_read_back(tmp_path: Path, status: Status) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    write_status(folder, status)
    assert read_status(folder) == status
    assert [path.name for path in folder.iterdir()] == ["status.json"]


def test_status_cut_anywhere_is_refused() -> None:
    text = json.dumps(asdict(FULL))
    assert parse_status(text) == FULL
    for length in range(len(text)):
        with pytest.raises(ValueError):
            parse_status(text[:length])


def test_status_of_a_later_version_is_read() -> None:
    assert parse_status(json.dumps({**asdict(FULL), "colour": "red"})) == FULL


@pytest.mark.parametrize("pid", [0, -1, "10", 1.5, True, None])
def test_pid_that_is_no_process_is_refused(pid: object) -> None:
    with pytest.raises(ValueError, match="pid"):
        parse_status(json.dumps({"state": "running", "worker": {"pid": pid, "start": "1"}}))


def test_numbers_that_are_not_finite_become_none() -> None:
    assert finite({"a": math.nan, "b": -math.inf, "c": 2}) == {"a": None, "b": None, "c": 2.0}


def test_ending_is_read_back_for_its_own_attempt_only() -> None:
    ending = Ending("failed", Reason("error", "It broke.", ("line",)), 5.0)
    text = json.dumps(ending_json(ending, 2))
    assert parse_ending(text, 2) == ending and parse_ending(text, 3) is None
    for damaged in (text[:-5], "[]", '{"attempt": 2}', '{"attempt": 2, "state": "failed", "reason": {"kind": "magic"}}'):
        with pytest.raises(ValueError):
            parse_ending(damaged, 2)


def test_process_is_itself_and_no_other_with_its_pid() -> None:
    own = ProcessId.own()
    assert own.pid == os.getpid() and own.lives()
    assert not ProcessId(own.pid, own.start + "0").lives()
    assert Status(worker=own, boot=clock.boot_id()).anyone_lives()
    assert not Status(worker=own, boot="another boot").anyone_lives()
    assert not Status(boot=clock.boot_id()).anyone_lives()


@pytest.mark.parametrize("name", ["r-0000", "r-0001", "r-9999", "r-10000"])
def test_run_number_of_an_id_is_found(name: str) -> None:
    assert run_name(run_number(name) or 0) == name


@pytest.mark.parametrize("name", ["r-1", "r-00001", "0001", "r-", "r-000a", "r-١٢٣٤", "r--001", "r-" + "9" * 5000, ".new-r-0001"])
def test_run_number_of_anything_else_is_none(name: str) -> None:
    assert run_number(name) is None


def test_run_moved_by_hand_takes_its_folders_name(tmp_path: Path) -> None:
    (tmp_path / "r-0001").mkdir()
    run = Run("r-0001", "count", "title", 1.0, ("python",), tmp_path / "r-0001")
    write_run(run)
    assert read_run(run.folder) == run
    run.folder.rename(tmp_path / "r-0005")
    assert read_run(tmp_path / "r-0005").id == "r-0005"
    (tmp_path / "r-0005" / "run.json").write_text('{"kind": "count"}')
    with pytest.raises(RunError, match=r"run.json' cannot be read \(`kind`, `title`, `created` or `argv` is missing"):
        read_run(tmp_path / "r-0005")
