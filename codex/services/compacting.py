"""Compaction of the session log without anybody asking: a process of its own, when there is enough to do.

Run as `python -m codex.services.compacting WORKSPACE` it compacts once and ends. Nobody waits for it: writers and readers go on,
and one that dies does no harm.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

from codex.core.paths import Workspace
from codex.runs.command import python_module, worker_environment
from codex.sessionlog import CompactorBusy, SessionLog

ENOUGH_BYTES = 4 * 2**20
ENOUGH_SEGMENTS = 32
PAUSE_SECONDS = 300.0


def is_worthwhile(workspace: Workspace) -> bool:
    """Whether enough has been written since the last compaction; a look at names and sizes only.

    Of what cannot be looked at nothing is compacted; whoever asks the log is told.
    """
    sizes: list[int] = []
    with contextlib.suppress(OSError), os.scandir(workspace.log / "segments") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                sizes.append(entry.stat().st_size)
    return len(sizes) >= ENOUGH_SEGMENTS or sum(sizes) >= ENOUGH_BYTES


def compact_in_background(workspace: Workspace) -> bool:
    """Start a compaction that nobody waits for, when it is worthwhile; gives whether it was."""
    if not is_worthwhile(workspace):
        return False
    # The shell leaves at once, so the process has no parent here that would have to wait for it.
    command = ["sh", "-c", '"$@" &', "sh", *python_module("codex.services.compacting", workspace.root)]
    quiet = subprocess.DEVNULL
    subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, env=worker_environment({}), start_new_session=True, check=True)
    return True


class Compacting:
    """Looks every few minutes whether there is something to compact, as long as it is open.

    Args:
        workspace: whose log.
        pause_seconds: between looks.
    """

    def __init__(self, workspace: Workspace, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._workspace = workspace
        self._pause = pause_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, name="compacting", daemon=True)
        self._thread.start()

    def _look_again_and_again(self) -> None:
        while not self._closing.wait(self._pause):
            with contextlib.suppress(OSError, subprocess.SubprocessError):  # no room for a process just now, say: the next look may have it
                compact_in_background(self._workspace)  # where one is at work already, the second ends at once

    def close(self) -> None:
        """Look no more; a compaction that runs goes on by itself."""
        self._closing.set()
        self._thread.join()


def main() -> int:
    """Compact the log of the workspace that is named, as a process that stands back."""
    os.nice(10)
    log = SessionLog.open(Workspace(Path(sys.argv[1])))
    with contextlib.suppress(CompactorBusy):  # then somebody does it already
        log.compact()
    return 0


if __name__ == "__main__":
    sys.exit(main())
