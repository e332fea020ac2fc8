"""What it costs to start: CPU time of `codex-ml --help` and `codex-ui --help` beside that of a bare Python, and of the app up to its
first page beside that of `import gradio`.

    python -m tests.benchmarks.cli_start --json

CPU time (user and system) is what the kernel counted for each process, so a busy machine changes it little. Bytecode is compiled: one
run of each warms it up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from tests.browser.app import App

BARS = {"help_cpu_ms": 150.0, "ui_help_cpu_ms": 200.0, "app_first_page_cpu_s": 10.0, "app_to_gradio_ratio": 1.6}


def cpu_ms(command: list[str]) -> float:
    """CPU milliseconds that one run of `command` takes."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=_environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def _environment() -> dict[str, str]:
    """This process's, with bytecode kept and nobody contacted."""
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}, "GRADIO_ANALYTICS_ENABLED": "False"}


def app_cpu_s() -> float:
    """CPU seconds of the app from its start until its first page was answered."""
    with tempfile.TemporaryDirectory() as folder, App(Path(folder) / "workspace", environment=_environment()) as app:
        with urllib.request.urlopen(f"{app.url}/") as page:
            assert b"gradio_config" in page.read()
        usage = psutil.Process(app.process.pid).cpu_times()
        return usage.user + usage.system


def measure_app(runs: int) -> dict[str, float]:
    """Medians of the app's first page and of `import gradio`, taken in turn after one of each."""
    gradio = [sys.executable, "-c", "import gradio"]
    app_cpu_s()
    cpu_ms(gradio)
    pairs = [(app_cpu_s(), cpu_ms(gradio) / 1000) for _ in range(runs)]
    app, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"app_first_page_cpu_s": round(app, 2), "import_gradio_cpu_s": round(peer, 2), "app_to_gradio_ratio": round(app / peer, 2)}


def measure(runs: int) -> dict[str, float]:
    """Medians over `runs` runs of each, taken in turn, after one that warms the file cache."""
    programs = Path(sys.executable).parent
    commands = {
        "help_cpu_ms": [str(programs / "codex-ml"), "--help"],
        "ui_help_cpu_ms": [str(programs / "codex-ui"), "--help"],
        "bare_python_cpu_ms": [sys.executable, "-c", "pass"],
        "import_typer_cpu_ms": [sys.executable, "-c", "import typer"],
    }
    for command in commands.values():
        cpu_ms(command)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            taken[name].append(cpu_ms(command))
    medians = {name: round(statistics.median(values), 1) for name, values in taken.items()}
    peers = {"ratio": "bare_python_cpu_ms", "help_to_typer_ratio": "import_typer_cpu_ms"}
    return {**medians, **{name: round(medians["help_cpu_ms"] / medians[peer], 2) for name, peer in peers.items()}}


def main() -> int:
    """Measure, print, and end with 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--app-runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    started = time.monotonic()
    figures = {**measure(options.runs), **measure_app(options.app_runs)}
    settings = {"n": options.runs, "app_n": options.app_runs, "python": platform.python_version(), "bars": BARS}
    report = {"benchmark": "cli_start", "figures": figures, "settings": settings, "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))
    return int(any(figures[name] > bar for name, bar in BARS.items()))


if __name__ == "__main__":
    sys.exit(main())
