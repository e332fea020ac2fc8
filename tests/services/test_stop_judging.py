"""A run that is stopped while it is judged, by a real worker: what it leaves, and that it can go on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from codex.core.paths import Workspace
from codex.runs.context import Heart, RunContext, StopFlag
from codex.runs.record import Run
from codex.runs.status import Status
from codex.runs.store import RunStore
from codex.services import train
from codex.services.workers import training
from codex.training.engine import TrainingResult


def _wait_until_judged(run: Run, workspace: Workspace) -> None:
    store, deadline = RunStore(workspace), time.monotonic() + 240
    while not (view := store.view(run)).status.note.startswith("judging"):
        assert view.active and time.monotonic() < deadline, view
        time.sleep(0.01)


def test_stop_while_judging_keeps_the_adapter_and_a_resume_goes_on_also_from_a_damaged_status(
    start_run: Any, workspace: Workspace, tmp_path: Path
) -> None:
    rows = [{"prompt": f"{number}. Count: ", "completion": f"{number + 1} is next, {number + 2} after it."} for number in range(700)]
    heldout = tmp_path / "many.jsonl"
    heldout.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = start_run(training__steps=2, data__heldout=str(heldout), evaluation__examples=700, evaluation__batch_size=1)
    _wait_until_judged(run, workspace)
    view = RunStore(workspace).stop(run, 60)
    assert view.state == "stopped" and view.status.reason is not None
    assert view.status.reason.sentence == f"Stopped when asked. {training.UNJUDGED} Resume goes on from checkpoint-2."
    assert (run.adapter / "adapter_model.safetensors").is_file() and not run.report.exists()
    cost, loss = json.loads((run.folder / training.COST).read_text()), view.status.numbers["loss"]
    assert cost["tokens_last_attempt"] > 0

    (run.folder / "status.json").write_text("{")
    assert RunStore(workspace).view(run).state == "unreadable"
    _, checkpoint = train.resume(run.id, workspace=workspace)
    assert checkpoint is not None and checkpoint.name == "checkpoint-2"
    _wait_until_judged(run, workspace)
    assert RunStore(workspace).view(run).status.numbers["loss"] == loss
    assert json.loads((run.folder / training.COST).read_text()) == cost
    RunStore(workspace).stop(run, 60, force=True)


def test_attempt_that_only_judged_keeps_what_training_cost(workspace: Workspace) -> None:
    run, stop = RunStore(workspace).create("training", "Judged again", {}), StopFlag()
    context = RunContext(run, 2, Heart(run.folder, Status("running", 2), stop), stop)
    only_judged = TrainingResult(step=2, stopped=False, cpu_seconds=0.1, tokens=0)
    training._keep_cost(context, only_judged)
    assert training._cost(context) == (None, None)  # not 0: nobody knows any more
    before = {"cpu_seconds_last_attempt": 3.3, "tokens_last_attempt": 890}
    run.report.write_text(json.dumps({"training": {"steps": 2, **before}}))  # of a Codex that kept it nowhere else
    assert training._cost(context) == (3.3, 890)
    for damaged in ('{"training": []}', '{"training": {"tokens_last_attempt": 9}}', "[" * 100_000):
        run.report.write_text(damaged)
        assert training._cost(context) == (None, None)
    training._keep_cost(context, TrainingResult(4, False, 5.04, 700))
    training._keep_cost(context, only_judged)
    assert training._cost(context) == (5.0, 700)
