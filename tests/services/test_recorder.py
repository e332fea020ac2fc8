"""What a recorder leaves in the session log and in a real MLflow database, in one attempt and in several."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codex.config.compose import compose
from codex.config.schema import RunConfig
from codex.core.events import Event
from codex.core.paths import Workspace
from codex.evaluation.verdict import Verdict
from codex.runs.context import Heart, RunContext, StopFlag, StopRequested
from codex.runs.record import Run
from codex.runs.status import Status, read_status
from codex.runs.store import RunStore
from codex.services.metrics import Point, series, session_of
from codex.services.recorder import Recorder
from codex.sessionlog import SessionLog
from codex.training.engine import StepMetrics

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

# MLflow's own tables are declared in a way that SQLAlchemy has since deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def config() -> RunConfig:
    """A configuration that is tracked."""
    return compose("lora-docstrings", ["training.steps=4"], environ={}).config


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, which take a while to make."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def workspace(tmp_path: Path, database: Path) -> Workspace:
    """A workspace in which somebody tracked before."""
    made = Workspace(tmp_path / "workspace").create()
    shutil.copy(database, made.mlflow_db)
    return made


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """A run that is recorded."""
    return RunStore(workspace).create("training", "Recorded", {"resolved.yaml": "recipe: lora-docstrings\n"})


def context(run: Run, attempt: int = 1, *, stopping: bool = False) -> RunContext:
    """What a worker is given, without its heartbeat."""
    stop = StopFlag()
    stop.raised = stopping
    return RunContext(run, attempt, Heart(run.folder, Status("running", attempt), stop), stop)


def step(number: int, loss: float | None = None, heldout: float | None = None) -> StepMetrics:
    """A logged step; its loss is 6 minus its number, unless told."""
    loss = 6.0 - number if loss is None and heldout is None else loss
    return StepMetrics(number, loss, heldout, 2e-4, 0.5, tokens=100 * number, cpu_seconds=float(number))


def record(run: Run, config: RunConfig, steps: list[StepMetrics], attempt: int = 1) -> Recorder:
    """One attempt that records these steps and ends well."""
    with Recorder(context(run, attempt), config) as recorder:
        for each in steps:
            recorder.on_metrics(each)
    return recorder


def points(run: Run, workspace: Workspace) -> list[Point]:
    return series(SessionLog.open(workspace), session_of(run))


def step_events(run: Run, workspace: Workspace) -> list[tuple[int | None, float | None, int]]:
    """(step, loss, attempt) of each time that a step was written, in that order."""
    events = SessionLog.open(workspace).events(session_of(run))
    return [(event.step, event.loss, event.attributes["attempt"]) for event in events if "split" in event.attributes]


def client(workspace: Workspace) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{workspace.mlflow_db}")


def kept_id(run: Run) -> str:
    return (run.folder / "mlflow_run").read_text()


def tracked(run: Run, workspace: Workspace) -> MlflowRun:
    return client(workspace).get_run(kept_id(run))


def history(run: Run, workspace: Workspace, name: str = "loss") -> list[tuple[int, float]]:
    return sorted((each.step, each.value) for each in client(workspace).get_metric_history(kept_id(run), name))


def change(workspace: Workspace, *statements: str) -> None:
    """Change MLflow's database behind its back."""
    with sqlite3.connect(workspace.mlflow_db) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def lost_after(workspace: Workspace, last: int) -> None:
    """Make MLflow forget what came after a step, as when a worker is killed before it has flushed."""
    change(workspace, f"delete from metrics where step > {last}", f"delete from latest_metrics where step > {last}")


def last_event(run: Run, workspace: Workspace) -> Event:
    return SessionLog.open(workspace).events(session_of(run))[-1]


def test_recorder_step_replayed_the_same_is_not_written_again(run: Run, workspace: Workspace, config: RunConfig) -> None:
    record(run, config, [step(1), step(2), step(3)])
    record(run, config, [step(2), step(3), step(4)], attempt=2)
    assert step_events(run, workspace) == [(1, 5.0, 1), (2, 4.0, 1), (3, 3.0, 1), (4, 2.0, 2)]


