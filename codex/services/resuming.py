"""Whether the checkpoint that a run would go on from can be read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from codex.core.errors import ModelError, RunError
from codex.runs.checkpoints import complete_checkpoints
from codex.runs.record import Run


def check_newest_checkpoint(run: Run) -> None:
    """Refuse a damaged newest checkpoint: to go on from an older one, or anew, is for the person to decide, for it costs steps.

    Not covered: damage that leaves a file's length and headers as they were.

    Raises:
        RunError: a file of it is cut short, missing or no longer what it was; the message names the checkpoint before it.
    """
    complete = complete_checkpoints(run.folder)
    damage = _damage(complete[-1]) if complete else None
    if damage is None:
        return
    newest = complete[-1]
    then = f"it then goes on from {complete[-2].name}" if len(complete) > 1 else "it then begins anew"
    raise RunError(
        f"{newest.name} of run {run.id!r} is damaged: {damage}",
        "expected a whole checkpoint to go on from",
        f"Put it back from a copy; or remove {str(newest)!r} and resume again, {then}.",
    )


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, from its files' headers and ends; None when nothing is seen."""
    from codex.models.folder import read_header

    weights = sorted(checkpoint.glob("*.safetensors"))
    if not weights:
        return "it holds no *.safetensors"
    try:
        for path in weights:
            read_header(path)
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except ModelError as error:
        return error.problems[0].what
    except (OSError, ValueError) as error:
        return f"trainer_state.json cannot be read ({error})"
    if not isinstance(state, dict):
        return "trainer_state.json is no JSON object"
    return next((f"{name} is cut short or missing" for name in ("optimizer.pt", "scheduler.pt") if not _is_zip(checkpoint / name)), None)


def _is_zip(path: Path) -> bool:
    """Whether a file of PyTorch's has its end, where its list of contents is."""
    return path.is_file() and zipfile.is_zipfile(path)
