"""A workspace with recipes of its own, and a composition that hears no variables of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from codex.config.compose import Composed, compose
from codex.core.errors import ConfigError, Problem
from codex.core.paths import Workspace


class Write(Protocol):
    """Writes one of the workspace's recipes and returns its path."""

    def __call__(self, name: str, text: str | bytes) -> Path: ...


class ComposeHere(Protocol):
    """Composes in the workspace."""

    def __call__(
        self, *overrides: str, recipe: str = ..., environ: Mapping[str, str] | None = ..., values: Mapping[str, Any] | None = ...
    ) -> Composed: ...


class ProblemsHere(Protocol):
    """The problems of what cannot be composed in the workspace."""

    def __call__(
        self, *overrides: str, recipe: str = ..., environ: Mapping[str, str] | None = ..., values: Mapping[str, Any] | None = ...
    ) -> Sequence[Problem]: ...


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace in a folder whose name is as awkward as a person may choose."""
    root = tmp_path / "my work [é] 🐍='x'"
    (root / "recipes").mkdir(parents=True)
    return Workspace(root)


@pytest.fixture
def write(workspace: Workspace) -> Write:
    """Writes a recipe into the workspace."""

    def write_one(name: str, text: str | bytes) -> Path:
        path = workspace.recipes / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_one


@pytest.fixture
def composed(workspace: Workspace) -> ComposeHere:
    """Composes in the workspace, with no variables but those given."""

    def compose_here(
        *overrides: str, recipe: str = "qlora-docstrings", environ: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None
    ) -> Composed:
        return compose(recipe, overrides, workspace=workspace, environ=environ or {}, values=values)

    return compose_here


@pytest.fixture
def problems(composed: ComposeHere) -> ProblemsHere:
    """Composes what is wrong, and checks that each problem says all that it must."""

    def problems_here(
        *overrides: str, recipe: str = "qlora-docstrings", environ: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None
    ) -> Sequence[Problem]:
        with pytest.raises(ConfigError) as caught:
            composed(*overrides, recipe=recipe, environ=environ, values=values)
        for problem in caught.value.problems:
            assert problem.what
            assert problem.expected.startswith("expected ")
            assert problem.fix
        return caught.value.problems

    return problems_here
