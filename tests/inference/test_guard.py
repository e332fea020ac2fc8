"""A guarded forward pass is the one that PEFT's own switch gives, and leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import ModelError
from codex.inference.guard import Guard


def _model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def _logits(model: Any) -> Any:
    import torch

    return model(input_ids=torch.arange(20, 40)[None]).logits


@pytest.mark.parametrize("extra", [{}, {"use_dora": True}, {"modules_to_save": ["norm"]}], ids=["lora", "dora", "saved modules"])
def test_adapter_switched_off_equals_pefts_own_switch(tiny_folder: Path, extra: dict[str, Any]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], init_lora_weights=False, **extra)
    model: Any = get_peft_model(_model(tiny_folder), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.eval()
    with torch.no_grad():
        on = _logits(model)
        with model.disable_adapter():
            off = _logits(model)
    assert not torch.equal(on, off)
    guard = Guard(model)
    assert guard.has_adapter
    for _ in range(2):
        with guard.judging(adapter_on=False):
            assert torch.equal(_logits(model), off)
        with guard.judging(adapter_on=True):
            assert torch.equal(_logits(model), on)


def test_guard_restores_all_after_an_error(tiny_folder: Path) -> None:
    import torch

    model = _model(tiny_folder).train()
    with pytest.raises(KeyError), Guard(model).judging(adapter_on=True):
        assert not model.training
        assert not torch.is_grad_enabled()
        raise KeyError
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()


def test_adapter_that_cannot_be_switched_off_is_refused(tiny_folder: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model

    model = get_peft_model(_model(tiny_folder), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ModelError, match="kind cannot be switched off"):
        Guard(model)


def test_model_without_adapter_has_none(tiny_folder: Path) -> None:
    assert not Guard(_model(tiny_folder)).has_adapter
