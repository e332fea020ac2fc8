"""The wheel works outside the checkout: recipes, notebooks, the model and the app's files are read from inside it.

The wheel is installed by `--no-deps` into an environment of its own, and the tested dependencies come through a `.pth` file; once per
release a full install is tried by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.browser.app import App
from tests.contacts import SHORT_DEMO, VERDICT_OF_SHORT_DEMO, as_a_person, without_network

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(folder),
        str(ROOT),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel and no checkout."""
    folder = tmp_path_factory.mktemp("outside") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        str(wheel),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # A folder that a `.pth` file names gives its packages, but its own `.pth` files, of which one names the checkout, are not read.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "bin"


def _run(
    outside: Path,
    folder: Path,
    command: Sequence[str],
    *,
    before: Sequence[str] = (),
    more: Mapping[str, str] = MappingProxyType({}),
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in as_a_person().items() if name != "PYTHONPATH"} | dict(more)
    whole = [*before, str(outside / command[0]), *command[1:]]
    answer = subprocess.run(whole, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer


def test_wheel_holds_what_is_read_from_it_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"codex/_recipes/{path.relative_to(ROOT / 'recipes')}" for path in (ROOT / "recipes").rglob("*.yaml")}
    shipped |= {f"codex/_notebooks/{name}{ending}" for name in ("quickstart", "session_logs") for ending in (".py", ".ipynb")}
    for folder in ("static", "templates"):
        shipped |= {f"codex_ui/{folder}/{path.name}" for path in (ROOT / "app" / "codex_ui" / folder).iterdir()}
    shipped |= {f"codex/models/codex_tiny/{name}" for name in ("model.safetensors", "tokenizer.json", "config.json")}
    assert len(shipped) >= 60
    assert shipped - names == set()
    assert not [name for name in names if name.startswith(("tests/", "docs/")) or "__pycache__" in name]


def test_commands_of_the_wheel_read_recipes_model_and_notebooks_from_inside_it(outside: Path, tmp_path: Path) -> None:
    from codex import __version__

    assert _run(outside, tmp_path, ["codex-ml", "--version"]).stdout == f"codex-ml {__version__}\n"
    recipes = json.loads(_run(outside, tmp_path, ["codex-ml", "config", "recipes", "--json"]).stdout)
    assert "qlora-docstrings" in json.dumps(recipes)
    program = (
        "import json, codex, codex_ui; from codex.core.paths import shipped_notebooks, shipped_recipes, tiny_model_folder; "
        "folders = map(str, (shipped_recipes(), shipped_notebooks(), tiny_model_folder())); "
        "print(json.dumps([codex.__file__, codex_ui.__file__, *folders]))"
    )
    places = json.loads(_run(outside, tmp_path, ["python", "-c", program]).stdout)
    assert len(places) == 5
    assert all(place.startswith(str(outside.parent)) for place in places), places
    assert not any(place.startswith(str(ROOT)) for place in places)


def test_demo_of_the_wheel_comes_to_a_verdict_without_a_network(outside: Path, tmp_path: Path) -> None:
    demo = ["codex-ml", "demo", "--workspace", str(tmp_path / "w"), "--json"]
    answer = _run(outside, tmp_path, demo, before=without_network(), more=SHORT_DEMO, timeout=600)
    assert re.search(rf'"{VERDICT_OF_SHORT_DEMO}', answer.stdout), answer.stdout
    log = (tmp_path / "w" / "runs" / "r-0001" / "worker.log").read_text()
    assert str(ROOT) not in log
    assert (tmp_path / "w" / "runs" / "r-0001" / "adapter" / "adapter_model.safetensors").is_file()


def test_app_of_the_wheel_serves_home(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(outside / "python"))
    with App(tmp_path / "w") as app:
        assert b"codex" in urllib.request.urlopen(app.url, timeout=30).read()
        parts = json.load(urllib.request.urlopen(f"{app.url}/api/live/home", timeout=30))["parts"]
        assert "Start the default" in parts["home-runs"]
        maps = Path(f"/proc/{app.process.pid}/cmdline").read_text()
        assert str(outside) in maps
