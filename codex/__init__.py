"""Codex: fine-tune language models on your own machine, and know whether they got better.

The public names are given lazily, so that `import codex` costs nothing until one is used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codex.core.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from codex.api import RunHandle, resume, run, runs, train
    from codex.core.errors import CodexError, UserError
    from codex.core.events import Event
    from codex.core.paths import Workspace
    from codex.sessionlog import Selection, SessionLog

_WHERE = {
    "CodexError": "codex.core.errors",
    "Event": "codex.core.events",
    "RunHandle": "codex.api",
    "Selection": "codex.sessionlog",
    "SessionLog": "codex.sessionlog",
    "UserError": "codex.core.errors",
    "Workspace": "codex.core.paths",
    "resume": "codex.api",
    "run": "codex.api",
    "runs": "codex.api",
    "train": "codex.api",
}

__all__ = ["CodexError", "Event", "RunHandle", "Selection", "SessionLog", "UserError", "Workspace", "resume", "run", "runs", "train"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'codex' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Codex(ModuleType):
    """This package, whose name `runs` stays the function although a package below it is called so too."""

    @property
    def runs(self) -> Any:
        """`codex.api.runs`."""
        from codex.api import runs

        return runs

    @runs.setter
    def runs(self, package: ModuleType) -> None:
        """Nothing: the import system would put the package `codex.runs` here, which imports find without it."""


sys.modules[__name__].__class__ = _Codex
