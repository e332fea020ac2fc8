"""A model folder is looked at without loading it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import ModelError
from codex.models.folder import INDEX, WEIGHTS, inspect_folder, read_header


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


@pytest.fixture
def sharded(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny model in several files."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(tiny_folder).save_pretrained(target, max_shard_size="100KB")
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(target)
    assert len(list(target.glob("*.safetensors"))) > 2
    return target


def _problem(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_folder(folder, "x")
    return str(caught.value)


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_whole_folder_is_described_as_transformers_sees_it(tiny_folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_folder)
    info = inspect_folder(tiny_folder, "mine")
    assert info.parameters == model.num_parameters()
    assert info.architecture == type(model).__name__
    assert (info.source, info.model_type, info.context, info.vocabulary) == ("mine", "llama", 256, 512)
    assert (info.dtype, info.quantized) == ("F32", None)
    assert info.size_bytes == (tiny_folder / WEIGHTS).stat().st_size


def test_sharded_folder_has_the_parameters_of_the_single_file(tiny_folder: Path, sharded: Path) -> None:
    whole, parts = inspect_folder(tiny_folder, "x"), inspect_folder(sharded, "x")
    assert parts.parameters == whole.parameters
    assert parts.size_bytes == sum(path.stat().st_size for path in sharded.glob("*.safetensors"))


def test_header_names_every_tensor_with_its_shape(tiny_folder: Path) -> None:
    from safetensors import safe_open

    header = read_header(tiny_folder / WEIGHTS)
    with safe_open(tiny_folder / WEIGHTS, "pt") as file:
        assert {name: list(tensor.shape) for name, tensor in header.items()} == {n: file.get_slice(n).get_shape() for n in file.keys()}  # noqa: SIM118


def test_empty_folder_lists_all_that_is_missing(tmp_path: Path) -> None:
    problem = _problem(tmp_path)
    for part in ("config.json", WEIGHTS, "tokenizer.json"):
        assert part in problem


def test_missing_shard_and_missing_tensor_are_both_named(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    first, second = sorted(set(index["weight_map"].values()))[:2]
    (sharded / first).unlink()
    index["weight_map"]["model.ghost"] = second
    (sharded / INDEX).write_text(json.dumps(index))
    problem = _problem(sharded)
    assert first in problem
    assert f"'model.ghost' in {second}" in problem
    assert problem.count(".safetensors (named") == 1


def test_index_that_points_outside_is_not_followed(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    tensor, shard = next(iter(index["weight_map"].items()))
    shutil.copy(sharded / shard, sharded.parent / "outside.safetensors")
    index["weight_map"][tensor] = "../outside.safetensors"
    (sharded / INDEX).write_text(json.dumps(index))
    assert "../outside.safetensors (named" in _problem(sharded)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_weights_cut_short_are_found(folder: Path, kept: int) -> None:
    raw = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(raw[:kept])
    problem = _problem(folder)
    assert WEIGHTS in problem
    assert "incomplete" in problem


def test_weights_that_are_no_safetensors_are_found(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"PK\x03\x04" + b"\0" * 500)
    assert "no safetensors file" in _problem(folder)


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_broken_config_is_named(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content, encoding="latin-1")
    assert "config.json is not" in _problem(folder)


def test_pickled_weights_only_are_refused_with_a_fix(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    problem = _problem(folder)
    assert "'pytorch_model.bin'" in problem
    assert "save_pretrained" in problem


def test_leftovers_of_training_do_not_count_as_weights(folder: Path) -> None:
    (folder / "training_args.bin").write_bytes(b"x")
    inspect_folder(folder, "x")
    (folder / WEIGHTS).unlink()
    assert "incomplete" in _problem(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_own_code_is_refused(folder: Path, name: str) -> None:
    _edit(folder / name, auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    problem = _problem(folder)
    assert "auto_map" in problem
    assert name in problem


def test_adapter_folder_is_told_from_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "is an adapter" in _problem(tmp_path)


def test_file_in_place_of_a_folder_is_refused(tiny_folder: Path) -> None:
    assert "is a file" in _problem(tiny_folder / WEIGHTS)


def test_codex_tiny_without_weights_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="recipe=pretrain-tiny"):
        inspect_folder(tmp_path, "codex-tiny")


def test_describing_needs_neither_torch_nor_transformers(tiny_folder: Path) -> None:
    program = (
        "import sys; from codex.config.schema import ModelConfig; from codex.core.paths import Workspace;"
        "from codex.models.load import describe;"
        f"describe(ModelConfig(source={str(tiny_folder)!r}), Workspace.locate('/nowhere'));"
        "print({'torch', 'transformers', 'numpy', 'safetensors', 'huggingface_hub'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"
