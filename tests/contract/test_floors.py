"""The floors of the house: imports go down only, and looking at the code is cheap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "duckdb", "polars", "pyarrow",
    "numpy", "mlflow", "hydra", "omegaconf", "gradio", "pydantic", "rich",
}  # fmt: skip
ENGINE_ROOMS = {"codex.training.trainer", "codex.training.optimizers"}


def _loaded_after(code: str) -> set[str]:
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout.splitlines()[-1]))


def _modules() -> list[str]:
    paths = sorted((ROOT / "codex").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if name not in ENGINE_ROOMS and not name.endswith("__main__")]


def test_layers_contract_holds() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    assert "2 kept, 0 broken" in answer.stdout


def test_layers_contract_sees_an_import_that_goes_up(tmp_path: Path) -> None:
    bad = tmp_path / "codex"
    (tmp_path / "codex_ui").mkdir()
    (tmp_path / "codex_ui" / "__init__.py").write_text("")
    for folder in ("core", "services"):
        (bad / folder).mkdir(parents=True)
        (bad / folder / "__init__.py").write_text("")
    (bad / "__init__.py").write_text("")
    (bad / "core" / "wrong.py").write_text("import codex.services\n")
    contract = (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2]
    layers = '    "codex.services",\n    "codex.core",\n'
    head, _, _ = contract.partition("layers = [")
    (tmp_path / "pyproject.toml").write_text(f"[tool.importlinter]{head}layers = [\n{layers}]\n")
    tool = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = subprocess.run([tool], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "codex.core.wrong" in answer.stdout


def test_import_codex_loads_nothing_heavy() -> None:
    assert not _loaded_after("import codex") & HEAVY


def test_import_of_every_module_but_engine_rooms_loads_no_torch() -> None:
    modules = _modules()
    assert len(modules) > 60
    # pydantic and numpy's friends may come with a module that is made of them; the training stack may not.
    loaded = _loaded_after("\n".join(f"import {name}" for name in modules))
    assert not loaded & (HEAVY - {"pydantic", "rich", "numpy"})


@pytest.mark.parametrize("name", ["errors", "registry", "paths", "lazy", "files", "clock", "numbers"])
def test_core_leaves_import_no_pydantic(name: str) -> None:
    assert "pydantic" not in _loaded_after(f"import codex.core.{name}")
