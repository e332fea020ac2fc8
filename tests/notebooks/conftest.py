"""The shipped notebooks, and where they are."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from codex.core.paths import Workspace, shipped_notebooks


@pytest.fixture(scope="session")
def quickstart() -> ModuleType:
    """The marimo notebook as a module."""
    spec = importlib.util.spec_from_file_location("quickstart", shipped_notebooks() / "quickstart.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace in which the notebooks' runs are; empty at first."""
    return Workspace(tmp_path_factory.mktemp("notebooks") / "workspace")
