"""An adapter is what its settings say, and its folder is complete or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from codex.config.schema import ModelConfig
from codex.core.paths import Workspace
from codex.models.load import load_model, load_tokenizer
from codex.training.adapters import attach_lora, save_whole
from codex.training.methods.lora import LoraSettings

LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture
def asked(tiny_folder: Path) -> ModelConfig:
    return ModelConfig.model_validate({"source": str(tiny_folder), "device": "cpu"})


def _adapted(asked: ModelConfig, seed: int = 0, **settings: Any) -> Any:
    base = load_model(asked, Workspace(Path("unused")))
    return attach_lora(base, LoraSettings.model_validate({"name": "lora", **settings}), seed)


def _layers(model: Any) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def _trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def _disturb(model: Any) -> None:
    """Give the adapter something to say: B is all zeros at first."""
    chance = torch.Generator().manual_seed(3)
    for weight in _trained(model).values():
        weight.add_(torch.randn(weight.shape, generator=chance) * 0.1)


def test_attach_lora_settings_shape_each_layer(asked: ModelConfig) -> None:
    layers = _layers(_adapted(asked, rank=3, alpha=12, dropout=0.25)).values()
    assert layers
    for layer in layers:
        assert layer.lora_A["default"].weight.shape[0] == layer.lora_B["default"].weight.shape[1] == 3
        assert layer.scaling["default"] == 12 / 3
        assert layer.lora_dropout["default"].p == 0.25


def test_attach_lora_rank_stabilised_scales_by_the_root_of_the_rank(asked: ModelConfig) -> None:
    layers = _layers(_adapted(asked, rank=4, alpha=6, rank_stabilised=True)).values()
    assert {layer.scaling["default"] for layer in layers} == {3.0}


@pytest.mark.parametrize(("wanted", "expected"), [("all-linear", LINEAR), (["q_proj", "v_proj"], {"q_proj", "v_proj"})])
def test_attach_lora_target_modules_are_the_layers_adapted(wanted: Any, expected: set[str], asked: ModelConfig) -> None:
    layers = _layers(_adapted(asked, target_modules=wanted))
    assert {name.rpartition(".")[2] for name in layers} == expected
    assert len(layers) == 2 * len(expected)  # in both decoder layers


def test_attach_lora_trains_the_adapter_alone_in_its_type(asked: ModelConfig) -> None:
    model = _adapted(asked, adapter_dtype="bfloat16")
    trained = _trained(model)
    assert trained and all("lora_" in name for name in trained)
    assert {weight.dtype for weight in trained.values()} == {torch.bfloat16}
    assert {p.dtype for name, p in model.named_parameters() if "lora_" not in name} == {torch.float32}


def test_attach_lora_first_weights_follow_the_seed_and_nothing_else(asked: ModelConfig) -> None:
    torch.manual_seed(5)
    one = _trained(_adapted(asked, seed=1))
    after = torch.rand(1)
    torch.manual_seed(6)
    again, other = _trained(_adapted(asked, seed=1)), _trained(_adapted(asked, seed=2))
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))  # others' random numbers are not disturbed
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_save_whole_adapter_loads_by_plain_peft_with_equal_logits(asked: ModelConfig, tiny_folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = _adapted(asked, rank=4, alpha=6, rank_stabilised=True, target_modules=["q_proj", "down_proj"]), None
    tokenizer = load_tokenizer(asked, Workspace(tmp_path))
    _disturb(model)
    save_whole(model, tokenizer, tmp_path / "adapter")
    ids = torch.tensor([[5, 80, 300, 42, 7]])
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    with torch.no_grad():
        plain = base(ids).logits
        loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()(ids).logits
        expected = model.eval()(ids).logits
    assert torch.equal(loaded, expected)
    assert not torch.allclose(loaded, plain, atol=1e-2)
    again = AutoTokenizer.from_pretrained(tmp_path / "adapter")
    assert again.get_vocab() == tokenizer.get_vocab() and again.chat_template == tokenizer.chat_template
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["adapter"]


class Failing:
    """A tokenizer on a disk that is full."""

    def save_pretrained(self, folder: str) -> None:
        Path(folder, "tokenizer.json").write_text("{")
        raise OSError("no space left")


@pytest.mark.parametrize("older", [False, True])
def test_save_whole_that_fails_leaves_no_half_and_the_older_folder_whole(older: bool, asked: ModelConfig, tmp_path: Path) -> None:
    model, tokenizer, folder = _adapted(asked), load_tokenizer(asked, Workspace(tmp_path)), tmp_path / "adapter"
    if older:
        save_whole(model, tokenizer, folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*")}
    assert bool(before) == older
    _disturb(model)
    failing: Any = Failing()
    with pytest.raises(OSError, match="no space left"):
        save_whole(model, failing, folder)
    assert folder.exists() == older
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == before
    save_whole(model, tokenizer, folder)  # and what the failure left is in nobody's way
    assert (folder / "adapter_model.safetensors").read_bytes() != before.get("adapter_model.safetensors")
    assert (folder / "tokenizer.json").stat().st_size > 100
