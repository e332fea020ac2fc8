"""How Codex starts itself as another process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from codex.core.paths import PACKAGE

QUIET_AND_OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",  # a worker that is killed must not take its last lines with it
}
"""What every worker's environment holds, unless its launch says otherwise: no network, no telemetry."""


def python_module(module: str, *arguments: str | Path) -> list[str]:
    """The command that runs `module` with this Python; `-P` keeps a run's own files from being imported."""
    return [sys.executable, "-P", "-m", module, *(str(argument) for argument in arguments)]


def worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, made quiet and offline, then changed by `extra`."""
    environment = {**os.environ, **QUIET_AND_OFFLINE, **extra}
    home = PACKAGE.parent
    if home.name not in ("site-packages", "dist-packages"):  # a checkout, which the new process must find as well
        paths = [str(home), *(path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(home))]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment
