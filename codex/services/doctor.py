"""What this machine is, what works on it, and what to install for the rest."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from codex.core.errors import UserError
from codex.core.paths import Workspace, tiny_model_folder
from codex.services.log_state import damage
from codex.services.machine import LEAST_FREE_GIB, ask_gpus, disk_free, processor_flags, processor_name, usable_cores

State = Literal["ok", "note", "missing"]

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "duckdb", "polars", "hydra-core", "pydantic")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what it is about.
        state: `ok`; `note` works with a limit; `missing` does not work.
        found: what was found.
        fix: what to do about it, "" when there is nothing to do.
    """

    name: str
    state: State
    found: str
    fix: str = ""


def _system() -> Iterator[Check]:
    release = platform.release()
    kind = "WSL2" if "microsoft" in release.lower() else platform.system()
    if sys.platform == "win32":
        yield Check("System", "missing", "native Windows", "Use WSL2: Codex runs on Linux and WSL2.")
    elif sys.platform == "darwin":
        yield Check("System", "note", f"macOS {platform.mac_ver()[0]}", "No 4-bit training and no sandbox here; Linux has both.")
    else:
        yield Check("System", "ok", f"{kind} {release}, {platform.machine()}")
    yield Check("Python", "ok", f"{platform.python_version()} at {sys.executable}")


def _processor() -> Iterator[Check]:
    import psutil

    bf16 = "avx512_bf16" in processor_flags()
    yield Check("Processor", "ok", f"{processor_name()}, {usable_cores()} cores usable{', AVX512-BF16' if bf16 else ''}")
    if bf16:
        found = "this processor makes bitsandbytes repack 4-bit weights in eval; Codex turns that off when it loads a model"
        yield Check("4-bit on CPU", "ok", found)
    memory = psutil.virtual_memory()
    yield Check("Memory", "ok", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free")


def _graphics() -> Iterator[Check]:
    gpus = ask_gpus()
    if gpus.problem:
        yield Check("GPU", "missing", gpus.problem, "Repair the NVIDIA driver.")
        return
    if not gpus.driver:
        fix = "Training runs on the processor: fine for codex-tiny, slow past about 100M parameters."
        yield Check("GPU", "note", "no NVIDIA driver found", fix)
        return
    for gpu in gpus.found:
        yield Check("GPU", "ok", f"{gpu.name}, {_gib(gpu.free)} of {_gib(gpu.total)} GiB free, driver {gpu.driver}")
    import torch

    if not torch.cuda.is_available():
        fix = "Install a CUDA build of the same version: `pip install torch==2.13.0` from the index for your driver."
        yield Check("PyTorch on GPU", "missing", f"torch {torch.__version__} cannot use the GPU", fix)


def _gib(number: float | None) -> str:
    """Memory in GiB; what nvidia-smi says where it does not know."""
    return "[N/A]" if number is None else f"{number:.1f}"


def _packages() -> Iterator[Check]:
    for package in PACKAGES:
        try:
            yield Check(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Check(package, "missing", "not installed", "Install it again: `pip install codex-ml`.")
    try:
        yield Check("mlflow", "ok", importlib.metadata.version("mlflow"))
    except importlib.metadata.PackageNotFoundError:
        fix = "`pip install 'codex-ml[tracking]'`, or run with `tracking.mlflow=false`."
        yield Check("mlflow", "missing", "not installed: runs are not tracked in MLflow", fix)


def _model() -> Iterator[Check]:
    weights = tiny_model_folder() / "model.safetensors"
    if weights.is_file():
        yield Check("codex-tiny", "ok", f"{weights.stat().st_size / 1e6:.1f} MB at {weights.parent}")
    else:
        yield Check("codex-tiny", "missing", "its weights are not in this installation", "Install codex-ml again.")


def _workspace(workspace: Workspace) -> Iterator[Check]:
    try:
        workspace.create()
    except UserError as error:
        problem = error.problems[0]
        yield Check("Workspace", "missing", problem.what, problem.fix)
        return
    free = disk_free(workspace)
    fix = "" if free >= LEAST_FREE_GIB else "Free some: checkpoints of larger models take gigabytes."
    yield Check("Workspace", "note" if fix else "ok", f"{workspace.root}, {free:.1f} GiB free", fix)


def _log(workspace: Workspace) -> Iterator[Check]:
    try:
        found = damage(workspace)
    except UserError as error:
        yield Check("Session log", "missing", error.problems[0].what, error.problems[0].fix)
        return
    if found:
        yield Check("Session log", "note", found, "What is whole can be read; the damaged events are lost.")
    else:
        yield Check("Session log", "ok", "every event is whole")


def examine(workspace: Workspace) -> list[Check]:
    """Look at everything; a check that fails is in the list, not an exception."""
    looks: list[Callable[[], Iterator[Check]]] = [_system, _processor, _graphics, _packages, _model]
    looks += [lambda: _workspace(workspace), lambda: _log(workspace)]
    return [check for look in looks for check in look()]
