"""The default run, from the command to its verdict, as a person has it after the install.

    python -m tests.benchmarks.demo --json

Exits with 1 when the verdict is not "Better" with an interval away from 0, when training takes more than 120 CPU-seconds, or all of
it more than 6 minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST_SECONDS = 360.0
MOST_CPU_SECONDS = 120.0


def main() -> None:
    """Run the demo in an empty workspace and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.parse_args()
    command = str(Path(sys.executable).with_name("codex-ml"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        subprocess.run([command, "demo", "--json", "--workspace", folder], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        report = json.loads((Path(folder) / "runs" / "r-0001" / "report.json").read_text())
    verdict = report["verdict"]
    loss = next(row for row in verdict["metrics"] if row["name"] == "answer-loss")
    figures = {
        "better": float(verdict["word"] == "Better"),
        "training_cpu_s": report["training"]["cpu_seconds_last_attempt"],
        "whole_s": round(seconds, 1),
        "answer_loss_base": loss["base"],
        "answer_loss_adapter": loss["adapter"],
        "difference": loss["difference"]["value"],
        "difference_low": loss["difference"]["low"],
        "difference_high": loss["difference"]["high"],
        "style": verdict["style"]["value"],
        "task": verdict["task"]["value"],
    }
    settings = {"recipe": "qlora-docstrings", "seed": report["seed"], "python": sys.version.split()[0]}
    print(json.dumps({"benchmark": "demo", "figures": figures, "settings": settings, "seconds": round(seconds, 1)}))
    good = figures["better"] and figures["difference_high"] < 0
    if not good or figures["training_cpu_s"] > MOST_CPU_SECONDS or seconds > MOST_SECONDS:
        raise SystemExit("the demo missed its bar")


if __name__ == "__main__":
    main()
