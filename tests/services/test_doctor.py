"""What doctor says of a machine on which something is amiss."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import pytest

from codex.cli import main
from codex.core.paths import Workspace
from codex.services import doctor
from codex.services.doctor import PACKAGES, Check, examine


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without nvidia-smi."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


@pytest.fixture
def nvidia_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The script that is found as nvidia-smi."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "nvidia-smi"


def write_script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def looked(workspace: Workspace) -> dict[str, Check]:
    found = examine(workspace)
    names = [check.name for check in found if check.name != "GPU"]
    assert len(names) == len(set(names))
    return {check.name: check for check in found}


def cuda(monkeypatch: pytest.MonkeyPatch, usable: bool) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)


def leave_out(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make `package` one that is not installed."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.usefixtures("no_driver")
def test_examine_whole_machine_misses_nothing_and_makes_the_workspace(workspace: Workspace) -> None:
    found = looked(workspace)
    assert [check for check in found.values() if check.state == "missing"] == []
    assert found.keys() >= {"System", "Python", "Processor", "Memory", "GPU", *PACKAGES, "mlflow", "codex-tiny", "Workspace"}
    assert found["torch"].found == importlib.metadata.version("torch")
    assert str(workspace.root) in found["Workspace"].found
    assert workspace.runs.is_dir()


@pytest.mark.usefixtures("no_driver")
def test_examine_without_a_driver_is_a_note_for_the_processor_will_do(workspace: Workspace) -> None:
    check = looked(workspace)["GPU"]
    assert (check.state, check.found) == ("note", "no NVIDIA driver found")
    assert "processor" in check.fix


@pytest.mark.usefixtures("no_driver")
def test_examine_without_weights_of_the_default_model_names_them(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "tiny_model_folder", lambda: tmp_path / "nothing")
    check = looked(workspace)["codex-tiny"]
    assert check.state == "missing"
    assert "weights" in check.found
    assert "Install codex-ml again" in check.fix


@pytest.mark.usefixtures("no_driver")
def test_examine_workspace_with_a_file_in_its_way_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    check = looked(Workspace(tmp_path / "file" / "workspace"))["Workspace"]
    assert check.state == "missing"
    assert str(tmp_path / "file" / "workspace") in check.found
    assert "--workspace DIR" in check.fix


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize(("free_gib", "state"), [(4.9, "note"), (5.1, "ok")])
def test_examine_workspace_with_little_room_is_a_note(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, free_gib: float, state: str
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=2**40, used=0, free=int(free_gib * 2**30)))
    check = looked(workspace)["Workspace"]
    assert check.state == state
    assert f"{free_gib} GiB free" in check.found
    assert bool(check.fix) == (state == "note")


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize("package", PACKAGES)
def test_examine_without_a_package_names_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    leave_out(monkeypatch, package)
    found = looked(workspace)
    assert [check.name for check in found.values() if check.state == "missing"] == [package]
    assert found[package].found == "not installed"
    assert "pip install codex-ml" in found[package].fix


@pytest.mark.usefixtures("no_driver")
def test_examine_without_mlflow_names_the_extra_and_how_to_do_without(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out(monkeypatch, "mlflow")
    check = looked(workspace)["mlflow"]
    assert check.state in ("missing", "note")
    assert "not installed" in check.found
    assert "codex-ml[tracking]" in check.fix
    assert "tracking.mlflow=false" in check.fix


def test_examine_gpu_that_torch_can_use_is_shown_with_its_memory(
    workspace: Workspace, nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda(monkeypatch, True)
    write_script(nvidia_smi, 'echo "Some GPU, 24576, 20480, 580.1"')
    found = looked(workspace)
    assert found["GPU"] == Check("GPU", "ok", "Some GPU, 20.0 of 24.0 GiB free, driver 580.1")
    assert "PyTorch on GPU" not in found


def test_examine_several_gpus_are_shown_each(workspace: Workspace, nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, True)
    write_script(nvidia_smi, 'echo "First, 1024, 1024, 580.1"', 'echo "Second, 2048, 1024, 580.1"')
    assert [check.found.partition(",")[0] for check in examine(workspace) if check.name == "GPU"] == ["First", "Second"]


def test_examine_gpu_that_torch_cannot_use_names_the_build_to_install(
    workspace: Workspace, nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    cuda(monkeypatch, False)
    write_script(nvidia_smi, 'echo "Some GPU, 24576, 20480, 580.1"')
    found = looked(workspace)
    assert found["GPU"].state == "ok"
    assert found["PyTorch on GPU"].state == "missing"
    assert torch.__version__ in found["PyTorch on GPU"].found
    assert "pip install torch" in found["PyTorch on GPU"].fix


@pytest.mark.parametrize("stream", ["1", "2"])
def test_examine_failing_nvidia_smi_is_named_with_its_own_words(workspace: Workspace, nvidia_smi: Path, stream: str) -> None:
    write_script(nvidia_smi, f'echo "couldn\'t talk to the driver" >&{stream}', "exit 9")
    check = looked(workspace)["GPU"]
    assert check.state == "missing"
    assert "couldn't talk to the driver" in check.found
    assert "driver" in check.fix


def test_doctor_on_a_machine_with_something_missing_ends_with_1(
    workspace: Workspace, nvidia_smi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_script(nvidia_smi, "exit 9")
    assert main(["doctor", "--workspace", str(workspace.root)]) == 1
    said = capsys.readouterr()
    assert "Missing: GPU." in said.err
    assert "Repair the NVIDIA driver." in said.out
    assert main(["doctor", "--json", "--workspace", str(workspace.root)]) == 1
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in found if check["state"] == "missing"] == ["GPU"]


@pytest.mark.usefixtures("no_driver")
def test_doctor_on_a_whole_machine_ends_with_0(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--workspace", str(workspace.root)]) == 0
    assert "Everything that is needed is here." in capsys.readouterr().err
