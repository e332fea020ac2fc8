"""`codex-ui` whose chats are answered by an echo: `python -m tests.browser.talking` takes what `codex-ui` takes.

The echo loads for as long as the workspace holds a file `hold`, deaf to everything, as a model does; it says what it was told, in pieces.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codex.core.paths import Workspace
from codex.services.child_host import ShouldStop

HOLD = "hold"
OPENED = "opened"
PIECE = 7
DIES = "dies"
"""A file of the workspace; where it is, the echo dies of loading."""


class Echo:
    """Stands for a model.

    Args:
        workspace: holds `hold` for as long as the model loads.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.root
        self._sides: tuple[str, ...] = ()

    def open(self, should_stop: ShouldStop, *, target: str, device: str | None, **more: Any) -> dict[str, Any] | None:
        """Load, and begin a conversation, unless nobody wants it any more."""
        while (self._folder / HOLD).exists():
            time.sleep(0.02)
        if (self._folder / DIES).exists():
            os._exit(3)
        if should_stop():
            return None
        self._sides = ("base", "adapter") if target.startswith("r-") else ("model",)
        with open(self._folder / OPENED, "a") as file:
            file.write(f"{target}\n")
        return {"id": f"echo-{time.monotonic_ns()}", "sides": self._sides, "name": target, "device": device or "cpu"}

    def ask(self, should_stop: ShouldStop, *, text: str, **more: Any) -> Iterator[dict[str, Any]]:
        """Say what was said."""
        for side in self._sides:
            for begin in range(0, len(text), PIECE):
                yield {"side": side, "text": text[begin : begin + PIECE]}
            yield {"side": side, "text": "", "done": True, "tokens_per_s": 50.0, "finish": "end"}

    def end(self, should_stop: ShouldStop, *, conversation: str) -> None:
        """Nothing to end."""


def opened(workspace: Path) -> list[str]:
    """Whom conversations were begun with."""
    path = workspace / OPENED
    return path.read_text().split() if path.exists() else []


if __name__ == "__main__":
    from codex.services import chats
    from codex_ui.cli import main

    chats.HANDLER = "tests.browser.talking:Echo"
    sys.exit(main())
