"""A program beside Codex: started on demand, ended with whoever started it. `side` says which there are."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from codex.core.errors import MissingExtra, RunError
from codex.core.paths import Workspace
from codex.runs.command import python_module, worker_environment

State = Literal["absent", "starting", "ready", "ended"]

HOST = "127.0.0.1"
PATIENCE_SECONDS = 90.0
"""How long a program may take to answer: on a busy machine the first import of its packages is slow."""
ENDING_SECONDS = 30.0
"""How long all of it may take to be gone; the leash kills what does not end when asked."""
POLL_SECONDS = 0.1
LAST_LINES = 20
TAIL_BYTES = 64 * 1024
CLOSED = "It was closed."


@dataclass(frozen=True)
class Launch:
    """How a program is started, and how it is reached.

    Args:
        command: its words.
        url: where a person opens it, with its token.
        alive: the path that answers once it works, without a token.
        environment: variables besides those of every worker.
        stdin: what it reads from its standard input.
        folder: where it works.
    """

    command: list[str]
    url: str
    alive: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""


@dataclass(frozen=True)
class Program:
    """One program that can stand beside Codex.

    Args:
        name: as people call it.
        package: what must be installed.
        extra: which extra of codex-ml brings it.
        purpose: what it is for, as a phrase.
        launch: how it is started in a workspace, on a port, with a token; makes the files that it needs.
        while_starting: held from its start until it answers.
    """

    name: str
    package: str
    extra: str
    purpose: str
    launch: Callable[[Workspace, int, str], Launch]
    while_starting: Callable[[Workspace], AbstractContextManager[None]] = lambda workspace: contextlib.nullcontext()


@dataclass(frozen=True)
class SideStatus:
    """How a program stands.

    Args:
        state: `absent` before its first start; `starting`; `ready`; `ended`.
        url: where to open it, with its token; None unless it is ready.
        reason: why it ended; "" unless it did.
        lines: the last lines that it wrote, without its token.
    """

    state: State
    url: str | None = None
    reason: str = ""
    lines: tuple[str, ...] = ()


class _Started:
    """One started process of a program, on a leash that this process holds."""

    def __init__(self, program: Program, workspace: Workspace) -> None:
        self.port, self.token = _free_port(), secrets.token_urlsafe(32)
        self.launch = program.launch(workspace, self.port, self.token)
        self.ready = False
        self.why_ended: str | None = None
        self._ending = threading.Lock()
        self._output, name = tempfile.mkstemp(prefix="codex-side-")
        weakref.finalize(self, os.close, self._output)
        Path(name).unlink()  # nothing is left behind, however this process ends
        with tempfile.TemporaryFile() as stdin:
            stdin.write(self.launch.stdin.encode())
            stdin.seek(0)
            end, leash = os.pipe()
            self._leash: int | None = leash
            try:
                self._process = self._start(end, stdin)
            except OSError:
                os.close(leash)
                raise
            finally:
                os.close(end)

    def _start(self, end: int, stdin: IO[bytes]) -> subprocess.Popen[bytes]:
        environment = worker_environment(self.launch.environment)
        command = python_module("codex.services.leash", str(end), *self.launch.command)
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=self._output,
            stderr=self._output,
            cwd=self.launch.folder,
            env=environment,
            pass_fds=(end,),
            start_new_session=True,  # Ctrl-C in a terminal is for whoever holds the leash
        )

    @property
    def code(self) -> int | None:
        """Its exit code; None while it lives."""
        return self._process.poll()

    def answers(self) -> bool:
        """Whether it works by now; asked of this machine itself, past any proxy."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", self.launch.alive)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def lines(self) -> tuple[str, ...]:
        """The last lines that it wrote."""
        size = os.fstat(self._output).st_size
        tail = os.pread(self._output, TAIL_BYTES, max(0, size - TAIL_BYTES))
        text = tail.decode(errors="replace").replace(self.token, "…")
        return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-LAST_LINES:]

    def end(self, why: str, patience_s: float = ENDING_SECONDS) -> None:
        """Let go of the leash, and wait until everything has ended; `why` stands for it unless it had ended before.

        The leash ends it whether anybody waits or not: also when `patience_s` is over, and when this process is.
        """
        with self._ending:
            if self._process.poll() is None:
                self.why_ended = self.why_ended or why
            if self._leash is not None:
                os.close(self._leash)
                self._leash = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)


class SideProgram:
    """A program beside Codex that is started when it is first opened, once, and again when it has died.

    It ends with `close`, and with this process, however that ends. What it was used to start, such as a training run, goes on.

    Args:
        program: which.
        workspace: what it works on.
    """

    def __init__(self, program: Program, workspace: Workspace) -> None:
        self.program = program
        self.workspace = workspace
        self._lock = threading.Lock()
        self._started: _Started | None = None
        self._closes = 0

    def __enter__(self) -> SideProgram:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def status(self) -> SideStatus:
        """How it stands now; never waits."""
        started = self._started
        if started is None:
            return SideStatus("absent")
        code = started.code
        if started.why_ended is not None or code is not None:
            reason = started.why_ended or f"It ended by itself with exit code {code}."
            return SideStatus("ended", reason=reason, lines=started.lines())
        if started.ready:
            return SideStatus("ready", url=started.launch.url, lines=started.lines())
        return SideStatus("starting", lines=started.lines())

    def open(self, patience_s: float = PATIENCE_SECONDS) -> str:
        """Start it unless it runs, wait until it answers, and return where to open it, with its token.

        Args:
            patience_s: how long it may take.

        Raises:
            MissingExtra: its package is not installed.
            WorkspaceError: the workspace cannot be written.
            RunError: it ended, was closed, or did not answer in time; the message holds its last line.
        """
        closes = self._closes
        with self._lock:
            if self.status.state != "ready":
                self._start(time.monotonic() + patience_s, closes)
            assert self._started is not None, "it was just started"
            return self._started.launch.url

    def _start(self, deadline: float, closes: int) -> None:
        program = self.program
        if importlib.util.find_spec(program.package) is None:
            raise MissingExtra(program.package, program.extra, program.purpose)
        if self._started is not None:
            self._started.end(CLOSED)
        with program.while_starting(self.workspace.create()):
            self._started = started = _Started(program, self.workspace)
            while not started.answers():
                if self._closes != closes:
                    started.end(CLOSED)
                    raise self._failed(started, "was closed while it started")
                if started.code is not None:
                    raise self._failed(started, "ended before it answered")
                if time.monotonic() > deadline:
                    started.end("It did not answer in time.")
                    raise self._failed(started, "did not answer in time")
                time.sleep(POLL_SECONDS)
            if started.code is not None:
                raise self._failed(started, f"ended, and something else answers on port {started.port}")
            started.ready = True

    def _failed(self, started: _Started, what: str) -> RunError:
        last = started.lines()[-1:]
        said = f"; it wrote: {last[0].strip()}" if last else ""
        return RunError(f"{self.program.name} {what}{said}", f"expected it at http://{HOST}:{started.port}", "Open it again.")

    def close(self, patience_s: float = ENDING_SECONDS) -> None:
        """End it and everything in its process group; nothing happens when it does not run. One that is being started ends as well.

        Args:
            patience_s: how long to wait until it has ended.
        """
        self._closes += 1  # first, so that whoever starts it now ends it
        started = self._started
        if started is not None:
            started.end(CLOSED, patience_s)


def _free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
