"""A damaged checkpoint is named before anything is started, with the way out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from codex.core.errors import RunError
from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.services import train
from codex.services.resuming import check_newest_checkpoint
from codex.services.workers.training import training
from tests.made import Made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A stopped run with checkpoints of steps 3 and 6."""
    run = Made(Workspace(tmp_path / "workspace")).run("Stopped", state="stopped")
    for step in (3, 6):
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file({"weight": torch.zeros(64)}, folder / "adapter_model.safetensors")
        (folder / "trainer_state.json").write_text("{}")
        for name in ("optimizer.pt", "scheduler.pt"):
            torch.save({"step": step}, folder / name)
    return run


def test_whole_checkpoint_is_gone_on_from(run: Run) -> None:
    check_newest_checkpoint(run)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "trainer_state.json", "optimizer.pt", "scheduler.pt"])
@pytest.mark.parametrize("cut", [True, False])
def test_damaged_newest_checkpoint_is_refused_with_the_one_before_it(run: Run, name: str, cut: bool) -> None:
    path = run.checkpoints / "checkpoint-6" / name
    if cut:
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    said = rf"checkpoint-6 of run '{run.id}' is damaged: .*; expected a whole .*remove '.*checkpoint-6' and resume.* from checkpoint-3"
    with pytest.raises(RunError, match=said):
        train.check_resume(run.id, workspace=Workspace(run.folder.parent.parent))
    run.resolved.write_text(_resolved())
    with pytest.raises(RunError, match=said):
        training(SimpleNamespace(run=run))  # pyright: ignore[reportArgumentType]


def test_only_checkpoint_that_is_damaged_leaves_a_new_beginning(run: Run) -> None:
    (run.checkpoints / "checkpoint-3").rename(run.folder / "elsewhere")
    (run.checkpoints / "checkpoint-6" / "trainer_state.json").write_text("[]")
    with pytest.raises(RunError, match=r"is no JSON object; .* it then begins anew"):
        check_newest_checkpoint(run)


def _resolved() -> str:
    from codex.config.compose import compose

    return compose("lora-docstrings", environ={}).resolved_yaml()
