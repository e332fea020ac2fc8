"""What the trainer is told, the types its weights keep, and that its checkpoints are complete or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from codex.config.schema import ModelConfig, RunConfig
from codex.core.paths import Workspace
from codex.core.protocols import Encoded
from codex.models.load import load_model, load_tokenizer
from codex.runs.checkpoints import checkpoints_folder, complete_checkpoints
from codex.training.engine import StepMetrics, fit
from codex.training.methods.full import FullSettings
from codex.training.methods.lora import LoraSettings
from codex.training.methods.qlora import QloraSettings
from codex.training.trainer import CodexTrainer, sft_config

# transformers asks for the new name, TRL still reads the old; a run's worker quiets it for all of its process.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

ITEMS = [Encoded(tuple(range(at, at + 8)), (-100,) * 4 + tuple(range(at + 4, at + 8))) for at in (20, 60, 100)]
METHODS = {"full": FullSettings, "lora": LoraSettings, "qlora": QloraSettings}


class Silent:
    """Hooks that want nothing."""

    def on_step(self, step: int) -> None: ...

    def on_metrics(self, metrics: StepMetrics) -> None: ...

    def stop_requested(self) -> bool:
        return False


def _config(method: str = "lora", method_fields: dict[str, Any] | None = None, seed: int = 42, **training: Any) -> RunConfig:
    settings = METHODS[method].model_validate({"name": method, **(method_fields or {})})
    return RunConfig.model_validate({"method": settings, "seed": seed, "training": training})


def _prepared(tiny_folder: Path, tmp_path: Path, config: RunConfig) -> tuple[Any, Any]:
    asked, workspace = ModelConfig.model_validate({"source": str(tiny_folder), "device": "cpu"}), Workspace(tmp_path)
    model = load_model(asked, workspace, quantization=config.method.quantization())
    return config.method.attach(model, config.seed), load_tokenizer(asked, workspace)


def _trainer(model: Any, tokenizer: Any, config: RunConfig, run_folder: Path) -> CodexTrainer:
    from datasets import Dataset

    rows = {"input_ids": [list(item.input_ids) for item in ITEMS], "labels": [list(item.labels) for item in ITEMS]}
    return CodexTrainer(
        model=model,
        args=sft_config(config, run_folder, on_cpu=True),
        train_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer,
        run_folder=run_folder,
        asked=config.training,
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"steps": 37}, {"max_steps": 37}),
        ({"batch_size": 3}, {"per_device_train_batch_size": 3, "per_device_eval_batch_size": 3}),
        ({"gradient_accumulation": 5}, {"gradient_accumulation_steps": 5}),
        ({"learning_rate": 0.0123}, {"learning_rate": 0.0123}),
        ({"schedule": "linear"}, {"lr_scheduler_type": "linear", "lr_scheduler_kwargs": {}}),
        ({"schedule": "cosine"}, {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {}}),
        ({"schedule": "constant_with_warmup"}, {"lr_scheduler_type": "constant_with_warmup", "lr_scheduler_kwargs": {}}),
        (
            {"schedule": "cosine_with_min_lr", "min_rate_share": 0.3},
            {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.3}},
        ),
        ({"warmup_steps": 7}, {"warmup_steps": 7}),
        ({"optimizer": "adamw"}, {"optim": "adamw_torch"}),
        ({"optimizer": "paged_adamw_8bit"}, {"optim": "paged_adamw_8bit"}),
        ({"weight_decay": 0.17}, {"weight_decay": 0.17}),
        ({"max_grad_norm": 0.31}, {"max_grad_norm": 0.31}),
        ({"autocast": "no"}, {"bf16": False, "fp16": False}),
        ({"autocast": "bf16"}, {"bf16": True, "fp16": False}),
        ({"gradient_checkpointing": False}, {"gradient_checkpointing": False}),
        ({"gradient_checkpointing": True}, {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}),
        ({"padding_free": False}, {"padding_free": False}),
        ({"padding_free": True}, {"padding_free": True}),
        ({"log_every": 4}, {"logging_strategy": "steps", "logging_steps": 4, "logging_first_step": True}),
        ({"save_every": 9}, {"save_strategy": "steps", "save_steps": 9, "save_total_limit": None}),
        ({"evaluate_every": 11}, {"eval_strategy": "steps", "eval_steps": 11}),
        ({"evaluate_every": 0}, {"eval_strategy": "no"}),
    ],
    ids=lambda value: ",".join(f"{name}={setting}" for name, setting in value.items()),
)
def test_sft_config_each_setting_asked_for_reaches_the_trainer(asked: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    made = sft_config(_config(**asked), tmp_path, on_cpu=True)
    assert {name: getattr(made, name) for name in expected} == expected


def test_sft_config_seeds_are_the_runs(tmp_path: Path) -> None:
    made = sft_config(_config(seed=1234), tmp_path, on_cpu=True)
    assert (made.seed, made.data_seed) == (1234, 1234)


def test_sft_config_leaves_tokens_and_labels_as_they_are(tmp_path: Path) -> None:
    made = sft_config(_config(), tmp_path, on_cpu=True)
    assert made.dataset_kwargs == {"skip_prepare_dataset": True}
    assert (made.packing, made.max_length, made.completion_only_loss, made.assistant_only_loss) == (False, None, False, False)
    assert (made.loss_type, made.remove_unused_columns, made.logging_nan_inf_filter) == ("nll", False, False)


def test_sft_config_reports_to_nobody_else_and_uses_the_device_of_the_model(tmp_path: Path) -> None:
    made = sft_config(_config(), tmp_path, on_cpu=True)
    assert (made.report_to, made.push_to_hub, made.use_cpu, made.dataloader_pin_memory) == ([], False, True, False)
    assert made.output_dir == str(tmp_path / "checkpoints")


def test_trainer_over_4_bit_base_keeps_the_adapters_type_and_numbers(tiny_folder: Path, tmp_path: Path) -> None:
    config = _config("qlora")
    model, tokenizer = _prepared(tiny_folder, tmp_path, config)
    assert model.is_loaded_in_4bit  # or nothing would have been rounded
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad}
    _trainer(model, tokenizer, config, tmp_path)
    after = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert after.keys() == before.keys() and before
    assert {parameter.dtype for parameter in after.values()} == {torch.float32}
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_load_from_checkpoint_keeps_the_type_that_the_method_gave_the_adapter(dtype: str, tiny_folder: Path, tmp_path: Path) -> None:
    config = _config(method_fields={"adapter_dtype": dtype}, steps=1, save_every=1, warmup_steps=0)
    model, tokenizer = _prepared(tiny_folder, tmp_path, config)
    fit(model, tokenizer, (ITEMS, []), config, tmp_path, Silent())
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    fresh, _ = _prepared(tiny_folder, tmp_path, config)
    _trainer(fresh, tokenizer, config, tmp_path)._load_from_checkpoint(str(complete_checkpoints(tmp_path)[0]))
    loaded = {name: parameter for name, parameter in fresh.named_parameters() if parameter.requires_grad}
    assert {parameter.dtype for parameter in loaded.values()} == {getattr(torch, dtype)}
    assert loaded.keys() == trained.keys()
    assert all(torch.equal(loaded[name], trained[name]) for name in trained)


@pytest.mark.parametrize("part", ["_save_rng_state", "_save_optimizer_and_scheduler"])
@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_save_checkpoint_cut_off_in_the_middle_publishes_nothing(
    part: str, failure: type[BaseException], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(steps=2, save_every=1)
    model, tokenizer = _prepared(tiny_folder, tmp_path, config)
    real, seen = getattr(CodexTrainer, part), []

    def cut_off(self: CodexTrainer, *arguments: Any) -> None:
        # What stands on the disk now is what a kill now would leave.
        seen.append([path.name for path in checkpoints_folder(tmp_path).glob("checkpoint-*")])
        if self.state.global_step == 2:
            raise failure("cut off")
        real(self, *arguments)

    monkeypatch.setattr(CodexTrainer, part, cut_off)
    with pytest.raises(failure, match="cut off"):
        fit(model, tokenizer, (ITEMS, []), config, tmp_path, Silent())
    assert seen == [[], ["checkpoint-1"]]
    assert [path.name for path in complete_checkpoints(tmp_path)] == ["checkpoint-1"]
    assert list(checkpoints_folder(tmp_path).glob(".partial-2/*/adapter_model.safetensors"))  # it was in the middle


@pytest.mark.parametrize("keep", [1, 2])
def test_checkpoints_beyond_those_kept_are_removed_and_the_rest_are_whole(keep: int, tiny_folder: Path, tmp_path: Path) -> None:
    config = _config(steps=4, save_every=1, keep_checkpoints=keep)
    model, tokenizer = _prepared(tiny_folder, tmp_path, config)
    fit(model, tokenizer, (ITEMS, []), config, tmp_path, Silent())
    kept = sorted(path.name for path in checkpoints_folder(tmp_path).iterdir())
    assert kept == [f"checkpoint-{step}" for step in range(5 - keep, 5)]
    needed = {"adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"}
    assert all(needed <= {file.name for file in (checkpoints_folder(tmp_path) / name).iterdir()} for name in kept)
