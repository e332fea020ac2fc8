"""Weights are loaded whole, safely, and without changing behind anyone's back."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from codex.config.schema import ModelConfig
from codex.core.errors import ModelError
from codex.core.paths import Workspace, tiny_model_folder
from codex.models.folder import WEIGHTS, inspect_folder
from codex.models.load import (
    Quantization,
    attach_adapter,
    choose_device,
    describe,
    keep_4bit_weights_unpacked,
    load_model,
    load_tokenizer,
    resolve_folder,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def _asked(source: Any, **more: Any) -> ModelConfig:
    return ModelConfig.model_validate({"source": str(source), "device": "cpu", **more})


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.arange(20, 60)[None]).logits


def _adapted(model: Any, seed: int = 0) -> Any:
    """`model` with a LoRA adapter whose weights are not at their neutral start."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    adapted: Any = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=targets, init_lora_weights=False))
    return adapted


def test_sources_are_found_by_name_path_and_workspace(tiny_folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_folder(_asked("codex-tiny"), workspace) == tiny_model_folder()
    assert resolve_folder(_asked(tiny_folder), workspace) == tiny_folder
    shutil.copytree(tiny_folder, workspace.models / "mine")
    assert describe(_asked("mine"), workspace).folder == workspace.models / "mine"
    monkeypatch.chdir(tiny_folder.parent)
    assert resolve_folder(_asked(tiny_folder.name), workspace) == tiny_folder


def test_unknown_source_names_the_nearest(tiny_folder: Path, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=r"Did you mean `model.source=codex-tiny`"):
        describe(_asked("codx-tiny"), workspace)
    with pytest.raises(ModelError, match=rf"Did you mean `model.source={tiny_folder}`"):
        describe(_asked(f"{tiny_folder}l"), workspace)
    (workspace.models / "house-model").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"Did you mean `model.source=house-model`"):
        describe(_asked("hose-model"), workspace)


def test_source_scratch_has_nothing_to_load(workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="yet to be built"):
        describe(ModelConfig.model_validate({"source": "scratch", "scratch": {}}), workspace)


def test_loaded_model_is_the_saved_one_and_prints_nothing(
    tiny_folder: Path, workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import LlamaForCausalLM

    model = load_model(_asked(tiny_folder), workspace)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(_logits(model), _logits(LlamaForCausalLM.from_pretrained(tiny_folder)))
    assert not model.training
    assert model.config._attn_implementation == "sdpa"


def test_type_and_attention_are_as_asked(tiny_folder: Path, workspace: Workspace) -> None:
    import torch

    model = load_model(_asked(tiny_folder, dtype="bfloat16", attention="eager"), workspace)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == "eager"


def test_tokenizer_round_trips_and_has_its_template(tiny_folder: Path, workspace: Workspace) -> None:
    tokenizer = load_tokenizer(_asked(tiny_folder), workspace)
    assert tokenizer.decode(tokenizer.encode("héllo 😀")) == "héllo 😀"
    assert tokenizer.chat_template


def test_broken_tokenizer_is_a_model_error(folder: Path, workspace: Workspace) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="tokenizer of"):
        load_tokenizer(_asked(folder), workspace)


def test_weights_that_lack_a_tensor_are_refused_not_filled_with_noise(folder: Path, workspace: Workspace) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / WEIGHTS)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 missing, 'model.layers.1.mlp.up_proj.weight'"):
        load_model(_asked(folder), workspace)


