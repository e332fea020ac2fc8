"""Train a loaded model on encoded examples, from the start or from a checkpoint, and save what came out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from codex.config.schema import RunConfig
from codex.core.protocols import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class StepMetrics:
    """What one logged step measured.

    Args:
        step: optimizer steps done, from 1.
        loss: mean answer loss since the last logged step, nats a token; None for a held-out measurement.
        heldout_loss: the same on held-out examples, when it was measured at this step.
        learning_rate: the matrices' rate at this step.
        grad_norm: length of the gradient before clipping.
        tokens: useful tokens (not padding) seen so far in this attempt.
        cpu_seconds: CPU time of training so far in this attempt.
    """

    step: int
    loss: float | None
    heldout_loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens: int
    cpu_seconds: float


class TrainingHooks(Protocol):
    """Where the engine reports to, and asks whether it shall stop."""

    def on_step(self, step: int) -> None:
        """`step` optimizer steps are done."""
        ...

    def on_metrics(self, metrics: StepMetrics) -> None:
        """A logged step was measured."""
        ...

    def stop_requested(self) -> bool:
        """Whether a person asked to stop."""
        ...


@dataclass(frozen=True)
class TrainingResult:
    """How training ended.

    Args:
        step: optimizer steps done in all attempts.
        stopped: whether it ended before the last step because a person asked.
        cpu_seconds: CPU time of this attempt's training alone.
        tokens: useful tokens of this attempt.
    """

    step: int
    stopped: bool
    cpu_seconds: float
    tokens: int


class _Reporter:
    """Turns the trainer's logs into StepMetrics."""

    def __init__(self, hooks: TrainingHooks, started: float) -> None:
        self._hooks = hooks
        self._started = started
        self._tokens = 0

    def on_step(self, step: int) -> None:
        self._hooks.on_step(step)

    def stop_requested(self) -> bool:
        return self._hooks.stop_requested()

    def on_metrics(self, step: int, logs: dict[str, float]) -> None:
        self._tokens = int(logs.get("num_tokens", self._tokens))
        self._hooks.on_metrics(
            StepMetrics(
                step=step,
                loss=logs.get("loss"),
                heldout_loss=logs.get("eval_loss"),
                learning_rate=logs.get("learning_rate"),
                grad_norm=logs.get("grad_norm"),
                tokens=self._tokens,
                cpu_seconds=time.process_time() - self._started,
            )
        )


def _as_dataset(items: Sequence[Encoded]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [list(item.input_ids) for item in items], "labels": [list(item.labels) for item in items]})


def hush_deprecations() -> None:
    """The trainers' own use of names that they deprecate would fill worker.log; nobody here can mend it."""
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: tuple[Sequence[Encoded], Sequence[Encoded]],
    config: RunConfig,
    run_folder: Path,
    hooks: TrainingHooks,
    resume_from: Path | None = None,
) -> TrainingResult:
    """Train `model` in place, leaving complete checkpoints in `run_folder/checkpoints`.

    On CPU with one thread the result repeats to the bit, also when it was interrupted and resumed.

    Args:
        model: with the weights that shall train requiring gradients (an adapter attached, or the whole).
        tokenizer: its padding token is used in batches.
        data: (train, held-out) examples; held-out may be empty when `training.evaluate_every` is 0.
        config: the run's configuration.
        run_folder: where checkpoints go.
        hooks: who is told, and asked whether to stop.
        resume_from: a complete checkpoint of the same run.
    """
    import torch
    from transformers import PrinterCallback, set_seed

    from codex.runs.checkpoints import checkpoint_step
    from codex.training.trainer import CodexTrainer, ReportToHooks, sft_config

    hush_deprecations()
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    set_seed(config.seed)
    started = time.process_time()
    reporter = _Reporter(hooks, started)
    train, heldout = data
    trainer = CodexTrainer(
        model=model,
        args=sft_config(config, run_folder, on_cpu=next(model.parameters()).device.type == "cpu"),
        train_dataset=_as_dataset(train),
        eval_dataset=_as_dataset(heldout) if config.training.evaluate_every and heldout else None,
        processing_class=tokenizer,
        callbacks=[ReportToHooks(reporter)],
        run_folder=run_folder,
        asked=config.training,
    )
    trainer.remove_callback(PrinterCallback)  # the hooks are told everything; a second account in worker.log only hides what matters
    if resume_from is not None and (checkpoint_step(resume_from) or 0) >= config.training.steps:
        trainer._load_from_checkpoint(str(resume_from))  # all steps are done: take the weights, train nothing
        step = config.training.steps
    else:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        step = trainer.state.global_step
    return TrainingResult(
        step=step,
        stopped=step < config.training.steps,
        cpu_seconds=time.process_time() - started,
        tokens=trainer.tokens_seen,
    )
