"""The same from Python: `codex.train`, `codex.resume`, `codex.run`, and what their handle tells."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import codex
from codex.core.errors import RunError, UserError
from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.runs.status import Reason
from codex.runs.store import RunStore
from codex.services import runs as services
from codex.services.runs import Followed
from tests.cli.conftest import Made

BODY = """
import json

from codex.core.registry import register


@register("run")
def briefbody(context):
    if context.attempt == 1:
        raise ValueError("the first attempt breaks")
    context.progress(step=2, total=2)
    context.run.report.write_text(json.dumps({"attempt": context.attempt}))
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Runs in an empty workspace, looked at often."""
    monkeypatch.setattr(services, "POLL_SECONDS", 0.01)
    return Made(Workspace(tmp_path / "workspace"))


@pytest.fixture
def body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of run whose first attempt fails and whose second finishes, installed for workers as a plugin is."""
    information = tmp_path / "plugin" / "briefbody-1.0.dist-info"
    information.mkdir(parents=True)
    (tmp_path / "plugin" / "briefbody.py").write_text(BODY)
    (information / "entry_points.txt").write_text("[codex_ml.plugins]\nrun.briefbody = briefbody\n")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: briefbody\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugin"))
    return "briefbody"


def test_run_is_found_by_id_number_title_and_last_in_the_workspace_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.finished("First")
    made.finished("Second")
    root = made.workspace.root
    found = [codex.run(name, workspace=root).id for name in ("r-0001", "1", "First", "last")]
    assert found == ["r-0001", "r-0001", "r-0001", "r-0002"]
    assert codex.run(workspace=str(root)).id == "r-0002"
    monkeypatch.setenv("CODEX_WORKSPACE", str(root))
    assert codex.run("1").workspace == made.workspace
    assert [summary.run.id for summary in codex.runs()] == ["r-0002", "r-0001"]


def test_run_unknown_is_an_error_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="'r-0007' is unknown"):
        codex.run("r-0007", workspace=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_handle_of_a_finished_run_gives_report_metrics_folder_and_adapter(made: Made) -> None:
    run, looks = made.finished(), list[Followed]()
    handle = codex.run(run.id, workspace=made.workspace.root)
    report = handle.wait(looks.append)
    assert report["verdict"]["word"] == "Better"
    assert [point.step for look in looks for point in look.points] == [1, 2, 3]
    assert [point.step for point in handle.metrics(since=1)] == [2, 3]
    assert (handle.folder, handle.adapter) == (run.folder, run.adapter)
    assert handle.summary.status.state == "finished"


def test_handle_wait_looks_until_the_run_has_ended(made: Made) -> None:
    run, states = made.running(), list[str]()

    def on_look(look: Followed) -> None:
        states.append(look.summary.status.state)
        if len(states) == 3:
            run.report.write_text('{"run": "r-0001"}')
            made.tell(run, state="finished", reason=Reason("finished", "Finished."))

    assert codex.run("1", workspace=made.workspace.root).wait(on_look) == {"run": "r-0001"}
    assert states == ["running", "running", "running", "finished"]


@pytest.mark.parametrize(
    ("state", "kind", "sentence"),
    [("failed", "out of memory", "Out of memory (x)."), ("failed", "killed", "Killed by signal 9."), ("stopped", "stopped", "Stopped.")],
)
def test_handle_wait_for_a_run_that_did_not_finish_raises_with_the_reason(made: Made, state: str, kind: str, sentence: str) -> None:
    run = made.run(state=state, reason=Reason(kind, sentence))  # pyright: ignore[reportArgumentType]
    run.report.write_text('{"of": "an earlier attempt"}')
    with pytest.raises(RunError) as caught:
        codex.run("last", workspace=made.workspace.root).wait()
    (problem,) = caught.value.problems
    assert problem.what == f"run 'r-0001' is {state}: {sentence}"
    assert "codex-ml runs resume r-0001" in problem.fix


def test_handle_wait_for_a_finished_run_without_a_report_raises(made: Made) -> None:
    made.run(state="finished", reason=Reason("finished", "Finished."))
    with pytest.raises(RunError, match="expected it to finish"):
        codex.run("last", workspace=made.workspace.root).wait()


def test_handle_stop_of_a_run_that_does_not_run_is_an_error(made: Made) -> None:
    made.finished()
    with pytest.raises(RunError, match="does not run"):
        codex.run("last", workspace=made.workspace.root).stop()


def test_resume_starts_a_failed_run_again_and_its_handle_waits_for_the_end(made: Made, body: str) -> None:
    run = made.store.create(body, "Breaks once", {})
    made.store.launch(run)
    handle = codex.run("last", workspace=made.workspace.root)
    with pytest.raises(RunError, match=r"is failed: .*the first attempt breaks"):
        handle.wait()
    resumed = codex.resume("Breaks once", workspace=made.workspace.root)
    assert resumed == handle
    assert resumed.wait() == {"attempt": 2}
    assert resumed.summary.status.attempt == 2


def test_resume_of_a_finished_run_is_refused(made: Made) -> None:
    made.finished()
    with pytest.raises(RunError, match="'r-0001' is finished"):
        codex.resume("1", workspace=made.workspace.root)
    assert made.store.view(made.store.get("1")).status.attempt == 1


def test_train_refuses_everything_that_is_wrong_with_overrides_and_values_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        codex.train("lora-docstrings", "training.steps=-1", workspace=tmp_path / "none", training__batch_size=0)
    assert [problem.what.partition(" is ")[0] for problem in caught.value.problems] == ["`training.steps`", "`training.batch_size`"]
    assert not (tmp_path / "none").exists()


def test_train_starts_a_run_of_what_was_asked(made: Made, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []

    def launch(store: RunStore, run: Run, environment: Mapping[str, str] | None = None) -> None:
        launched.append(run.id)

    monkeypatch.setattr(RunStore, "launch", launch)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f'{{"prompt": "prompt {number}", "completion": "completion {number}"}}\n' for number in range(20)))
    handle = codex.train(
        "lora-docstrings",
        f"data.source={os.fspath(data)}",
        "training.steps=7",
        workspace=made.workspace.root,
        model__source=str(tiny_folder),
        data__max_tokens=64,
        evaluation__judge=False,
        title="Mine",
    )
    assert launched == [handle.id] == ["r-0001"]
    assert handle.workspace == made.workspace
    run = made.store.get(handle.id)
    asked = yaml.safe_load(run.resolved.read_text())
    assert (run.kind, run.title) == ("training", "Mine")
    assert (asked["training"]["steps"], asked["model"]["source"], asked["data"]["source"]) == (7, str(tiny_folder), str(data))
