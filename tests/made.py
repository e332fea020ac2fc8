"""Runs that exist without having been trained, made through the same files that a worker writes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from codex.core import clock
from codex.core.paths import Workspace
from codex.core.protocols import ItemScore
from codex.runs.record import Run
from codex.runs.status import ProcessId, Reason, Status, host_name, write_status
from codex.runs.store import RunStore
from codex.services.metrics import session_of
from codex.sessionlog import SessionLog


def whole_weights(size: int) -> bytes:
    """A safetensors file of `size` bytes, zeros behind its header."""
    room = 128
    header = json.dumps({"zeros": {"dtype": "U8", "shape": [size - room], "data_offsets": [0, size - room]}}).encode()
    return (room - 8).to_bytes(8, "little") + header.ljust(room - 8) + bytes(size - room)


class Made:
    """Makes runs by hand, through the same files that a worker writes."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = RunStore(workspace)

    def run(self, title: str = "A run", **status: Any) -> Run:
        """A run whose status says what `status` says."""
        asked = "recipe: qlora-docstrings\noverrides:\n- training.steps=100\n"
        run = self.store.create("training", title, {"asked.yaml": asked, "resolved.yaml": "recipe: qlora-docstrings\nseed: 42\n"})
        self.tell(run, **status)
        return run

    def tell(self, run: Run, **status: Any) -> None:
        """Rewrite its status."""
        write_status(run.folder, replace(Status(attempt=1), **status))

    def running(self, title: str = "A run", process: ProcessId | None = None, **status: Any) -> Run:
        """A run whose worker is alive: this process, or `process`; never stop the first."""
        return self.run(title, **self.alive(process, **status))

    @staticmethod
    def alive(process: ProcessId | None = None, **status: Any) -> dict[str, Any]:
        """What the status of a run whose worker is alive says."""
        now = clock.now()
        alive = {"state": "running", "worker": process or ProcessId.own(), "boot": clock.boot_id(), "host": host_name()}
        return {**alive, "heartbeat": now, "started": now - 60, "total": 100, "step": 37, "note": "training", **status}

    def finished(self, title: str = "A run") -> Run:
        """A run with adapter, steps in the log, and a verdict."""
        now = clock.now()
        done = Reason("finished", "Finished.")
        run = self.run(title, state="finished", reason=done, started=now - 72, ended=now, step=100, total=100, numbers={"loss": 4.5812})
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/models/base"}))
        (run.adapter / "adapter_model.safetensors").write_bytes(whole_weights(2048))
        run.report.write_text(json.dumps({"run": run.id, "verdict": self.verdict()}))
        self.steps(run, range(1, 4))
        return run

    @staticmethod
    def verdict() -> dict[str, Any]:
        """A real verdict: 30 items in 15 groups, of which 27 got better and 3 worse."""
        from codex.config.schema import EvaluationConfig
        from codex.evaluation.verdict import judge

        base = [ItemScore(50.0 + item, 10, 2) for item in range(30)]
        adapter = [ItemScore(40.0 + item if item % 10 else 60.0 + 2 * item, 10, 4) for item in range(30)]
        groups = [f"module{item // 2}" for item in range(30)]
        origins = [f"module{item // 2}.function{item}" for item in range(30)]
        verdict = judge(
            base_scores=base, adapter_scores=adapter, base_shuffled=None, adapter_shuffled=None, groups=groups, origins=origins,
            noun="held-out functions", settings=EvaluationConfig(resamples=200), seed=1,  # pyright: ignore[reportCallIssue]
        )  # fmt: skip
        return json.loads(verdict.model_dump_json())

    def steps(self, run: Run, numbers: range) -> None:
        """Log these steps, each with loss 6 minus a tenth of its number."""
        with SessionLog.open(self.workspace) as log, log.session("training", run.title, id=session_of(run), run_id=run.id) as session:
            for step in numbers:
                session.append("info", attributes={"split": "train", "tokens_per_s": 2700.0}, step=step, loss=6.0 - step / 10)