def test_recorder_step_replayed_differently_is_written_again_and_counts(run: Run, workspace: Workspace, config: RunConfig) -> None:
    record(run, config, [step(1), step(2), step(3)])
    record(run, config, [step(2, loss=1.5), step(3)], attempt=2)
    assert step_events(run, workspace) == [(1, 5.0, 1), (2, 4.0, 1), (3, 3.0, 1), (2, 1.5, 2)]
    assert [(point.step, point.loss) for point in points(run, workspace)] == [(1, 5.0), (2, 1.5), (3, 3.0)]


def test_recorder_third_attempt_compares_with_the_last_that_was_written(run: Run, workspace: Workspace, config: RunConfig) -> None:
    record(run, config, [step(1)])
    record(run, config, [step(1, loss=1.5)], attempt=2)
    record(run, config, [step(1, loss=1.5)], attempt=3)
    assert step_events(run, workspace) == [(1, 5.0, 1), (1, 1.5, 2)]


def test_recorder_held_out_loss_stands_beside_the_training_loss_of_its_step(run: Run, workspace: Workspace, config: RunConfig) -> None:
    heart = Heart(run.folder, Status("running", 1), StopFlag())
    with Recorder(RunContext(run, 1, heart, StopFlag()), config) as recorder:
        for each in (step(1), step(2), step(2, heldout=4.5)):
            recorder.on_metrics(each)
    assert [(point.step, point.split, point.loss) for point in points(run, workspace)] == [
        (1, "train", 5.0),
        (2, "heldout", 4.5),
        (2, "train", 4.0),
    ]
    assert (history(run, workspace), history(run, workspace, "heldout_loss")) == ([(1, 5.0), (2, 4.0)], [(2, 4.5)])
    assert recorder.last_loss == 4.0
    heart.beat()
    assert read_status(run.folder).numbers.items() >= {"loss": 4.0, "heldout_loss": 4.5}.items()


def test_recorder_loss_that_is_not_finite_is_logged_as_none(run: Run, workspace: Workspace, config: RunConfig) -> None:
    untracked = config.model_copy(update={"tracking": config.tracking.model_copy(update={"mlflow": False})})
    record(run, untracked, [step(1, loss=math.nan)])
    assert [(point.step, point.loss) for point in points(run, workspace)] == [(1, None)]


def test_recorder_without_tracking_makes_no_mlflow_run(run: Run, workspace: Workspace, config: RunConfig) -> None:
    untracked = config.model_copy(update={"tracking": config.tracking.model_copy(update={"mlflow": False})})
    recorder = record(run, untracked, [step(1)])
    assert (recorder.tracker, recorder.tracking_problem) == (None, None)
    assert not (run.folder / "mlflow_run").exists()


def test_recorder_resumed_mlflow_has_each_step_once(run: Run, workspace: Workspace, config: RunConfig) -> None:
    record(run, config, [step(1), step(2), step(3)])
    before = kept_id(run)
    record(run, config, [step(2), step(3), step(4)], attempt=2)
    assert kept_id(run) == before
    assert history(run, workspace) == [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0)]


def test_recorder_resumed_makes_up_the_steps_that_mlflow_lost(run: Run, workspace: Workspace, config: RunConfig) -> None:
    record(run, config, [step(1), step(2), step(3)])
    lost_after(workspace, 1)
    assert history(run, workspace) == [(1, 5.0)]
    record(run, config, [step(3), step(4)], attempt=2)
    assert history(run, workspace) == [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0)]
    assert history(run, workspace, "tokens") == [(1, 100.0), (2, 200.0), (3, 300.0), (4, 400.0)]


