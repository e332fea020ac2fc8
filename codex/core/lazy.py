"""Import heavy or optional packages late, and say which extra brings a missing one."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from codex.core.errors import MissingExtra


def require(package: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `package` now.

    Raises:
        MissingExtra: it is not installed; the message holds the command that installs it.
    """
    if importlib.util.find_spec(package.partition(".")[0]) is None:
        raise MissingExtra(package, extra, purpose)
    return importlib.import_module(package)
