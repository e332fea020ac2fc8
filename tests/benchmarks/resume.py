"""Kill a training run with signal 9 at random steps, resume it each time, and compare with a run that was never killed.

    python -m tests.benchmarks.resume --json

On CPU, one thread, codex-tiny on stdlib-docstrings, once with 4-bit (NF4) and once with float32 weights; and once with a loss that
is logged every 3 steps, a mean that checkpoints fall into the middle of. The figures are shares of 1: whether the final adapter has
the same SHA-256, and how many logged steps have the same loss to the last bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.runs.store import RunStore
from codex.services import runs, train

PATIENCE_SECONDS = 900.0


def _start(workspace: Workspace, method: str, steps: int, log_every: int) -> Run:
    values = {
        "model.device": "cpu",
        "training.steps": steps,
        "training.save_every": 7,
        "training.log_every": log_every,
        "training.threads": 1,
        "evaluation.judge": False,
        "tracking.mlflow": False,
    }
    return train.start(train.plan("qlora-docstrings", [f"method={method}"], workspace=workspace, values=values), workspace=workspace)


def _kill_at(store: RunStore, run: Run, step: int) -> int:
    """Kill the worker with signal 9 once it has done `step` steps; gives the step at which it was."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        view = store.view(run)
        if not view.active:
            raise SystemExit(f"{run.id} ended before step {step}: {view.status.reason}")
        if view.status.worker is not None and (view.status.step or 0) >= step:
            os.kill(view.status.worker.pid, signal.SIGKILL)
            return store.wait(run, PATIENCE_SECONDS).status.step or step
        time.sleep(0.005)
    raise SystemExit(f"{run.id} never came to step {step}")


def _adapter(run: Run) -> str:
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def _losses(run: Run, workspace: Workspace) -> dict[int, float | None]:
    return {point.step: point.loss for point in runs.metrics(run.id, workspace=workspace)}


def _compare(workspace: Workspace, method: str, steps: int, kill_steps: list[int], log_every: int) -> tuple[float, float, list[int]]:
    store = RunStore(workspace)
    whole = _start(workspace, method, steps, log_every)
    store.wait(whole, PATIENCE_SECONDS)
    broken = _start(workspace, method, steps, log_every)
    killed_at: list[int] = []
    for step in kill_steps:
        killed_at.append(_kill_at(store, broken, step))
        train.resume(broken.id, workspace=workspace)
    store.wait(broken, PATIENCE_SECONDS)
    for run in (whole, broken):
        if store.view(run).state != "finished":
            raise SystemExit(f"{run.id}: {store.view(run).status.reason}")
    expected, seen = _losses(whole, workspace), _losses(broken, workspace)
    equal = sum(seen.get(step) == loss for step, loss in expected.items()) / len(expected)
    assert list(expected) == [step for step in range(1, steps + 1) if step in (1, steps) or step % log_every == 0]
    return float(_adapter(whole) == _adapter(broken)), equal, killed_at


def main() -> None:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=None, help="of the steps at which it is killed; random and printed when left out")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--kills", type=int, default=5)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    os.environ["OMP_NUM_THREADS"] = "1"
    started = time.monotonic()
    figures: dict[str, float] = {"kills": asked.kills}
    settings: dict[str, object] = {"seed": seed, "steps": asked.steps, "device": "cpu", "threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        for name, method, log_every in (("nf4", "qlora", 1), ("fp32", "lora", 1), ("every3", "lora", 3)):
            kill_steps = sorted(random.Random(f"{seed}-{name}").sample(range(2, asked.steps - 1), asked.kills))
            same, equal, killed_at = _compare(Workspace(Path(folder) / name), method, asked.steps, kill_steps, log_every)
            figures |= {f"{name}_adapter_equal": same, f"{name}_equal_loss_share": equal}
            settings[f"{name}_killed_at"] = killed_at
    print(json.dumps({"benchmark": "resume", "figures": figures, "settings": settings, "seconds": round(time.monotonic() - started, 1)}))
    if min(value for name, value in figures.items() if name != "kills") < 1:
        raise SystemExit("a resumed run came to other numbers")


if __name__ == "__main__":
    main()
