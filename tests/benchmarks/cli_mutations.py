"""A thousand mistyped command lines: how many end in a traceback, and how many in a message that is not value, expectation, fix.

python -m tests.benchmarks.cli_mutations --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.cli.mutations import lines, run

ROWS = 30


def main() -> None:
    """Run them and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data, workspace = root / "data.jsonl", root / "workspace"
        data.write_text("".join(json.dumps({"prompt": f"p{n}", "completion": f"c{n}"}) + "\n" for n in range(ROWS)))
        os.environ["CODEX_WORKSPACE"] = str(workspace)
        outcomes = [run(arguments) for arguments in lines(options.count, options.seed, data, workspace)]
        left = len(list((workspace / "runs").glob("r-*"))) if workspace.exists() else 0
    faults = [outcome for outcome in outcomes if outcome.fault]
    for outcome in faults:
        print(f"{outcome.arguments!r}\n{outcome.fault}", file=sys.stderr)
    tracebacks = sum(outcome.code is None for outcome in outcomes)
    codes = Counter(str(outcome.code) for outcome in outcomes)
    figures = {
        "command_lines": len(outcomes),
        "tracebacks": tracebacks,
        "bad_messages": len(faults) - tracebacks,
        "runs_left": left,
        "exit_codes": dict(codes),
    }
    report = {
        "benchmark": "cli_mutations",
        "figures": figures,
        "settings": {"count": options.count, "seed": options.seed},
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))
    if faults or left:
        raise SystemExit(f"{len(faults)} bad answers, {left} runs left")


if __name__ == "__main__":
    main()
