"""Works until it is released or asked to stop; saves when stopped, as slowly as `slow-save` says."""

from __future__ import annotations

import time

from codex.core.registry import register
from codex.runs.checkpoints import partial_checkpoint, publish, published_checkpoint
from codex.runs.context import RunContext


@register("run")
def hold(context: RunContext) -> None:
    folder = context.run.folder
    context.progress(step=1, total=2)
    while not (folder / "release").exists():
        if context.stop_requested:
            while (folder / "slow-save").exists():
                time.sleep(0.01)
            partial = partial_checkpoint(folder, context.attempt)
            partial.mkdir()
            (partial / "weights").write_text(f"attempt {context.attempt}")
            publish(partial, published_checkpoint(folder, context.attempt))
            context.check_stop()
        time.sleep(0.01)
    context.progress(step=2)
