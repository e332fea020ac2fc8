"""`codex-ui` as a command: light until it starts, and errors in words."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from codex_ui.cli import main

HEAVY = {
    "gradio",
    "fastapi",
    "uvicorn",
    "starlette",
    "pydantic",
    "torch",
    "transformers",
    "duckdb",
    "polars",
    "numpy",
    "jinja2",
    "plotly",
    "rich",
}


@pytest.mark.parametrize("arguments", [["--help"], ["--nonsense"]])
def test_help_and_refusals_import_nothing_heavy(arguments: list[str]) -> None:
    program = f"import json, sys; from codex_ui.cli import main; code = main({arguments!r}); print(json.dumps([code, sorted(sys.modules)]))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, loaded = json.loads(answer.stdout.splitlines()[-1])
    assert code == (0 if arguments == ["--help"] else 2)
    assert not {name.partition(".")[0] for name in loaded} & HEAVY


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--host", "--port", "--workspace", "--open", "--no-open", "--token"))


def test_what_is_wrong_is_said_in_words_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--token", "x", "--no-open"]) == 2
    assert main(["--workspace", "~nobody-here/w", "--no-open"]) == 2
    assert main(["--port", "many"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Error: ") for line in lines)
    assert "Traceback" not in "".join(lines)
