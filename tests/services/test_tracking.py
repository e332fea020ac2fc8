"""MLflow beside a run: batches, what it is told once, and two who come first at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codex.config.compose import compose
from codex.config.schema import RunConfig
from codex.core.errors import MissingExtra
from codex.core.paths import PACKAGE, Workspace
from codex.services import tracking
from codex.services.tracking import LONGEST_PARAMETER, MlflowTracker, newest_experiment

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# MLflow's own tables are declared in a way that SQLAlchemy has since deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy is deprecated:DeprecationWarning")

# One import of MLflow, then two processes that are let go at the same moment.
TWO_AT_ONCE = """
import os, sys, time
from pathlib import Path
from mlflow.tracking import MlflowClient
from codex.config.compose import compose
from codex.core.paths import Workspace
from codex.services.tracking import MlflowTracker

workspace = Workspace(Path(sys.argv[1])).create()
config = compose("lora-docstrings", environ={}).config
ready, go = os.pipe()
children = []
for number in (1, 2):
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(ready, 1)
        code = 1
        try:
            tracker = MlflowTracker(workspace, config, f"run {number}")
            tracker.log(1, {"loss": float(number)})
            tracker.end("FINISHED")
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    children.append(pid)
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return compose("lora-docstrings", environ={}).config


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, subprocess.CompletedProcess[str]]:
    """A fresh workspace in which two trackers began at once, and how that ended."""
    workspace = Workspace(tmp_path_factory.mktemp("two"))
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-W", "ignore", "-c", TWO_AT_ONCE, str(workspace.root)]
    return workspace, subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def workspace(two: tuple[Workspace, object]) -> Workspace:
    """A workspace whose database has its tables."""
    return two[0]


def test_newest_experiment_is_that_of_the_newest_run_and_none_where_none_is_tracked(
    two: tuple[Workspace, object], config: RunConfig, tmp_path: Path
) -> None:
    workspace = two[0]
    found = client(workspace).get_experiment_by_name(config.tracking.experiment)
    assert found is not None
    assert newest_experiment(workspace) == found.experiment_id
    other = config.model_copy(update={"tracking": config.tracking.model_copy(update={"experiment": "another"})})
    MlflowTracker(workspace, other, "Later").end("FINISHED")
    later = client(workspace).get_experiment_by_name("another")
    assert later is not None
    assert newest_experiment(workspace) == later.experiment_id != found.experiment_id
    empty = Workspace(tmp_path / "empty").create()
    assert newest_experiment(empty) is None
    empty.mlflow_db.write_text("no database, and longer than the header of one would be" * 4)
    assert newest_experiment(empty) is None


def client(workspace: Workspace) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{workspace.mlflow_db}")


def losses(workspace: Workspace, run_id: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in client(workspace).get_metric_history(run_id, "loss")]


def test_tracker_two_first_ones_at_once_both_work(two: tuple[Workspace, subprocess.CompletedProcess[str]]) -> None:
    workspace, ended = two
    assert ended.returncode == 0, ended.stderr
    (experiment,) = [each for each in client(workspace).search_experiments() if each.name == "codex"]
    found = client(workspace).search_runs([experiment.experiment_id])
    assert sorted((run.info.run_name, run.info.status, run.data.metrics["loss"]) for run in found) == [
        ("run 1", "FINISHED", 1.0),
        ("run 2", "FINISHED", 2.0),
    ]
    assert Path(experiment.artifact_location.removeprefix("file://")).is_relative_to(workspace.root)


def test_tracker_metrics_wait_for_one_batch_until_the_end(workspace: Workspace, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "FLUSH_SECONDS", 1e9)
    tracker = MlflowTracker(workspace, config, "Waits")
    tracker.log(1, {"loss": 3.0})
    tracker.log(2, {"loss": 2.0})
    assert losses(workspace, tracker.run_id) == []
    tracker.end("KILLED")
    assert losses(workspace, tracker.run_id) == [(1, 3.0), (2, 2.0)]
    assert client(workspace).get_run(tracker.run_id).info.status == "KILLED"


@pytest.mark.parametrize(("name", "value"), [("FLUSH_SECONDS", 0.0), ("FLUSH_METRICS", 2)])
def test_tracker_writes_a_batch_after_a_while_or_when_it_is_large(
    workspace: Workspace, config: RunConfig, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.setattr(tracking, "FLUSH_SECONDS", 1e9)
    monkeypatch.setattr(tracking, name, value)
    tracker = MlflowTracker(workspace, config, "Writes")
    tracker.log(1, {"loss": 3.0, "tokens": 5.0})
    assert losses(workspace, tracker.run_id) == [(1, 3.0)]
    tracker.end("FINISHED")
    assert losses(workspace, tracker.run_id) == [(1, 3.0)]


def test_tracker_continued_knows_the_last_step_and_runs_again(workspace: Workspace, config: RunConfig) -> None:
    first = MlflowTracker(workspace, config, "Continued")
    first.log(7, {"loss": 3.0})
    first.end("FAILED")
    again = MlflowTracker(workspace, config, "Continued", first.run_id)
    assert (again.run_id, again.last_step) == (first.run_id, 7)
    assert client(workspace).get_run(first.run_id).info.status == "RUNNING"
    again.end("FINISHED")


def test_tracker_parameters_are_flat_without_what_is_empty_and_no_longer_than_mlflow_takes(workspace: Workspace, config: RunConfig) -> None:
    long = config.model_copy(update={"recipe": "x" * (LONGEST_PARAMETER + 1000), "title": ""})
    found = client(workspace).get_run(MlflowTracker(workspace, long, "Long").run_id).data.params
    assert found["recipe"] == "x" * LONGEST_PARAMETER
    assert found["training.batch_size"] == str(config.training.batch_size)
    assert found["evaluation.judge"] == "True"
    assert not {"title", "data.heldout", "training"} & found.keys()


def test_tracker_experiment_has_its_name_from_the_configuration(workspace: Workspace, config: RunConfig) -> None:
    named = config.model_copy(update={"tracking": config.tracking.model_copy(update={"experiment": "mine"})})
    ids = {MlflowTracker(workspace, named, f"Named {number}").run_id for number in (1, 2)}
    experiment = client(workspace).get_experiment_by_name("mine")
    assert experiment is not None
    assert {run.info.run_id for run in client(workspace).search_runs([experiment.experiment_id])} == ids


def test_tracker_without_mlflow_names_the_extra(workspace: Workspace, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match=r"codex-ml\[tracking\]"):
        MlflowTracker(workspace, config, "None")
