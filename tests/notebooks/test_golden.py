"""The Jupyter notebooks, run from top to bottom: their outputs are those that are kept in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codex.core.paths import PACKAGE, shipped_notebooks

SANITIZE = Path(__file__).with_name("sanitize.cfg")
GOLDEN = {"quickstart.ipynb": (9, 3), "session_logs.ipynb": (14, 0)}
"""Of each notebook: its cells of code, and those whose output is of one machine and not compared; they must run all the same."""
MEASURED = {"quickstart.ipynb"}
"""Those whose numbers are measured, and differ; in all others every number counts."""


def code_cells(name: str) -> list[dict[str, Any]]:
    """The cells of code of a notebook."""
    cells = json.loads((shipped_notebooks() / name).read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def _check(notebook: Path, folder: Path, *, measured: bool = True) -> subprocess.CompletedProcess[str]:
    """What nbval says of `notebook`, run in an empty workspace below `folder`; with `measured`, numbers may differ."""
    (folder / "pytest.ini").write_text("[pytest]\n")  # else it would take this project's settings
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env"]
    command += ["--nbval-sanitize-with", str(SANITIZE)] if measured else []
    command += ["-p", "no:cacheprovider", "-c", str(folder / "pytest.ini"), "--rootdir", str(folder), str(notebook)]
    environment = {**os.environ, "CODEX_WORKSPACE": str(folder / "workspace"), "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_every_notebook_is_golden() -> None:
    assert {path.name for path in shipped_notebooks().glob("*.ipynb")} == GOLDEN.keys()


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_notebook_gives_the_outputs_that_it_holds(name: str, tmp_path: Path) -> None:
    notebook, count = tmp_path / name, GOLDEN[name][0]
    shutil.copyfile(shipped_notebooks() / name, notebook)
    answer = _check(notebook, tmp_path, measured=name in MEASURED)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert len(code_cells(name)) == count
    assert re.search(rf"\b{count} passed\b", answer.stdout), answer.stdout
    made = tmp_path / "workspace"
    assert (made / "runs" / "r-0001" / "report.json").is_file() if name == "quickstart.ipynb" else not made.exists()


def test_golden_check_sees_a_difference(tmp_path: Path) -> None:
    """A wrong word is found, another number is not."""
    kept = {"right": "Better: by 0.5\n", "wrong": "Worse: by 0.7\n"}
    cells = [
        {
            "cell_type": "code", "id": name, "metadata": {}, "execution_count": 1, "source": "print('Better: by 0.7')",
            "outputs": [{"output_type": "stream", "name": "stdout", "text": text}],
        }
        for name, text in kept.items()
    ]  # fmt: skip
    notebook = tmp_path / "two.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    answer = _check(notebook, tmp_path)
    assert answer.returncode == 1
    assert "1 failed, 1 passed" in answer.stdout


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_notebook_is_small_whole_and_of_no_machine(name: str) -> None:
    cells, path = code_cells(name), shipped_notebooks() / name
    assert path.stat().st_size < 100_000
    assert all(cell["execution_count"] == number for number, cell in enumerate(cells, 1))
    assert sum("nbval-ignore-output" in cell["metadata"].get("tags", ()) for cell in cells) == GOLDEN[name][1]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs)
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"/tmp/|/root/|/work/|https?://", text)
