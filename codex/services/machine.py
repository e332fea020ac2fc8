"""What this machine is, in numbers, and what that means for training; it loads nothing heavy and asks no network."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codex.core.paths import Workspace

GPU_SECONDS = 5.0
"""How long an answer of nvidia-smi is kept: asking takes longer than looking at everything else together."""
LEAST_FREE_GIB = 5.0
"""Room on disk under which a larger model's checkpoints may not fit."""
QUERY = "--query-gpu=name,memory.total,memory.free,driver_version"


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as its driver describes it.

    Args:
        name: of the card.
        total, free: memory, GiB; None where the driver does not know.
        driver: its version.
    """

    name: str
    total: float | None
    free: float | None
    driver: str


@dataclass(frozen=True)
class Gpus:
    """The GPUs that were found, or why none could be asked for.

    Args:
        found: in the driver's order.
        problem: what went wrong; None when all is well, also when there is no driver.
        driver: whether there is an NVIDIA driver.
    """

    found: tuple[Gpu, ...] = ()
    problem: str | None = None
    driver: bool = False


@dataclass(frozen=True)
class Machine:
    """The machine that runs would be on.

    Args:
        processor: its name.
        cores: those that this process may use.
        bf16: whether the processor has AVX512-BF16.
        memory_total, memory_free: RAM, GiB; free is what programs can still take.
        disk_free: room for the workspace, GiB.
        gpus: NVIDIA GPUs.
    """

    processor: str
    cores: int
    bf16: bool
    memory_total: float
    memory_free: float
    disk_free: float
    gpus: Gpus

    @property
    def meaning(self) -> str:
        """What it means for training, in a sentence or two."""
        if self.gpus.problem:
            return f"The GPU cannot be asked: {self.gpus.problem}. `codex-ml doctor` says more."
        if not self.gpus.found:
            return "No NVIDIA GPU: training runs on the processor. Fine for codex-tiny, slow past about 100M parameters."
        largest = max(gpu.total or 0.0 for gpu in self.gpus.found)
        if largest >= 20:
            return "QLoRA of models up to about 8B parameters is the aim of the recipe `qlora-8b-24gb`."
        return "Training runs on the GPU. The recipe `qlora-8b-24gb` asks for 24 GB; smaller models take less."


def processor_name() -> str:
    """The processor as the system calls it."""
    return next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor())


def processor_flags() -> frozenset[str]:
    """What the processor can do, by the kernel's names."""
    return frozenset(flag for line in _cpuinfo() if line.startswith("flags") for flag in line.split())


@cache
def _cpuinfo() -> tuple[str, ...]:
    try:
        return tuple(Path("/proc/cpuinfo").read_text().splitlines())
    except OSError:
        return ()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def ask_gpus() -> Gpus:
    """What nvidia-smi says now."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Gpus()
    try:
        command = [tool, QUERY, "--format=csv,noheader,nounits"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Gpus(problem=f"nvidia-smi does not answer: {error}", driver=True)
    if answer.returncode != 0:
        return Gpus(problem=f"nvidia-smi failed: {(answer.stderr or answer.stdout).strip()[:200]}", driver=True)
    return Gpus(tuple(_gpu(line) for line in answer.stdout.strip().splitlines()), driver=True)


def _gpu(line: str) -> Gpu:
    name, total, free, driver = (part.strip() for part in line.split(","))
    return Gpu(name, _gib(total), _gib(free), driver)


def _gib(mebibytes: str) -> float | None:
    """A number of MiB in GiB; None for what nvidia-smi says where it does not know (`[N/A]`)."""
    return int(mebibytes) / 1024 if mebibytes.isdecimal() else None


_kept: tuple[float, Gpus] | None = None


def gpus() -> Gpus:
    """The GPUs as of at most `GPU_SECONDS` ago."""
    global _kept
    now = time.monotonic()
    if _kept is None or now - _kept[0] > GPU_SECONDS:
        _kept = (now, ask_gpus())
    return _kept[1]


def disk_free(workspace: Workspace) -> float:
    """Room on the workspace's disk, GiB; of the nearest folder that exists, while the workspace does not."""
    folder = workspace.root
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**30


def look(workspace: Workspace) -> Machine:
    """The machine as it is now; cheap enough to ask every second."""
    import psutil

    memory = psutil.virtual_memory()
    return Machine(
        processor=processor_name(),
        cores=usable_cores(),
        bf16="avx512_bf16" in processor_flags(),
        memory_total=memory.total / 2**30,
        memory_free=memory.available / 2**30,
        disk_free=disk_free(workspace),
        gpus=gpus(),
    )
