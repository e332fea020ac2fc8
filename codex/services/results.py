"""What a run trained, as its folder stands now: an adapter, a whole model, something damaged, or nothing yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codex.core.errors import ModelError, UserError
from codex.core.registry import load
from codex.runs.record import Run
from codex.services.configure import flat_values


@dataclass(frozen=True)
class Result:
    """What a run trained.

    Args:
        folder: where it lies.
        kind: what it is; `damaged` where a file that it needs is missing or not whole.
        base: the model that an adapter goes on, as it was named then; None for what is no adapter.
        problem: what is wrong with a damaged one; None otherwise.
    """

    folder: Path
    kind: Literal["adapter", "model", "damaged"]
    base: str | None = None
    problem: str | None = None

    @property
    def code(self) -> str:
        """Plain Python that loads it, without Codex; of a damaged one a comment that says so."""
        if self.kind == "damaged":
            return f"# It cannot be loaded: {self.problem}"
        if self.kind == "model":
            return f"from transformers import AutoModelForCausalLM\nmodel = AutoModelForCausalLM.from_pretrained({str(self.folder)!r})"
        base = f"AutoModelForCausalLM.from_pretrained({self.base!r})"
        lines = ("from peft import PeftModel", "from transformers import AutoModelForCausalLM")
        return "\n".join((*lines, f"model = PeftModel.from_pretrained({base}, {str(self.folder)!r})"))


def result_of(run: Run) -> Result | None:
    """What `run` trained; None while it has trained nothing.

    Not covered: damage that leaves a file's length and header as they were.
    """
    from codex.models.folder import inspect_folder, whole_adapter

    folder = run.adapter
    if not folder.is_dir():
        return None
    try:
        if _trains_all_weights(run):
            inspect_folder(folder, str(folder))
            return Result(folder, "model")
        return Result(folder, "adapter", base=whole_adapter(folder).base)
    except ModelError as error:
        return Result(folder, "damaged", problem=str(error))
    except OSError as error:
        return Result(folder, "damaged", problem=f"{str(folder)!r} cannot be read ({error.strerror or error})")


def _trains_all_weights(run: Run) -> bool:
    """Whether the run's method leaves a whole model; where its configuration does not say, whether its folder looks like one."""
    from codex.models.folder import ADAPTER_CONFIG, CONFIG

    try:
        method = flat_values(run.resolved.read_text(encoding="utf-8"))["method.name"]
        return load("method", str(method)).trains_all_weights
    except (OSError, ValueError, KeyError, UserError):
        return (run.adapter / CONFIG).is_file() and not (run.adapter / ADAPTER_CONFIG).is_file()
