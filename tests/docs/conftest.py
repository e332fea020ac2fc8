"""A workspace as the pages speak of it: own recipes and data, one finished run, its steps and verdict in the log, a chat."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from codex.config.compose import compose
from codex.config.schema import EvaluationConfig
from codex.core.files import write_json_atomic
from codex.core.paths import Workspace
from codex.core.protocols import ItemScore
from codex.evaluation.verdict import Verdict, judge
from codex.runs.attempts import begin, conclude
from codex.runs.endings import FINISHED
from codex.runs.record import Run
from codex.runs.status import Ending
from codex.runs.store import RunStore
from codex.services.metrics import session_of
from codex.sessionlog import SessionLog
from tests.docs.markdown import blocks

STEPS = 60


def _verdict() -> Verdict:
    chance = random.Random(1)
    base = [ItemScore(chance.uniform(30, 50), 10, 2) for _ in range(24)]
    adapter = [ItemScore(each.loss_sum - 8, 10, 4) for each in base]
    return judge(
        base_scores=base,
        adapter_scores=adapter,
        base_shuffled=base,
        adapter_shuffled=adapter,
        groups=[f"module{number % 8}" for number in range(24)],
        noun="held-out functions",
        settings=EvaluationConfig.model_validate({"resamples": 200}),
        seed=1,
    )


def _finished_run(workspace: Workspace, verdict: Verdict) -> Run:
    composed = compose("qlora-docstrings", ["training.steps=60"], workspace=workspace, environ={})
    files = {"asked.yaml": composed.asked_yaml(), "resolved.yaml": composed.resolved_yaml()}
    run = RunStore(workspace).create("training", "QLoRA on docstrings", files)
    run.adapter.mkdir()
    write_json_atomic(run.report, {"run": run.id, "verdict": verdict.to_json()})
    attempt = begin(run.folder, supervised=False)
    with attempt.lock:
        conclude(run.folder, attempt.status, Ending("finished", FINISHED))
    return run


def _log(workspace: Workspace, run: Run, verdict: Verdict) -> None:
    with SessionLog.open(workspace) as log:
        with log.session("training", run.title, id=session_of(run), run_id=run.id) as session:
            for step in range(1, STEPS + 1):
                session.append("info", attributes={"split": "train", "attempt": 1, "tokens": 1000 * step}, step=step, loss=6.0 - step / 50)
            # Step 40 was replayed after a resume and came out differently.
            session.append("info", attributes={"split": "train", "attempt": 2, "tokens": 1000}, step=40, loss=5.0)
            session.append("assistant", verdict.sentence, attributes={"verdict": verdict.summary()})
        with log.session("chat", "Chat with r-0001") as chat:
            chat.append("user", "def add(a, b): return a + b")
            chat.append("assistant", "Add.", attributes={"side": "base"}, model="r-0001", latency_ms=500.0, tokens_out=3)
        log.session("agent", "Left open").append("user", "Who ends me?")


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace; its run is r-0001."""
    workspace = Workspace(tmp_path_factory.mktemp("docs") / "workspace").create()
    for block in blocks():
        if block.file:
            path = workspace.root / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    verdict = _verdict()
    _log(workspace, _finished_run(workspace, verdict), verdict)
    return workspace


@pytest.fixture
def here(described: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The same, as the workspace of whatever runs now, in an empty folder."""
    monkeypatch.setenv("CODEX_WORKSPACE", str(described.root))
    monkeypatch.chdir(tmp_path)
    return described
