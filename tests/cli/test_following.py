"""Commands that follow: which do so by themselves, each step once, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from codex.config.compose import compose
from codex.core.paths import PACKAGE, Workspace
from codex.runs.record import Run
from codex.runs.status import Reason
from codex.runs.store import RunStore
from codex.services import runs as services
from codex.sessionlog import SessionLog
from tests.cli.conftest import Cli, Made

DONE = Reason("finished", "Finished.")


@pytest.fixture
def done_at_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that have finished as soon as they are launched."""

    def launch(store: RunStore, run: Run, environment: Mapping[str, str] | None = None) -> None:
        made.steps(run, range(1, 3))
        made.tell(run, state="finished", reason=DONE, started=0.0, ended=90.0, step=2, total=2)

    monkeypatch.setattr(RunStore, "launch", launch)


def on_terminal(monkeypatch: pytest.MonkeyPatch, module: str, stdout: bool) -> None:
    """Let `module` take stdout for a terminal or a pipe; stderr is a pipe."""
    monkeypatch.setattr(f"codex.cli.{module}.is_terminal", lambda stream: stdout and stream is sys.stdout)


@pytest.mark.usefixtures("done_at_once")
@pytest.mark.parametrize(
    ("terminal", "option", "follows"),
    [(True, None, True), (False, None, False), (True, "--no-follow", False), (False, "--follow", True)],
)
def test_train_follows_on_a_terminal_or_when_asked(
    cli: Cli, tiny_folder: Path, chats: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, option: str | None, follows: bool
) -> None:
    on_terminal(monkeypatch, "train", terminal)
    asked = [f"model.source={tiny_folder}", f"data.source={chats}", "data.max_tokens=64", "evaluation.judge=false", "tracking.mlflow=false"]
    answer = cli("train", "recipe=lora-docstrings", *asked, *([option] if option else []))
    assert answer.code == 0
    assert "r-0001 started: " in answer.err
    if follows:
        assert "r-0001 finished after 1 min 30 s, step 2/2\n" in answer.out
        assert "Follow it" not in answer.err
    else:
        assert answer.out == "r-0001\n"
        assert "Follow it: `codex-ml runs follow r-0001`" in answer.err


@pytest.mark.usefixtures("done_at_once")
@pytest.mark.parametrize("terminal", [True, False])
def test_resume_follows_on_a_terminal(cli: Cli, made: Made, chats: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    on_terminal(monkeypatch, "runs", terminal)
    run = made.run(state="stopped", reason=Reason("stopped", "Stopped."))
    run.resolved.write_text(compose(overrides=[f"data.source={chats}"]).resolved_yaml())  # what it goes on with is looked at first
    answer = cli("runs", "resume", "1")
    assert answer.code == 0
    assert ("r-0001 finished after" in answer.out) == terminal
    assert (answer.out == "r-0001\n") == (not terminal)


def test_follow_as_json_has_each_step_of_a_living_run_once(cli: Cli, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "POLL_SECONDS", 0.01)
    run = made.running(step=0, total=40)

    def work() -> None:
        for first in range(1, 41, 5):
            made.steps(run, range(first, first + 5))
        made.tell(run, state="finished", reason=DONE, step=40, total=40)

    worker = threading.Thread(target=work)
    worker.start()
    answer = cli("runs", "follow", "1", "--json")
    worker.join()
    assert answer.code == 0
    assert [each["step"] for each in answer.records if each["event"] == "step"] == list(range(1, 41))
    assert [each["event"] for each in answer.records].count("ended") == 1
    assert (answer.records[-1]["event"], answer.records[-1]["state"]) == ("ended", "finished")


@pytest.mark.parametrize(("state", "kind", "code"), [("finished", "finished", 0), ("failed", "killed", 1), ("stopped", "stopped", 1)])
@pytest.mark.parametrize("as_json", [True, False])
def test_follow_ends_with_1_unless_the_run_finished(cli: Cli, made: Made, state: str, kind: Any, code: int, as_json: bool) -> None:
    made.run(state=state, reason=Reason(kind, "How it ended."))
    answer = cli("runs", "follow", "1", *(["--json"] if as_json else []))
    assert answer.code == code
    assert ("How it ended." in answer.out) == (as_json or code == 1)


def test_follow_left_by_ctrl_c_lets_the_run_go_on_and_says_how_to_come_back(cli: Cli, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(seconds: float) -> None:
        raise KeyboardInterrupt

    run = made.running()
    monkeypatch.setattr("codex.services.runs.time.sleep", leave)
    answer = cli("runs", "follow", "1")
    assert answer.code == 130
    assert "r-0001 goes on. Follow it: `codex-ml runs follow r-0001`; stop it: `codex-ml runs stop r-0001`." in answer.err
    assert made.store.view(run).active


@pytest.fixture
def tail(surroundings: Workspace) -> Iterator[subprocess.Popen[str]]:
    """`codex-ml logs tail --follow` in a process of its own."""
    command = [sys.executable, "-m", "codex.cli", "logs", "tail", "--follow", "--json", "-n", "1", "--workspace", str(surroundings.root)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with SessionLog.open(surroundings) as log, log.session("chat", "Before", id="before") as session:
        session.append("user", "old")
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        yield process
    process.kill()
    process.communicate()


def test_logs_tail_follow_shows_what_comes_and_ends_with_ctrl_c(tail: subprocess.Popen[str], surroundings: Workspace) -> None:
    assert tail.stdout is not None
    alarm = threading.Timer(60, tail.kill)
    alarm.start()
    try:
        assert json.loads(tail.stdout.readline())["content"] == "old"
        with SessionLog.open(surroundings) as log, log.session("chat", "New", id="new") as session:
            session.append("user", "one")
            session.append("assistant", "two")
        seen = [json.loads(tail.stdout.readline()) for _ in range(4)]
        assert [each["session"] for each in seen] == ["new"] * 4
        assert [each["content"] for each in seen[:3]] == ["New", "one", "two"]
        assert tail.poll() is None
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 130
        assert tail.stdout.read() == ""
    finally:
        alarm.cancel()