def test_weights_of_another_shape_are_refused_quietly(folder: Path, workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    _edit(folder / "config.json", intermediate_size=192)
    for quantization in (None, Quantization()):  # transformers compares no shapes of weights that it quantises
        with pytest.raises(ModelError, match=r"6 of another shape, 'model.layers.0.mlp.down_proj.weight' 64 x 128 .* says 64 x 192"):
            load_model(_asked(folder), workspace, quantization=quantization)
    assert capfd.readouterr() == ("", "")


def test_unknown_architecture_is_refused(folder: Path, workspace: Workspace) -> None:
    _edit(folder / "config.json", model_type="nonesuch")
    with pytest.raises(ModelError, match="nonesuch"):
        load_model(_asked(folder), workspace)


def test_model_that_writes_no_text_is_refused_before_its_weights(folder: Path, workspace: Workspace) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    with pytest.raises(ModelError, match="'ViTModel'"):
        load_model(_asked(folder), workspace)


def test_gpu_asked_for_where_there_is_none_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        assert (choose_device("auto"), choose_device("cuda"), choose_device("cpu")) == ("cuda", "cuda", "cpu")
        return
    assert (choose_device("auto"), choose_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(ModelError, match=r"model.device=auto"):
        choose_device("cuda")


def test_quantised_model_is_close_to_the_whole_one(tiny_folder: Path, workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    model: Any = load_model(_asked(tiny_folder), workspace, Quantization())
    assert capfd.readouterr() == ("", "")
    layers: list[Any] = [module for module in model.modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 14
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
    assert all(layer.weight.quant_state.nested for layer in layers)
    whole, packed = _logits(load_model(_asked(tiny_folder), workspace)), _logits(model)
    assert 0 < (whole - packed).norm() / whole.norm() < 0.7
    assert keep_4bit_weights_unpacked(model) == 14


@pytest.mark.parametrize("seed", range(2))
def test_gradients_after_an_evaluation_equal_those_before(tiny_folder: Path, workspace: Workspace, seed: int) -> None:
    undisturbed, disturbed = (_gradients(tiny_folder, workspace, seed, evaluate=evaluate, cured=True) for evaluate in (False, True))
    assert _worst(undisturbed, disturbed) == 0


def test_gradients_after_an_evaluation_are_wrong_without_the_cure_where_weights_are_repacked(
    tiny_folder: Path, workspace: Workspace
) -> None:
    from bitsandbytes.functional import has_avx512bf16

    undisturbed = _gradients(tiny_folder, workspace, 0, evaluate=False, cured=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns once a process that the repacked kernel has no backward pass
        disturbed = _gradients(tiny_folder, workspace, 0, evaluate=True, cured=False)
    worst = _worst(undisturbed, disturbed)
    assert worst > 0.05 if has_avx512bf16() else worst == 0, "only CPUs with AVX512-BF16 are said to repack"


def _gradients(folder: Path, workspace: Workspace, seed: int, *, evaluate: bool, cured: bool) -> dict[str, Any]:
    """Gradients of one training step on 4-bit weights, after an evaluation or after none."""
    import torch
    from bitsandbytes.functional import has_avx512bf16

    model = _adapted(load_model(_asked(folder), workspace, Quantization()), seed)
    if not cured:
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = has_avx512bf16()  # as bitsandbytes has it
    ids = torch.randint(0, 512, (2, 24), generator=torch.Generator().manual_seed(seed))
    model.train()
    model(input_ids=ids, labels=ids).loss.backward()
    model.zero_grad()
    if evaluate:
        model.eval()
        with torch.no_grad():
            model(input_ids=ids)
        model.train()
    model(input_ids=ids, labels=ids).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def _worst(expected: dict[str, Any], found: dict[str, Any]) -> float:
    assert expected.keys() == found.keys()
    assert len(expected) == 28
    return max(((found[name] - value).norm() / value.norm()).item() for name, value in expected.items())


def test_sizes_that_4bit_cannot_take_are_refused_before_the_weights(folder: Path, workspace: Workspace) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    _edit(folder / "config.json", intermediate_size=96)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"6 layers of sizes .*64 x 96.*multiples of 64.*method=lora"):
        load_model(_asked(folder), workspace, Quantization())


def test_model_stored_in_4_bits_is_counted_loaded_and_cured_but_not_quantised_again(
    tiny_folder: Path, tmp_path: Path, workspace: Workspace
) -> None:
    import torch

    model = load_model(_asked(tiny_folder), workspace, Quantization())
    stored = tmp_path / "stored"
    model.save_pretrained(stored)
    load_tokenizer(_asked(tiny_folder), workspace).save_pretrained(stored)
    info = inspect_folder(stored, "x")
    assert info.quantized == "bitsandbytes 4-bit"
    assert info.parameters == inspect_folder(tiny_folder, "x").parameters
    again: Any = load_model(_asked(stored), workspace)
    assert not any(module.support_avx512bf16_for_cpu for module in again.modules() if hasattr(module, "support_avx512bf16_for_cpu"))
    assert torch.equal(_logits(again), _logits(model))
    with pytest.raises(ModelError, match="stored quantised"):
        load_model(_asked(stored), workspace, Quantization())


@pytest.mark.parametrize("quantization", [None, Quantization()])
def test_adapter_comes_back_as_saved(tiny_folder: Path, tmp_path: Path, workspace: Workspace, quantization: Quantization | None) -> None:
    import torch

    adapted = _adapted(load_model(_asked(tiny_folder), workspace, quantization)).eval()
    adapted.save_pretrained(tmp_path / "adapter")
    again = attach_adapter(load_model(_asked(tiny_folder), workspace, quantization), tmp_path / "adapter")
    assert torch.equal(_logits(again), _logits(adapted))
    assert not any(parameter.requires_grad for parameter in again.parameters())
    trainable = attach_adapter(load_model(_asked(tiny_folder), workspace), tmp_path / "adapter", trainable=True)
    assert sum(parameter.requires_grad for parameter in trainable.parameters()) == 28


@pytest.mark.parametrize(
    "shape",
    [{"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"intermediate_size": 192}, {"model_type": "gpt2"}],
    ids=["fewer layers", "more layers", "other sizes", "other architecture"],
)
def test_adapter_of_another_model_is_refused(tiny_folder: Path, tmp_path: Path, workspace: Workspace, shape: dict[str, Any]) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    _adapted(load_model(_asked(tiny_folder), workspace)).save_pretrained(tmp_path / "adapter")
    config = {**json.loads((tiny_folder / "config.json").read_text()), **shape}
    other: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    with pytest.raises(ModelError, match="does not go onto this model"):
        attach_adapter(other, tmp_path / "adapter")


def test_adapter_that_is_incomplete_or_pickled_is_refused(tiny_folder: Path, tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(_asked(tiny_folder), workspace)
    with pytest.raises(ModelError, match=r"adapter_config.json; adapter_model.safetensors"):
        attach_adapter(model, tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"incomplete: adapter_model.safetensors;"):
        attach_adapter(model, tmp_path)
