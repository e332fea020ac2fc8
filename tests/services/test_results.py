"""What a run trained is told from its method and its folder as it stands, the same in every face."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.services import runs
from codex.services.results import result_of
from tests.made import Made, whole_weights


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(Workspace(tmp_path / "workspace").create())


def _of_method(run: Run, method: str) -> Run:
    run.resolved.write_text(f"recipe: qlora-docstrings\nmethod:\n  name: {method}\n")
    return run


def _problem(run: Run) -> str:
    found = result_of(run)
    assert found is not None and found.kind == "damaged" and found.problem is not None
    assert runs.loading_code(run) == found.code == f"# It cannot be loaded: {found.problem}"
    assert "\n" not in found.code
    return found.problem


def test_run_that_has_trained_nothing_has_no_result(made: Made) -> None:
    run = made.run()
    assert result_of(run) is None
    assert runs.loading_code(run) is None


def test_whole_adapter_names_its_base_in_the_code_that_loads_it(made: Made) -> None:
    for method in ("qlora", "lora"):
        run = _of_method(made.finished(), method)
        found = result_of(run)
        assert found is not None and (found.kind, found.base, found.problem) == ("adapter", "/models/base", None)
        assert f"from_pretrained('/models/base'), {str(run.adapter)!r})" in (runs.loading_code(run) or "")


def test_whole_model_of_full_training_loads_without_peft(made: Made, tiny_folder: Path) -> None:
    run = _of_method(made.run(), "full")
    shutil.copytree(tiny_folder, run.adapter)
    found = result_of(run)
    assert found is not None and found.kind == "model"
    assert "peft" not in found.code and repr(str(run.adapter)) in found.code
    run.resolved.unlink()  # then the folder alone tells
    assert result_of(run) == found
    weights = run.adapter / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "is incomplete: model.safetensors is cut short" in _problem(run)


@pytest.mark.parametrize("method", ["qlora", "lora", "full", None])
def test_empty_folder_is_no_model_whatever_the_method(made: Made, method: str | None) -> None:
    run = made.finished()
    if method:
        _of_method(run, method)
    shutil.rmtree(run.adapter)
    run.adapter.mkdir()
    missing = "config.json" if method == "full" else "adapter_config.json; adapter_model.safetensors"
    assert f"is incomplete: {missing}" in _problem(run)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_adapter_without_one_of_its_files_is_damaged(made: Made, name: str) -> None:
    run = _of_method(made.finished(), "qlora")
    (run.adapter / name).unlink()
    assert _problem(run).startswith(f"the adapter folder {str(run.adapter)!r} is incomplete: {name}; expected adapter_config.json and")


@pytest.mark.parametrize("size", [0, 7, 64, 2047])
def test_adapter_whose_weights_are_cut_short_is_damaged(made: Made, size: int) -> None:
    run = _of_method(made.finished(), "lora")
    (run.adapter / "adapter_model.safetensors").write_bytes(whole_weights(2048)[:size])
    assert "adapter_model.safetensors is cut short" in _problem(run)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"base_model_name_or_path": null}', "\x00", "[" * 200_000])
def test_adapter_with_a_damaged_config_says_so(made: Made, text: str) -> None:
    run = made.finished()
    (run.adapter / "adapter_config.json").write_text(text)
    said = _problem(run)
    assert said.startswith(f"the adapter {str(run.adapter)!r} is damaged: ")
    assert said.endswith("expected what PEFT wrote there. Copy the folder again, or train again.")


def test_adapter_of_a_configuration_that_cannot_be_read_is_told_by_its_folder(made: Made) -> None:
    run = made.finished()
    for text in ("", "[", "method: {name: unknown}", "method: {name: [qlora]}"):
        run.resolved.write_text(text)
        found = result_of(run)
        assert found is not None and found.kind == "adapter"
    run.resolved.write_bytes(b"\xff")
    assert json.loads((run.adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "/models/base"
    assert (found := result_of(run)) is not None and found.kind == "adapter"
