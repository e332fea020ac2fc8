"""Counts to the number in `resolved.yaml`, and writes down what it saw of its surroundings."""

from __future__ import annotations

import json
import os
from pathlib import Path

from codex.core.registry import register
from codex.runs.context import RunContext


@register("run")
def count(context: RunContext) -> None:
    total = int(context.run.resolved.read_text())
    seen = {"environment": dict(os.environ), "attempt": context.attempt, "folder": str(Path.cwd()), "session": os.getsid(0)}
    (context.run.folder / "seen.json").write_text(json.dumps(seen))
    for step in range(1, total + 1):
        context.progress(step=step, total=total, note=f"step {step}", loss=1.0 / step)
    context.progress(ratio=float("nan"))
