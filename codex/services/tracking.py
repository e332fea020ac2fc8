"""MLflow as a second place for a run's parameters and metrics, on the workspace's own SQLite file; never the reason that a run ends."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from codex.config.schema import RunConfig
from codex.core.lazy import require
from codex.core.paths import Workspace

FLUSH_SECONDS = 2.0
FLUSH_METRICS = 400
LONGEST_PARAMETER = 6000


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        parts = (_flat(inner, f"{prefix}.{key}" if prefix else str(key)) for key, inner in value.items())
        return {key: text for part in parts for key, text in part.items()}
    return {prefix: str(value)[:LONGEST_PARAMETER]}


@contextmanager
def one_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Two first runs of a workspace would both make MLflow's tables, and one would fail."""
    with open(workspace.root / ".mlflow.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def newest_experiment(workspace: Workspace) -> str | None:
    """MLflow's id of the experiment that the newest tracked run is in; None where none is tracked. It asks the database, for MLflow takes
    seconds to import."""
    if not workspace.mlflow_db.exists():
        return None
    address = f"{workspace.mlflow_db.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=1.0)) as database:
            found = database.execute("select experiment_id from runs order by start_time desc limit 1").fetchone()
    except sqlite3.Error:  # its tables are not there yet, or of another MLflow: then its first page is as good
        return None
    return None if found is None else str(found[0])


class MlflowTracker:
    """One MLflow run beside one of ours.

    Metrics wait in a buffer that is written as one batch, for a single synchronous write can take longer than a step.

    Args:
        workspace: holds the database.
        config: gives experiment and parameters.
        title: the run's name in MLflow.
        mlflow_run: continue this MLflow run, after a resume.
    """

    def __init__(self, workspace: Workspace, config: RunConfig, title: str, mlflow_run: str | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        require("mlflow", extra="tracking", purpose="MLflow tracking (`tracking.mlflow=true`)")
        from mlflow.tracking import MlflowClient

        with one_at_a_time(workspace):
            self._client = MlflowClient(tracking_uri=f"sqlite:///{workspace.mlflow_db}")
            self._client.search_experiments(max_results=1)  # makes the tables, if nobody has
        self._pending: list[Any] = []
        self._flushed = time.monotonic()
        self.last_step = 0
        if mlflow_run is not None:
            self.run_id = mlflow_run
            history = self._client.get_metric_history(mlflow_run, "loss")
            self.last_step = max((metric.step for metric in history), default=0)
            self._client.update_run(self.run_id, status="RUNNING")
            return
        with one_at_a_time(workspace):
            experiment = self._experiment(config.tracking.experiment, (workspace.root / "mlartifacts").as_uri())
        self.run_id = self._client.create_run(experiment, run_name=title).info.run_id
        self._log_parameters(config)

    def _experiment(self, name: str, artifacts: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found else self._client.create_experiment(name, artifact_location=artifacts)

    def _log_parameters(self, config: RunConfig) -> None:
        from mlflow.entities import Param

        parameters = [Param(key, text) for key, text in _flat(config.model_dump(mode="json")).items() if text not in ("None", "")]
        self._client.log_batch(self.run_id, params=parameters)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Keep the metrics of one step; written with the next batch."""
        from mlflow.entities import Metric

        stamp = int(time.time() * 1000)
        self._pending += [Metric(key, value, stamp, step) for key, value in metrics.items()]
        if len(self._pending) >= FLUSH_METRICS or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._pending:
            self._client.log_batch(self.run_id, metrics=self._pending)
            self._pending = []
        self._flushed = time.monotonic()

    def end(self, status: str) -> None:
        """Write what waits and close the MLflow run; `status` is FINISHED, KILLED or FAILED."""
        self.flush()
        self._client.set_terminated(self.run_id, status=status)
