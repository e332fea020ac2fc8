"""A model that cannot be built, or whose weights are another's, is refused from config and headers alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import ModelError
from codex.models import shapes
from codex.models.folder import inspect_folder, tensors_of
from codex.models.shapes import check_shapes


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def _check(folder: Path) -> None:
    check_shapes(inspect_folder(folder, str(folder)))


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_attention_heads": 7}, "not a multiple of the number of attention heads"),
        ({"rms_norm_eps": "x"}, "Field 'rms_norm_eps' expected float, got str"),
        ({"model_type": "nonesuch"}, "model type `nonesuch`"),
        ({"hidden_act": "nonesuch"}, "KeyError 'nonesuch'"),
        ({"pad_token_id": 9999}, "must be within num_embeddings"),
        ({"intermediate_size": 192}, r"6 of another shape, 'model.layers.0.mlp.down_proj.weight' 64 x 128 where .* says 64 x 192"),
        ({"vocab_size": 10**12}, "1 of another shape, 'model.embed_tokens.weight' 512 x 64"),
        ({"num_hidden_layers": 3}, "9 missing, 'model.layers.2.input_layernorm.weight' among them"),
        ({"num_hidden_layers": 2_000_000}, "says 2,000,000 layers"),
    ],
)
def test_config_of_another_model_is_refused_without_reading_a_weight(folder: Path, changes: dict[str, Any], said: str) -> None:
    _edit(folder, **changes)
    with pytest.raises(ModelError, match=said) as caught:
        _check(folder)
    problem = caught.value.problems[0]
    assert str(folder) in problem.what
    assert "config.json" in problem.fix


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": "x"}, "`num_hidden_layers` is 'x'"),
        ({"vocab_size": "x", "hidden_size": 0}, "`vocab_size` is 'x', `hidden_size` is 0"),
        ({"num_attention_heads": 2.5}, "`num_attention_heads` is 2.5"),
        ({"max_position_embeddings": -5}, "`max_position_embeddings` is -5"),
        ({"text_config": {"vocab_size": 0}}, "`text_config.vocab_size` is 0"),
    ],
)
def test_sizes_that_no_model_has_are_refused_at_once_without_transformers(folder: Path, changes: dict[str, Any], said: str) -> None:
    _edit(folder, **changes)
    with pytest.raises(ModelError, match=rf"{said}; expected whole numbers from 1"):
        inspect_folder(folder, str(folder))


def test_architectures_that_are_no_list_are_refused(folder: Path) -> None:
    _edit(folder, architectures=3)
    with pytest.raises(ModelError, match="`architectures` is 3; expected a list"):
        inspect_folder(folder, str(folder))


def test_families_whose_files_name_weights_otherwise_fit(tmp_path: Path) -> None:
    """Mixtral's file has each expert on its own, its model all experts in one tensor; GPT-2's weights are transposed."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    sizes: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    special: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    families = {
        "mixtral": {**sizes, "num_key_value_heads": 2, "num_local_experts": 4},
        "gpt2": {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32},
    }
    for family, shape in families.items():
        folder = tmp_path / family
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**shape, **special)).save_pretrained(folder)
        (folder / "tokenizer.json").write_text("{}")
        _check(folder)
    config = json.loads((tmp_path / "mixtral" / "config.json").read_text())
    (tmp_path / "mixtral" / "config.json").write_text(json.dumps(config | {"num_local_experts": 5}))
    with pytest.raises(ModelError, match="another shape"):
        _check(tmp_path / "mixtral")


def test_folder_is_looked_at_again_only_when_it_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = shapes.read_config
    monkeypatch.setattr(shapes, "read_config", lambda info: looked.append(info.source) or real(info))
    _check(folder)
    _check(folder)
    assert len(looked) == 1
    _edit(folder, intermediate_size=192)
    for _ in range(2):
        with pytest.raises(ModelError, match="another shape"):
            _check(folder)
    assert len(looked) == 3


def test_files_that_the_model_is_not_loaded_from_are_not_its_tensors(folder: Path) -> None:
    whole = tensors_of(folder)
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    (folder / "broken.safetensors").write_bytes(b"x")
    assert tensors_of(folder) == whole
