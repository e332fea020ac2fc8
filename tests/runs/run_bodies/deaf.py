"""Works until it is released, and never asks whether it should stop."""

from __future__ import annotations

import time

from codex.core.registry import register
from codex.runs.context import RunContext


@register("run")
def deaf(context: RunContext) -> None:
    context.progress(step=1, total=2)
    while not (context.run.folder / "release").exists():
        time.sleep(0.01)