def test_recorder_verdict_is_in_the_log_and_in_mlflow(run: Run, workspace: Workspace, config: RunConfig) -> None:
    from tests.cli.conftest import Made

    verdict = Verdict.from_json(Made.verdict())
    with Recorder(context(run), config) as recorder:
        recorder.verdict(verdict)
    (event,) = [event for event in SessionLog.open(workspace).events(session_of(run)) if event.role == "assistant"]
    assert event.content == verdict.sentence
    assert event.run_id == run.id
    assert event.attributes["verdict"]["word"] == verdict.word
    assert "rows" not in event.attributes["verdict"]
    numbers = verdict.numbers()
    assert numbers.keys() >= {"verdict/answer-loss/difference", "verdict/items"}
    assert tracked(run, workspace).data.metrics.items() >= numbers.items()
    assert history(run, workspace, "verdict/items") == [(4, 30.0)]


def test_recorder_verdict_survives_the_next_instant(run: Run, workspace: Workspace, config: RunConfig, tmp_path: Path) -> None:
    """What is on the disk when `verdict` returns already holds it, synced: a copy made at that moment has it."""
    import os

    from tests.cli.conftest import Made

    verdict, synced = Verdict.from_json(Made.verdict()), list[int]()
    real = os.fdatasync
    with pytest.MonkeyPatch.context() as patched, Recorder(context(run), config) as recorder:
        patched.setattr(os, "fdatasync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
        patched.setattr(os, "fsync", lambda descriptor, sync=os.fsync: (synced.append(descriptor), sync(descriptor)))
        recorder.verdict(verdict)
        assert synced
        shutil.copytree(workspace.log, tmp_path / "copy" / "log")
    events = SessionLog.open(Workspace(tmp_path / "copy")).events(session_of(run))
    assert (events[-1].role, events[-1].content) == ("assistant", verdict.sentence)


def test_recorder_parameters_and_system_metrics_are_in_mlflow(run: Run, workspace: Workspace, config: RunConfig) -> None:
    record(run, config, [step(1), step(2)])
    data = tracked(run, workspace).data
    assert data.params["training.steps"] == "4"
    assert data.params["method.name"] == "lora"
    assert data.params["seed"] == str(config.seed)
    assert 0 < data.metrics["memory_gib"] < 1000
    assert data.metrics["learning_rate"] == 2e-4
    assert data.metrics["grad_norm"] == 0.5
    assert data.metrics["tokens_per_s"] > 0
    assert points(run, workspace)[0].numbers["memory_gib"] > 0


def test_recorder_without_system_metrics_measures_no_memory(run: Run, workspace: Workspace, config: RunConfig) -> None:
    tracking = config.tracking.model_copy(update={"system_metrics": False})
    record(run, config.model_copy(update={"tracking": tracking}), [step(1)])
    assert "memory_gib" not in tracked(run, workspace).data.metrics
    assert "memory_gib" not in points(run, workspace)[0].numbers


@pytest.mark.parametrize(
    ("error", "stopping", "status", "outcome"),
    [
        (None, False, "FINISHED", "finished"),
        (None, True, "FINISHED", "finished"),
        (StopRequested("asked"), True, "KILLED", "stopped"),
        (RuntimeError("it broke"), False, "FAILED", "failed"),
        (RuntimeError("it broke"), True, "FAILED", "failed"),
    ],
)
def test_recorder_ending_is_in_mlflow_and_in_the_log(
    run: Run, workspace: Workspace, config: RunConfig, error: Exception | None, stopping: bool, status: str, outcome: str
) -> None:
    caught = None
    try:
        with Recorder(context(run, stopping=stopping), config) as recorder:
            assert recorder.stop_requested() == stopping
            recorder.on_metrics(step(1))
            assert tracked(run, workspace).info.status == "RUNNING"
            if error is not None:
                raise error
    except (RuntimeError, StopRequested) as raised:
        caught = raised
    assert caught is error
    assert tracked(run, workspace).info.status == status
    assert history(run, workspace) == [(1, 5.0)]
    assert last_event(run, workspace).attributes["outcome"] == outcome


def test_attempt_that_trains_nothing_more_knows_the_last_loss(run: Run, config: RunConfig) -> None:
    assert record(run, config, []).last_loss is None
    record(run, config, [step(1), step(2), step(2, heldout=3.5)], 2)
    assert record(run, config, [], 3).last_loss == 4.0


def test_recorder_resumed_after_a_failure_is_running_again_and_finishes(run: Run, workspace: Workspace, config: RunConfig) -> None:
    with pytest.raises(RuntimeError), Recorder(context(run), config) as recorder:
        recorder.on_metrics(step(1))
        raise RuntimeError("it broke")
    with Recorder(context(run, 2), config):
        assert tracked(run, workspace).info.status == "RUNNING"
    assert tracked(run, workspace).info.status == "FINISHED"


def breaks_file(workspace: Workspace, run: Run) -> None:
    workspace.mlflow_db.write_bytes(b"this is no database" * 100)


def deletes_file(workspace: Workspace, run: Run) -> None:
    workspace.mlflow_db.unlink()


def deletes_run(workspace: Workspace, run: Run) -> None:
    client(workspace).delete_run(kept_id(run))


def purges_run(workspace: Workspace, run: Run) -> None:
    tables = ("metrics", "latest_metrics", "params", "tags", "runs")
    change(workspace, *(f"delete from {table} where run_uuid = '{kept_id(run)}'" for table in tables))


def drops_table(workspace: Workspace, run: Run) -> None:
    change(workspace, "drop table metrics")


def all_are_there(run: Run, workspace: Workspace, recorder: Recorder) -> bool:
    """Whether MLflow has a living run with everything, whichever run that is."""
    return (
        recorder.tracking_problem is None
        and tracked(run, workspace).info.lifecycle_stage == "active"
        and history(run, workspace) == [(1, 5.0), (2, 4.0)]
    )


@pytest.mark.parametrize("harm", [breaks_file, deletes_file, deletes_run, purges_run, drops_table])
def test_recorder_resumed_on_a_harmed_database_goes_on_and_says_so(run: Run, workspace: Workspace, config: RunConfig, harm: Any) -> None:
    record(run, config, [step(1)])
    harm(workspace, run)
    recorder = record(run, config, [step(2)], attempt=2)
    assert [(point.step, point.loss) for point in points(run, workspace)] == [(1, 5.0), (2, 4.0)]
    assert last_event(run, workspace).attributes["outcome"] == "finished"
    if recorder.tracking_problem is None:
        assert all_are_there(run, workspace, recorder)
    else:
        said = [event.content for event in SessionLog.open(workspace).events(session_of(run)) if event.role == "warning"]
        assert said == [recorder.tracking_problem]
        assert "MLflow" in said[0]


@pytest.mark.parametrize("harm", [breaks_file, deletes_run, purges_run, drops_table])
def test_recorder_database_harmed_during_a_run_goes_on_and_says_so(run: Run, workspace: Workspace, config: RunConfig, harm: Any) -> None:
    with Recorder(context(run), config) as recorder:
        recorder.on_metrics(step(1))
        harm(workspace, run)
        recorder.on_metrics(step(2))
    assert [(point.step, point.loss) for point in points(run, workspace)] == [(1, 5.0), (2, 4.0)]
    assert last_event(run, workspace).attributes["outcome"] == "finished"
    assert recorder.tracking_problem is not None
    assert "MLflow" in recorder.tracking_problem


def test_recorder_database_broken_from_the_start_goes_on_and_says_so(run: Run, workspace: Workspace, config: RunConfig) -> None:
    breaks_file(workspace, run)
    recorder = record(run, config, [step(1)])
    assert recorder.tracking_problem is not None
    assert recorder.tracker is None
    assert [point.step for point in points(run, workspace)] == [1]


def test_recorder_failing_run_on_a_broken_database_fails_of_its_own_fault(run: Run, workspace: Workspace, config: RunConfig) -> None:
    with pytest.raises(RuntimeError, match="it broke"), Recorder(context(run), config):
        breaks_file(workspace, run)
        raise RuntimeError("it broke")
    assert last_event(run, workspace).attributes["outcome"] == "failed"
