"""The reactive notebook, driven as a person drives it: opened, started, looked at when the run has ended, talked to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import codex
from codex.core.paths import Workspace, shipped_notebooks
from codex.runs.status import Reason
from codex.services import configure
from tests.made import Made

NOTEBOOK = shipped_notebooks() / "quickstart.py"
STEPS = 6


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> list[str]:
    """What a run of a few seconds is asked for."""
    path = tmp_path_factory.mktemp("data") / "sums.jsonl"
    rows = [{"prompt": f"Sum {a} and {b}: ", "completion": f"{a + b} is the sum."} for a in range(6) for b in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "recipe=qlora-docstrings", f"model.source={tiny_folder}", "model.device=cpu", f"data.source={path}", "data.heldout_share=0.3",
        "data.max_tokens=64", f"training.steps={STEPS}", "training.batch_size=4", "training.warmup_steps=1", "training.evaluate_every=3",
        "evaluation.examples=10", "evaluation.resamples=200", "tracking.mlflow=false",
    ]  # fmt: skip


def show(quickstart: ModuleType, **given: Any) -> Mapping[str, Any]:
    """What the notebook holds when it is run with `given` in the place of what a person chose."""
    return quickstart.app.run(defs=given)[1]


@pytest.fixture(scope="session")
def first_run(quickstart: ModuleType, workspace: Workspace, small: list[str]) -> str:
    """The run that pressing the button started; it has ended."""
    held = show(quickstart, workspace=workspace, overrides=small, pressed=True)
    assert held["started"] == "r-0001"
    codex.run("r-0001", workspace=workspace.root).wait()
    return held["started"]


def test_notebook_keeps_marimos_rules() -> None:
    answer = subprocess.run([sys.executable, "-m", "marimo", "check", "--strict", NOTEBOOK], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_opened_in_an_empty_workspace_it_shows_what_would_run_and_makes_nothing(quickstart: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none")
    held = show(quickstart, workspace=workspace)
    assert held["overrides"] == ["recipe=qlora-docstrings"]
    assert "steps: 200" in held["composed"].resolved_yaml()
    assert (len(held["changes"]), held["problems"], held["started"], held["look"]) == (0, (), None, None)
    assert held["rows"].columns == ["kind", "role", "events", "last_step", "lowest_loss"]
    assert not workspace.root.exists()


def test_what_differs_and_what_is_wrong_are_seen_before_the_start(quickstart: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none")
    held = show(quickstart, workspace=workspace, overrides=["recipe=qlora-docstrings", "training.steps=7", "method.rank=8"])
    assert held["changes"].rows() == [("method.rank", "16", "8"), ("training.steps", "200", "7")]
    held = show(quickstart, workspace=workspace, overrides=["recipe=qlora-docstrings", "training.steps=0"])
    assert [problem.what for problem in held["problems"]] == ["`training.steps` is 0"]
    assert held["composed"] is None


def test_data_of_their_own_chooses_the_recipe_for_it(quickstart: ModuleType, tmp_path: Path) -> None:
    offered = quickstart.usable_recipes("", Workspace(tmp_path))
    assert {"qlora-docstrings", "lora-docstrings"} <= offered.keys()
    assert "qlora-chat" not in offered
    assert "qlora-chat" in quickstart.usable_recipes("chats.jsonl", Workspace(tmp_path))


def test_button_starts_a_run_whose_curve_and_verdict_are_shown_when_it_has_ended(
    quickstart: ModuleType, workspace: Workspace, small: list[str], first_run: str
) -> None:
    held = show(quickstart, workspace=workspace, overrides=small)
    assert (held["started"], held["run_id"]) == (None, first_run)
    assert held["look"].status.state == "finished"
    assert [(point.step, point.split) for point in held["points"] if point.split == "heldout"] == [(3, "heldout"), (6, "heldout")]
    traces = {trace.name: (list(trace.x), list(trace.y)) for trace in held["curve"].data}
    assert list(traces) == ["training, each step", "training", "held-out"]
    assert traces["training"][0] == traces["training, each step"][0] == list(range(1, STEPS + 1))
    assert traces["held-out"][0] == [3, 6]
    assert traces["training, each step"][1][0] == traces["training"][1][0]
    assert held["verdict"]["sentence"] == held["look"].verdict
    assert held["verdict"]["sentence"].startswith(("Better: answer loss", "Worse: answer loss", "No difference shown: "))
    assert held["verdict_table"]["metric"].to_list() == ["Answer loss", "Exact match", "Token accuracy"]
    assert held["rows"]["last_step"].max() == STEPS
    assert "PeftModel" in quickstart.judgement(held["look"], held["verdict"], held["verdict_table"]).text


@pytest.fixture
def second_run(workspace: Workspace, small: list[str], first_run: str) -> Iterator[str]:
    """A run of another rank that a person stopped after three steps; made by hand, and gone after the test."""
    made = Made(workspace)
    composed = configure.compose([*small, "method.rank=4"], workspace=workspace)
    run = made.store.create("training", "Rank 4", {"asked.yaml": composed.asked_yaml(), "resolved.yaml": composed.resolved_yaml()})
    made.tell(run, state="stopped", reason=Reason("stopped", "Stopped by a person."), started=1.0, ended=2.0, step=3, total=STEPS)
    made.steps(run, range(1, 4))
    yield run.id
    made.store.delete(run)


def test_two_runs_are_drawn_over_each_other_with_only_what_differs(
    quickstart: ModuleType, workspace: Workspace, small: list[str], first_run: str, second_run: str
) -> None:
    held = show(quickstart, workspace=workspace, overrides=small)
    assert held["pair"] == [second_run, first_run]
    assert [(trace.name, list(trace.x)) for trace in held["comparison"].data] == [
        (f"{second_run} training", [1, 2, 3]),
        (f"{first_run} training", list(range(1, STEPS + 1))),
        (f"{first_run} held-out", [3, 6]),
    ]
    assert held["difference"].rows() == [("method.rank", "4", "16")]
    words = quickstart.judgement(held["look"], held["verdict"], held["verdict_table"]).text
    assert "Stopped by a person." in words
    assert f"codex-ml runs resume {second_run}" in words


def test_base_and_adapter_answer_one_prompt_and_the_log_keeps_it(quickstart: ModuleType, workspace: Workspace, first_run: str) -> None:
    held = show(quickstart, workspace=workspace, run_id=first_run, question="Sum 1 and 2: ")
    assert list(held["answers"]) == ["base", "adapter"]
    kinds = held["rows"].filter(held["rows"]["kind"] == "chat")
    assert dict(kinds.select("role", "events").rows()).items() >= {"user": 1, "assistant": 2}.items()


def test_model_output_and_wrong_queries_are_text(quickstart: ModuleType, workspace: Workspace) -> None:
    assert "<script>" not in quickstart.side_by_side({"base": "<script>alert(1)</script>"}).text
    rows, problems = quickstart.asked("drop table events", workspace)
    assert (len(rows), len(problems)) == (0, 1)


def test_refused_start_says_why_and_makes_no_run(quickstart: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none")
    held = show(quickstart, workspace=workspace, overrides=["recipe=qlora-chat", "data.source=nowhere.jsonl"], pressed=True)
    assert held["started"] is None
    assert "nowhere.jsonl" in str(held["refusals"][0])
    assert not workspace.root.exists()
