"""`codex-ml notebooks` serves the notebooks until Ctrl-C, and says so when it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from codex.core.paths import PACKAGE, Workspace
from codex.services import side
from codex.services.side_program import SideProgram, SideStatus
from tests.cli.conftest import Cli
from tests.services.test_side import gone, processes_of, until


def test_notebooks_serve_until_ctrl_c(surroundings: Workspace) -> None:
    command = [sys.executable, "-m", "codex.cli", "notebooks", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = json.loads(process.stdout.readline())
        living = processes_of(said["url"])
        assert said["program"] == "marimo"
        assert said["folder"] == str(surroundings.root / "notebooks")
        assert (Path(said["folder"]) / "quickstart.py").is_file()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()  # leaving the block waits for it, however this went
        assert process.stderr.read() == "\n"
    until(lambda: gone(living), "marimo's end")


class Ended(SideProgram):
    """One that is open and has ended when it is looked at again."""

    @property
    def status(self) -> SideStatus:
        return SideStatus("ended", reason="It ended by itself with exit code 3.", lines=("no more memory",))

    def open(self, patience_s: float = 0.0) -> str:
        return "http://127.0.0.1:1/?token=x"


@pytest.mark.parametrize(("arguments", "name"), [((), "marimo"), (("--jupyter",), "JupyterLab")])
def test_notebooks_that_end_by_themselves_are_an_error(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], name: str
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url))
    monkeypatch.setattr(side, "notebooks", lambda workspace: Ended(side.MARIMO, workspace))
    monkeypatch.setattr(side, "lab", lambda workspace: Ended(side.JUPYTERLAB, workspace))
    answer = cli("notebooks", *arguments, "--open")
    assert (answer.code, answer.out) == (2, "http://127.0.0.1:1/?token=x\n")
    assert opened == ["http://127.0.0.1:1/?token=x"]
    assert f"Error: {name} is gone: It ended by itself with exit code 3. It wrote: no more memory; expected" in answer.err
    assert "No browser was found here" in answer.err
    cli("notebooks", *arguments)
    assert len(opened) == 1
