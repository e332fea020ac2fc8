"""The command line in this process, and runs that exist without having been trained."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codex.cli import main
from codex.core.paths import Workspace
from tests.made import Made


@dataclass(frozen=True)
class Answer:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its JSON objects, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Answer]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace, no other variable of ours, and a window of 100 columns."""
    for name in [name for name in os.environ if name.startswith("CODEX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CODEX_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield Workspace(tmp_path / "workspace")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command line in this process."""

    def run(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture
def made(surroundings: Workspace) -> Made:
    """Runs in the workspace."""
    return Made(surroundings)


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """A JSONL file with 40 prompts and completions."""
    path = tmp_path / "chats.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"prompt {number}", "completion": f"completion {number}"}) + "\n" for number in range(40))
    )
    return path
