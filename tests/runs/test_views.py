"""What is told of a run from outside, when its own word is stale, false, damaged or gone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codex.core import clock
from codex.core.errors import RunError
from codex.core.paths import Workspace
from codex.runs.attempts import ask_stop
from codex.runs.locks import RunLock
from codex.runs.record import Run
from codex.runs.status import ProcessId, Status, host_name, read_status, status_file, write_status
from codex.runs.store import RunStore

if TYPE_CHECKING:
    from tests.runs.conftest import Runs

GONE = ProcessId(2**22 + 1, "1")  # above the highest pid there can be


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(Workspace(tmp_path / "workspace"))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Some other process."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def claim(store: RunStore, **changes: object) -> Run:
    """A run whose status says that it runs."""
    run = store.create("count", "claimed", {})
    status = Status(
        "running", 1, step=4, heartbeat=100.0, started=50.0, worker=GONE, supervisor=GONE, boot=clock.boot_id(), host=host_name()
    )
    write_status(run.folder, replace(status, **changes))  # type: ignore[arg-type]
    return run


def test_status_of_the_dead_becomes_lost_once_and_for_all(store: RunStore) -> None:
    run = claim(store)
    run.log.write_text("the last line\n")
    view = store.view(run)
    assert view.state == "failed" and view.status.reason is not None
    assert (view.status.reason.kind, view.status.reason.lines, view.status.ended) == ("lost", ("the last line",), 100.0)
    assert view.status.step == 4, "how far it came stays known"
    assert read_status(run.folder) == view.status


def test_boot_changed_machine_was_restarted(store: RunStore) -> None:
    run = claim(store, boot="another boot", worker=ProcessId.own(), supervisor=ProcessId.own())
    view = store.view(run)
    assert view.state == "failed" and view.status.reason is not None and view.status.reason.kind == "machine restarted"
    assert read_status(run.folder) == view.status


def test_pid_reused_by_another_process_fools_nobody(runs: Runs, sleeper: subprocess.Popen[bytes]) -> None:
    run = runs.hold()
    runs.kill(run, "supervisor", "worker")
    stranger = ProcessId(sleeper.pid, "12345")
    write_status(run.folder, replace(read_status(run.folder), worker=stranger, supervisor=stranger))
    with pytest.raises(RunError, match="does not run: it is failed"):
        runs.store.stop(run, force=True)
    assert sleeper.poll() is None
    reason = runs.store.view(run).status.reason
    assert reason is not None and reason.kind == "lost"


def test_lock_held_run_is_believed_although_its_processes_are_not_seen(store: RunStore) -> None:
    run = claim(store)
    lock = RunLock.take(run.folder)
    assert lock is not None
    with lock:
        assert store.view(run).state == "running"
        with pytest.raises(RunError, match="runs where its processes cannot be seen from here"):
            store.stop(run)
        with pytest.raises(RunError, match="Stop it first"):
            store.delete(run)
    assert store.view(run).state == "failed"


def test_run_on_another_machine_is_believed_while_it_speaks(store: RunStore) -> None:
    run = claim(store, host="elsewhere", boot="its boot", heartbeat=clock.now())
    assert store.view(run).state == "running"
    with pytest.raises(RunError, match="run 'r-0001' runs on 'elsewhere'"):
        store.stop(run)
    write_status(run.folder, replace(read_status(run.folder), heartbeat=clock.now() - 3600))
    reason = store.view(run).status.reason
    assert reason is not None and reason.kind == "lost"


def test_worker_killed_by_force_with_no_supervisor_was_stopped(store: RunStore) -> None:
    run = claim(store)
    ask_stop(run.folder, 1, force=True)
    assert store.view(run).state == "stopped"
    old = claim(store, attempt=2)
    ask_stop(old.folder, 1, force=True)
    assert store.view(old).state == "failed", "that was asked of an earlier attempt"


def test_stop_asked_of_a_busy_worker_shows_at_once(store: RunStore) -> None:
    run = claim(store, worker=ProcessId.own())
    assert store.view(run).state == "running"
    ask_stop(run.folder, 1, force=False)
    assert store.view(run).state == "stopping"


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"state": "dancing"}', b'{"state": ["running"]}',
        b'{"state": "running", "worker": {"pid": -1}}',
        b'{"state": "running", "step": "many"}', b'{"state": "running", "heartbeat": NaN}', b'{"state": "running", "numbers": {"a": []}}',
        b'{"state": "running", "heartbeat": 1e999}', b'{"state": "queued", "attempt": true}', b"[" * 100_000, b'{"a": ' * 100_000,
        b'{"state": "running", "step": ' + b"9" * 5000 + b"}", b'{"state": "running", "heartbeat": ' + b"9" * 400 + b"}",
    ],
)  # fmt: skip
def test_damaged_status_is_said_and_the_others_are_listed(store: RunStore, damage: bytes) -> None:
    sound, hurt = store.create("count", "sound", {}), store.create("count", "hurt", {})
    status_file(hurt.folder).write_bytes(damage)
    views = store.list()
    assert [view.state for view in views] == ["queued", "unreadable"] and views[0].run == sound
    assert views[1].problem is not None and views[1].problem.startswith("status.json cannot be read: ")
    assert store.get("hurt") == hurt
    with pytest.raises(RunError, match=r"does not run: status.json cannot be read"):
        store.stop(hurt)
    assert store.delete(hurt) > 0


def test_missing_files_are_said(store: RunStore) -> None:
    run = store.create("count", "hurt", {})
    status_file(run.folder).unlink()
    assert [(view.state, view.problem) for view in store.list()] == [("unreadable", "status.json cannot be read: it is missing")]
    (run.folder / "run.json").unlink()
    [view] = store.list()
    assert view.id == "r-0001" and view.problem is not None and "is no run" in view.problem
    with pytest.raises(RunError, match="is no run"):
        store.get("r-0001")


@pytest.mark.parametrize("name", ["run.json", "status.json"])
def test_random_damage_never_breaks_the_list(store: RunStore, name: str) -> None:
    run = claim(store, state="failed")
    whole = (run.folder / name).read_bytes()
    rng = random.Random(20261123)
    unreadable = 0
    for _ in range(300):
        torn = bytearray(whole[: rng.randrange(len(whole) + 1)] if rng.random() < 0.3 else whole)
        for _ in range(rng.randrange(4) if torn else 0):
            torn[rng.randrange(len(torn))] = rng.randrange(256)
        (run.folder / name).write_bytes(bytes(torn))
        [view] = store.list()
        json.dumps(view.to_json())
        unreadable += view.problem is not None
    assert unreadable > 100, "the damage was real"


def test_damaged_run_can_be_resumed(runs: Runs) -> None:
    run = runs.hold()
    runs.kill(run, "supervisor", "worker")
    status_file(run.folder).write_bytes(b"{")
    runs.launch(run)
    runs.until_working(run)
    assert runs.store.view(run).status.attempt == 2
