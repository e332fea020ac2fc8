"""Parts that the session log's tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codex.sessionlog import SessionLog
from codex.sessionlog.compactor import Compactor

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def log(folder: Path) -> Iterator[SessionLog]:
    """An empty log in a workspace of its own."""
    with SessionLog.open(folder) as opened:
        yield opened


@pytest.fixture
def no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compaction without the text index, which takes most of its time."""
    monkeypatch.setattr(Compactor, "bring_text_up_to_date", lambda _: None)


@pytest.fixture
def segments(folder: Path) -> Path:
    """Where that log's segments are."""
    return folder / "log" / "segments"


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `code` in a process of its own, with pipes for what it is told and says; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_python(start_python: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Run `code` in a process of its own and return what it printed; it must end well."""

    def run(code: str, *arguments: object) -> str:
        process = start_python(code, *arguments)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return out

    return run
