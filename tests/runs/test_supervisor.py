"""Endings of real runs, each really provoked: a supervisor, a worker, and what may happen to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codex.core.clock import process_start
from codex.core.paths import PACKAGE, Workspace
from codex.runs.checkpoints import checkpoints_folder
from codex.runs.processes import send_signal
from codex.runs.record import Run
from codex.runs.status import read_status, status_file
from codex.runs.store import RunStore

if TYPE_CHECKING:
    from tests.runs.conftest import Runs

PythonStarter = Callable[..., subprocess.Popen[str]]

LAUNCH = """
import json, os, sys, time
from pathlib import Path
from codex.core.paths import Workspace
from codex.runs.store import RunStore
workspace, run, environment, cgroup, terminal = json.loads(sys.argv[1])
if cgroup:
    Path(cgroup, "cgroup.procs").write_text(str(os.getpid()))
if terminal:
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
store = RunStore(Workspace(Path(workspace)))
store.launch(store.get(run), environment)
try:
    print("launched", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(600)
"""


def order(runs: Runs, run: Run, *, cgroup: Path | None = None, terminal: bool = False) -> str:
    return json.dumps([str(runs.store.workspace.root), run.id, runs.environment, str(cgroup or ""), terminal])


def test_run_left_alone_finishes_whole(runs: Runs) -> None:
    run = runs.start("count", "40")
    view = runs.end(run)
    assert (view.state, view.status.attempt, view.status.step, view.status.total) == ("finished", 1, 40, 40)
    assert view.status.reason is not None and view.status.reason.sentence == "Finished."
    assert view.status.numbers == {"loss": 1 / 40, "ratio": None} and view.status.note == "step 40"
    assert view.status.started and view.status.ended and view.status.started <= view.status.ended
    json.loads((run.folder / "status.json").read_text(), parse_constant=pytest.fail)
    left = {path.name for path in run.folder.iterdir()} - {"seen.json", "ending.json"}
    assert left == {".lock", "asked.yaml", "resolved.yaml", "run.json", "status.json", "worker.log", "checkpoints"}


def test_worker_environment_is_offline_unless_the_launch_says_otherwise(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("FROM_STARTER", "kept")
    run = runs.launch(runs.make("count", "1"), HF_DATASETS_OFFLINE="0", EXTRA="given")
    runs.end(run)
    seen = json.loads((run.folder / "seen.json").read_text())
    environment, expected = seen["environment"], {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}
    expected |= {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "EXTRA": "given", "FROM_STARTER": "kept"}
    assert {name: environment.get(name) for name in expected} == expected
    assert seen["attempt"] == 1 and seen["folder"] == str(run.folder) and seen["session"] != os.getsid(0)


def test_starter_killed_with_its_group_run_finishes(runs: Runs, python: PythonStarter) -> None:
    run = runs.make("hold")
    with python(LAUNCH, order(runs, run), stdout=subprocess.PIPE, start_new_session=True) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == "launched\n"
        runs.until_working(run)
        assert starter.pid not in {os.getsid(process.pid) for process in read_status(run.folder).processes()}, "a session of its own"
        os.killpg(starter.pid, signal.SIGKILL)
    assert starter.returncode == -signal.SIGKILL
    runs.until_working(run)
    runs.release(run)
    view = runs.end(run)
    assert (view.state, view.status.step) == ("finished", 2)


def test_run_that_was_done_before_it_saw_the_question_has_finished(runs: Runs) -> None:
    run = runs.start("deaf")
    runs.until_working(run)
    os.kill(read_status(run.folder).processes()[0].pid, signal.SIGTERM)
    runs.until(lambda: runs.store.view(run).state == "stopping", "the question arrives")
    runs.release(run)
    view = runs.end(run)
    assert (view.state, view.status.reason.kind if view.status.reason else None) == ("finished", "finished")


def test_terminal_interrupted_and_closed_run_finishes(runs: Runs, python: PythonStarter) -> None:
    run = runs.make("hold")
    ours, theirs = os.openpty()
    with python(LAUNCH, order(runs, run, terminal=True), stdin=theirs, stdout=subprocess.PIPE, start_new_session=True) as starter:
        os.close(theirs)
        assert starter.stdout is not None and starter.stdout.readline() == "launched\n"
        os.write(ours, b"\x03")
        assert starter.stdout.readline() == "interrupted\n"
        os.close(ours)
    assert starter.returncode == -signal.SIGHUP
    runs.until_working(run)
    for process in read_status(run.folder).processes():
        ignored = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
        assert int(ignored.split()[1], 16) & 1, "signal 1, SIGHUP, which comes when it was started by hand in a terminal"
    runs.release(run)
    assert runs.end(run).state == "finished"


def test_starter_gone_before_the_answer_run_goes_on(runs: Runs) -> None:
    run = runs.make("count", "3")
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "codex.runs.supervisor", str(run.folder), "--answer-to", str(theirs)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PACKAGE.parent), runs.environment["PYTHONPATH"]))}
    subprocess.run(command, pass_fds=(theirs,), env=environment, check=True, stderr=subprocess.DEVNULL)
    os.close(theirs)
    runs.until(lambda: runs.store.view(run).state == "finished", "the end")


@pytest.mark.parametrize(
    ("how", "kind", "sentence", "name"),
    [
        ("killed", "killed", "Killed by signal 9 (SIGKILL).", "SIGKILL"),
        ("segfault", "killed", "Killed by signal 11 (SIGSEGV).", "SIGSEGV"),
        ("vanish", "error", "The worker ended with exit code 5 without saying why.", None),
        ("leave", "error", "SystemExit: 3", None),
        ("traceback", "error", "ZeroDivisionError: the body's own mistake \\udcff", None),
        (
            "wrong_row",
            "error",
            "row 3 of 'data.jsonl' has no answer (data.jsonl:3); expected a text in `completion`. Give it one, or delete the row.",
            None,
        ),
    ],
)
def test_worker_fails_reason_names_it(runs: Runs, how: str, kind: str, sentence: str, name: str | None) -> None:
    run = runs.start("fail", how)
    view = runs.end(run)
    reason = view.status.reason
    assert view.state == "failed" and reason is not None
    assert (reason.kind, reason.sentence, reason.signal) == (kind, sentence, name)
    log = run.log.read_text()
    expected = {"segfault": "Fatal Python error: Segmentation fault", "vanish": "last words", "traceback": "ZeroDivisionError"}.get(how)
    if expected:
        assert any(expected in line for line in reason.lines) and expected in log
    if how == "wrong_row":
        assert "Traceback" not in "".join(reason.lines) and "Traceback" not in log


def test_log_lines_of_an_ending_are_of_its_own_attempt(runs: Runs) -> None:
    run = runs.start("fail", "vanish")
    runs.end(run)
    reason = runs.end(runs.launch(run)).status.reason
    assert reason is not None and reason.lines.count("last words") == 1 and run.log.read_text().count("last words") == 2


def test_worker_crashes_after_its_work_is_finished_and_says_so(runs: Runs) -> None:
    view = runs.end(runs.start("fail", "crash_while_closing"))
    assert view.state == "finished" and view.status.reason is not None
    assert view.status.reason.lines == ("While closing down it was then ended by signal 11 (SIGSEGV).",)


@pytest.mark.parametrize("how", ["forgotten_thread", "orphan_child"])
def test_worker_leaves_something_running_run_ends_and_is_free(runs: Runs, how: str) -> None:
    run = runs.start("fail", how)
    assert runs.end(run).state == "finished"
    child = run.folder / "child"
    assert not child.exists() or process_start(int(child.read_text())) is None, "it was ended with its parent"
    assert runs.store.delete(run) > 0


def test_kind_unknown_run_fails_naming_the_nearest(runs: Runs) -> None:
    reason = runs.end(runs.start("counts")).status.reason
    assert reason is not None and reason.sentence.startswith("run 'counts' is unknown") and "'count'" in reason.sentence


def test_address_space_full_is_out_of_memory(runs: Runs) -> None:
    view = runs.end(runs.start("eat", "address_space"))
    assert view.state == "failed" and view.status.reason is not None
    assert view.status.reason.kind == "out of memory" and "MemoryError" in view.status.reason.sentence
    assert any("address_space" in line for line in view.status.reason.lines)


def test_kernel_ends_worker_for_memory_is_out_of_memory(runs: Runs, python: PythonStarter, small_memory: Path) -> None:
    run = runs.make("eat", "memory")
    with python(LAUNCH, order(runs, run, cgroup=small_memory), stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == "launched\n"
        view = runs.end(run)
        starter.kill()
    assert view.state == "failed" and view.status.reason is not None
    assert (view.status.reason.kind, view.status.reason.signal) == ("out of memory", "SIGKILL")


def test_disk_full_is_said_and_run_resumes_once_there_is_room(runs: Runs, small_disk: Path) -> None:
    runs.store = RunStore(Workspace(small_disk / "workspace"))
    run = runs.start("eat", "disk")
    view = runs.end(run)
    assert view.state == "failed" and view.status.reason is not None and view.status.reason.kind == "error"
    assert view.status.reason.sentence.startswith("The disk is full (OSError: [Errno 28] No space left on device)")
    assert read_status(run.folder).state == "failed", "written down although the disk was full"
    assert list(checkpoints_folder(run.folder).iterdir()) == [], "half a checkpoint stays"
    (run.folder / "resolved.yaml").write_text("address_space")
    assert runs.end(runs.launch(run)).status.attempt == 2


def test_stop_saves_and_ends_and_resume_goes_on(runs: Runs) -> None:
    run = runs.hold()
    view = runs.store.stop(run, 30)
    assert view.state == "stopped" and view.status.reason is not None and view.status.reason.kind == "stopped"
    assert view.status.reason.sentence == "Stopped when asked. Resume goes on from checkpoint-1."
    assert [path.name for path in checkpoints_folder(run.folder).iterdir()] == ["checkpoint-1"]
    runs.launch(run)
    runs.until_working(run)
    assert runs.store.view(run).status.attempt == 2
    runs.release(run)
    assert runs.end(run).state == "finished"


def test_stop_twice_saves_once(runs: Runs) -> None:
    run = runs.hold()
    (run.folder / "slow-save").touch()
    assert runs.store.stop(run).state == "stopping"
    runs.until(lambda: read_status(run.folder).state == "stopping", "the worker saying that it stops")
    assert runs.store.stop(run).state == "stopping"
    (run.folder / "slow-save").unlink()
    assert runs.end(run).state == "stopped"
    assert [path.name for path in checkpoints_folder(run.folder).iterdir()] == ["checkpoint-1"]


def test_stop_right_after_launch_is_not_lost(runs: Runs) -> None:
    run = runs.start("hold")
    view = runs.store.stop(run, 30)
    assert view.state == "stopped" and view.status.reason is not None and view.status.reason.signal is None


def test_stop_by_force_ends_a_worker_that_does_not_listen(runs: Runs) -> None:
    run = runs.start("fail", "stubborn")
    runs.until_working(run)
    assert runs.store.stop(run, 0.2).state == "stopping"
    view = runs.store.stop(run, 30, force=True)
    assert view.state == "stopped" and view.status.reason is not None
    assert view.status.reason.signal == "SIGKILL" and "by force" in view.status.reason.sentence


def test_supervisor_asked_to_end_stops_its_worker(runs: Runs) -> None:
    run = runs.hold()
    supervisor = read_status(run.folder).supervisor
    assert supervisor is not None and send_signal(supervisor, signal.SIGTERM)
    assert runs.end(run).state == "stopped"
    assert [path.name for path in checkpoints_folder(run.folder).iterdir()] == ["checkpoint-1"]


def test_supervisor_killed_worker_goes_on_and_writes_its_ending_down(runs: Runs) -> None:
    run = runs.hold()
    runs.kill(run, "supervisor")
    assert runs.store.view(run).state == "running"
    runs.release(run)
    runs.until(lambda: read_status(run.folder).state == "finished", "the worker's own word, with nobody looking")


def test_supervisor_killed_worker_can_still_be_stopped(runs: Runs) -> None:
    run = runs.hold()
    runs.kill(run, "supervisor")
    assert runs.store.stop(run, 30).state == "stopped"


def test_both_killed_run_is_lost_and_resumes(runs: Runs) -> None:
    run = runs.hold()
    runs.kill(run, "supervisor", "worker")
    assert read_status(run.folder).state == "running", "nobody was left to write it down"
    view = runs.store.view(run)
    assert view.state == "failed" and view.status.reason is not None and view.status.reason.kind == "lost"
    assert read_status(run.folder) == view.status, "written down by who looked"
    runs.release(run)
    assert runs.end(runs.launch(run)).state == "finished"


def test_worker_killed_after_its_last_word_with_no_supervisor_word_counts(runs: Runs) -> None:
    run = runs.hold()
    runs.kill(run, "supervisor", "worker")
    reason = {"kind": "finished", "sentence": "Finished."}
    (run.folder / "ending.json").write_text(json.dumps({"attempt": 1, "state": "finished", "reason": reason, "ts": 5.0}))
    view = runs.store.view(run)
    assert (view.state, view.status.ended) == ("finished", 5.0)


def test_heartbeat_mends_the_status_while_the_body_says_nothing(runs: Runs) -> None:
    run = runs.hold()
    first = read_status(run.folder).heartbeat
    status_file(run.folder).write_bytes(b"{")
    runs.until(lambda: runs.store.view(run).state == "running", "the next heartbeat")
    view = runs.store.view(run)
    assert first is not None and view.status.heartbeat is not None and view.status.heartbeat > first
    assert view.silent_seconds is not None and view.silent_seconds < 30, "2 s, and what a busy machine adds"


def test_stop_and_end_reach_the_supervisor_at_once_both_are_heard(runs: Runs) -> None:
    run = runs.hold()
    supervisor = read_status(run.folder).supervisor
    assert supervisor is not None
    for number in (signal.SIGSTOP, signal.SIGTERM):
        send_signal(supervisor, number)
    runs.kill(run, "worker")
    send_signal(supervisor, signal.SIGCONT)
    reason = runs.end(run).status.reason
    assert reason is not None and reason.sentence == "Killed by signal 9 (SIGKILL)."


def test_command_of_a_run_typed_by_hand_runs_it_in_the_foreground(runs: Runs) -> None:
    run = runs.make("count", "3")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PACKAGE.parent), runs.environment["PYTHONPATH"]))}
    done = subprocess.run(run.argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_status(run.folder).state == "finished"
    again = subprocess.run(run.argv, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "has finished" in again.stderr and "Traceback" not in again.stderr


def test_supervisor_imports_only_the_standard_library() -> None:
    code = (
        "import sys, codex.runs.supervisor; print([m for m in sys.modules if m.split('.')[0] not in {*sys.stdlib_module_names, 'codex'}])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(PACKAGE.parent)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("['__main__']", "")
