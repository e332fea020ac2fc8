"""The app as a process of its own, as a person has it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

STARTS_WITHIN_SECONDS = 90
ENDS_WITHIN_SECONDS = 15


class App:
    """One `codex-ui` over a workspace; use it in a `with` block.

    Args:
        workspace: its folder.
        arguments: besides `--workspace` and `--no-open`.
        port: 0 takes a free one.
        environment: variables besides this process's.
        before: words before the command, such as `strace ...`.
        module: what Python runs; `tests.browser.talking` for an app whose chats need no model.
    """

    def __init__(
        self,
        workspace: Path,
        *arguments: str,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        before: tuple[str, ...] = (),
        module: str = "codex_ui",
    ) -> None:
        command = [*before, sys.executable, "-m", module, "--no-open", "--port", str(port), "--workspace", str(workspace), *arguments]
        self.workspace = workspace
        self.ids: Mapping[str, str] = {}  # of its runs, by their state, where a fixture made them
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._wait_for_url()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def _wait_for_url(self) -> str:
        """The address that it prints, once it answers there."""
        import urllib.error
        import urllib.request

        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while time.monotonic() < deadline:
            found = re.search(r"Codex at (http://\S+)", "".join(self.lines))
            if found:
                url = found[1].partition("/?token=")[0]
                try:
                    urllib.request.urlopen(f"{url}/vendor/tokens.css", timeout=5).close()
                    return url
                except (urllib.error.URLError, OSError):
                    pass
            if self.process.poll() is not None:
                raise AssertionError(f"the app ended: {''.join(self.lines)}")
            time.sleep(0.05)
        raise AssertionError(f"the app did not start: {''.join(self.lines)}")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def printed(self) -> str:
        """What it wrote so far."""
        return "".join(self.lines)

    def kill(self) -> None:
        """End it as a crash would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(ENDS_WITHIN_SECONDS)

    def stop(self) -> float:
        """End it as Ctrl-C would; gives the seconds that it took."""
        if self.process.poll() is not None:
            return 0.0
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(ENDS_WITHIN_SECONDS)
        return time.monotonic() - began

    def __enter__(self) -> App:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._reader.join(5)
            assert self.process.stdout is not None
            self.process.stdout.close()
