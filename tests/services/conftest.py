"""Real small training runs: a tiny model, a handful of examples, a workspace of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.runs.store import RunStore
from codex.services import train

PATIENCE_SECONDS = 120.0

StartRun = Callable[..., Run]


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL file of 60 prompts with answers that follow from them."""
    path = tmp_path_factory.mktemp("data") / "sums.jsonl"
    rows = [{"prompt": f"Sum {a} and {b}: ", "completion": f"{a + b} is the sum."} for a in range(6) for b in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def start_run(workspace: Workspace, tiny_folder: Path, small_data: Path) -> StartRun:
    """Start a run of a few seconds; keyword arguments are fields with `__` for the dot."""

    def start(**fields: Any) -> Run:
        values: dict[str, Any] = {
            "model.source": str(tiny_folder),
            "model.device": "cpu",
            "data.source": str(small_data),
            "data.heldout_share": 0.3,
            "data.max_tokens": 64,
            "training.steps": 12,
            "training.batch_size": 4,
            "training.save_every": 3,
            "training.warmup_steps": 2,
            "evaluation.examples": 10,
            "evaluation.resamples": 200,
            "tracking.mlflow": False,
        }
        values |= {name.replace("__", "."): value for name, value in fields.items()}
        return train.start(train.plan("qlora-docstrings", workspace=workspace, values=values), workspace=workspace)

    return start


@pytest.fixture
def finish(workspace: Workspace) -> Callable[[Run], Any]:
    """Wait until a run has ended; gives how."""

    def wait(run: Run) -> Any:
        view = RunStore(workspace).wait(run, PATIENCE_SECONDS)
        assert not view.active, f"still {view.state} after {PATIENCE_SECONDS} s: {run.log.read_text()[-2000:]}"
        return view

    return wait
