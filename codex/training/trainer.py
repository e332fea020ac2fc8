"""TRL's SFTTrainer with checkpoints that are complete or absent, logged losses that a resume does not change, our optimizers and sinks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from codex.config.schema import RunConfig, TrainingConfig
from codex.runs.checkpoints import checkpoints_folder, partial_checkpoint, publish, published_checkpoint, rotate
from codex.training.optimizers import muon_for

LOSS_SINCE_LOG = "loss_since_log.json"
"""The file of a checkpoint that holds what the next logged loss, a mean since the last logged step, has summed up so far."""


class CodexTrainer(SFTTrainer):
    """SFTTrainer over examples that are already tokens and labels.

    Args:
        run_folder: where `checkpoints/` is.
        asked: the run's training settings.
    """

    def __init__(self, *args: Any, run_folder: Path, asked: TrainingConfig, **kwargs: Any) -> None:
        self.run_folder = run_folder
        self.asked = asked
        trained = [parameter for parameter in kwargs["model"].parameters() if parameter.requires_grad]
        kept = [parameter.data.clone() for parameter in trained]
        super().__init__(*args, **kwargs)
        # SFTTrainer rounds the adapter of a 4-bit base to bfloat16, in which small steps are lost; the method says which type it has.
        for parameter, data in zip(trained, kept, strict=True):
            parameter.data = data
        self.add_callback(GoOnSumming(self))
        self.goes_on_from: Path | None = None
        self._heldout_nats, self._heldout_tokens = 0.0, 0

    @property
    def tokens_seen(self) -> int:
        """Useful tokens (not padding) of all steps of this attempt, logged or not."""
        return int(self._total_train_tokens)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer that was asked for; AdamW variants are the trainer's own."""
        if self.optimizer is None and self.asked.optimizer == "muon":
            target: Any = self.model if model is None else model
            self.optimizer = muon_for(target, lr=self.asked.learning_rate, weight_decay=self.asked.weight_decay)
        return super().create_optimizer(model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the weights, in the type that they had: PEFT would make a bfloat16 adapter float32, and go on to other numbers."""
        self.goes_on_from = Path(resume_from_checkpoint)
        target: Any = self.model if model is None else model
        types = {name: parameter.dtype for name, parameter in target.named_parameters() if parameter.requires_grad}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, parameter in target.named_parameters():
            if name in types:
                parameter.data = parameter.data.to(types[name])

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """Measure the held-out loss a token; the trainer's own is a mean of batches, in which a batch of short answers counts too much."""
        self._heldout_nats, self._heldout_tokens = 0.0, 0
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        assert output.metrics is not None and self._heldout_tokens > 0, "examples without an answer token are not encoded"
        output.metrics[f"{metric_key_prefix}_loss"] = self._heldout_nats / self._heldout_tokens
        return output

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None) -> Any:
        """One held-out batch, whose loss a token and whose tokens are added up."""
        tokens = int((inputs["labels"][..., 1:] != -100).sum())  # the first has nothing before it that could predict it
        step = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys=ignore_keys)
        self._heldout_nats += float(step[0]) * tokens
        self._heldout_tokens += tokens
        return step

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's report is the card, and the trainer would write one beside every checkpoint."""

    def _get_output_dir(self, trial: Any) -> str:
        return str(partial_checkpoint(self.run_folder, self.state.global_step))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write into a hidden folder, then publish it by one rename: a checkpoint is complete or absent."""
        step = self.state.global_step
        partial = partial_checkpoint(self.run_folder, step)
        shutil.rmtree(partial, ignore_errors=True)
        super()._save_checkpoint(model, trial)
        summed = {"loss_sum": self._tr_loss.item(), "last_logged_step": self._globalstep_last_logged}
        (partial / f"checkpoint-{step}" / LOSS_SINCE_LOG).write_text(json.dumps(summed) + "\n")
        publish(partial / f"checkpoint-{step}", published_checkpoint(self.run_folder, step))
        shutil.rmtree(partial)
        rotate(self.run_folder, self.asked.keep_checkpoints)


class GoOnSumming(TrainerCallback):
    """After a resume the next logged loss is the mean since the last logged step, as if nothing had happened; the trainer would begin anew.

    Not covered: checkpoints of versions that did not keep the sum; the first loss logged after them is a mean since the resume.
    """

    def __init__(self, trainer: CodexTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take up the sum where the checkpoint left it; the trainer has just set it to 0."""
        kept = self.trainer.goes_on_from and self.trainer.goes_on_from / LOSS_SINCE_LOG
        if kept and kept.exists():
            summed = json.loads(kept.read_text())
            self.trainer._tr_loss += summed["loss_sum"]
            self.trainer._globalstep_last_logged = summed["last_logged_step"]


def sft_config(config: RunConfig, run_folder: Path, *, on_cpu: bool) -> SFTConfig:
    """The trainer's arguments, each one that matters said out loud rather than left to a default that may change."""
    asked = config.training
    schedule_extra = {"min_lr_rate": asked.min_rate_share} if asked.schedule == "cosine_with_min_lr" else {}
    return SFTConfig(
        output_dir=str(checkpoints_folder(run_folder)),
        max_steps=asked.steps,
        per_device_train_batch_size=asked.batch_size,
        per_device_eval_batch_size=asked.batch_size,
        gradient_accumulation_steps=asked.gradient_accumulation,
        learning_rate=asked.learning_rate,
        lr_scheduler_type=asked.schedule,
        lr_scheduler_kwargs=schedule_extra,
        warmup_steps=asked.warmup_steps,
        optim="paged_adamw_8bit" if asked.optimizer == "paged_adamw_8bit" else "adamw_torch",
        weight_decay=asked.weight_decay,
        max_grad_norm=asked.max_grad_norm,
        bf16=asked.autocast == "bf16",
        fp16=asked.autocast == "fp16",
        gradient_checkpointing=asked.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if asked.gradient_checkpointing else None,
        padding_free=asked.padding_free,
        packing=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        loss_type="nll",
        completion_only_loss=False,
        assistant_only_loss=False,
        logging_strategy="steps",
        logging_steps=asked.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=asked.save_every,
        save_total_limit=None,
        eval_strategy="steps" if asked.evaluate_every else "no",
        eval_steps=asked.evaluate_every or None,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=on_cpu,
        dataloader_num_workers=0,
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        push_to_hub=False,
    )


class ReportToHooks(TrainerCallback):
    """Hands each step, each logged metric and each wish to stop between the trainer and the run's hooks."""

    def __init__(self, hooks: Any) -> None:
        self.hooks = hooks

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say how far it is, log the last step whatever `log_every` is, and save and end when a person asked to stop."""
        self.hooks.on_step(state.global_step)
        if state.global_step >= args.max_steps:
            control.should_log = True
        if self.hooks.stop_requested() and state.global_step < args.max_steps:
            control.should_save = True
            control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Pass on what the trainer measured."""
        if logs and ("loss" in logs or "eval_loss" in logs):
            self.hooks.on_metrics(state.global_step, dict(logs))
