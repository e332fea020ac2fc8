"""The command that asks for what a run was asked for."""

from __future__ import annotations

import shlex
from pathlib import Path

from codex.config.compose import compose
from codex.core.paths import Workspace
from codex.services.setup import command_of


def test_command_asks_for_the_same_configuration(tmp_path: Path) -> None:
    environ = {"CODEX_TRAINING__STEPS": "9", "CODEX_EVALUATION__EXAMPLES": "30"}
    asked = compose("lora-docstrings", ["method.rank=8", "title=A try", "training.steps=8"], environ=environ, values={"seed": 7})
    command = command_of(asked.asked_yaml(), Workspace(tmp_path))
    assert command is not None
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["codex-ml", "train"]
    assert words[-2:] == ["--workspace", str(tmp_path)]
    assert compose(overrides=words[2:-2], environ={}).resolved_yaml() == asked.resolved_yaml()


def test_command_of_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert command_of("recipe: [", Workspace(tmp_path)) is None
    assert command_of("7", Workspace(tmp_path)) is None
