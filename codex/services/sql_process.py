"""One query's process, seen from whoever asked: started for it, listened to, and killed when it takes too much or nobody wants it."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from codex.core.errors import UserError
from codex.runs.command import python_module
from codex.runs.oom import oom_kills
from codex.runs.processes import signal_name
from codex.services.child_errors import ChildDied, user_error
from codex.services.sandboxed import clean_environment
from codex.services.sql_frames import Frame, Frames

START_SECONDS = 60.0
"""How long the process may take to start and to open the log."""
CANCEL_POLL_SECONDS = 0.05
TAIL_BYTES = 16 * 1024
TAIL_LINES = 20
NAME = "The query's process"
_LESS = "Ask for less: a narrower range of time, fewer columns, or a `limit`."
_LESS_OF_CONDITION = "Ask for less: begin with a day, such as `day >= '2026-11-25' and …`."


class Cancelled(UserError):
    """The person who asked does not want the answer any more."""

    def __init__(self) -> None:
        super().__init__("the query was cancelled", "expected to wait for its answer", "Ask again.")


@dataclass(frozen=True)
class Limits:
    """How much a query may take.

    Args:
        seconds: of time, with the start of the process; but half of them from when the log is open, if the start took long.
        memory_gib: of memory, besides what the process itself and the log's live events take.
        rows: how many an answer has at most; a file has them all.
        megabytes: how large an answer or a file may become, in millions of bytes.
    """

    seconds: float = 4.0
    memory_gib: float = 2.0
    rows: int = 10_000
    megabytes: float = 64.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise UserError(f"the limit `{field.name}` of a query is {value!r}", "expected more than 0", "Give a larger one.")


class QueryProcess:
    """A query's process, from its start to its end.

    Args:
        request: what it is told.
        limits: what it may take.
        cancel: stops it when set.
    """

    def __init__(self, request: Mapping[str, Any], limits: Limits, cancel: threading.Event | None) -> None:
        self._limits = limits
        self._cancel = cancel
        self._what, self._less = ("query", _LESS) if "condition" not in request else ("condition", _LESS_OF_CONDITION)
        self._kills_before = oom_kills()
        self._tail = b""
        self._opened = False
        self._began = time.monotonic()
        self._deadline = self._began + START_SECONDS
        self.confined = False
        self.end: dict[str, Any] = {}
        self._start(request)

    def _start(self, request: Mapping[str, Any]) -> None:
        self._replies, theirs = os.pipe()
        command = python_module("codex.services.sql_child", "--replies", str(theirs), "--parent", str(os.getpid()))
        try:
            with tempfile.TemporaryFile("w+", encoding="utf-8") as told:  # a pipe could fill up while nobody reads it
                told.write(json.dumps({**request, "start_seconds": START_SECONDS}))
                told.seek(0)
                self._process = subprocess.Popen(
                    command,
                    stdin=told,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=clean_environment(),
                    pass_fds=(theirs,),
                    start_new_session=True,  # Ctrl-C in a terminal is for whoever started us
                )
        except OSError as error:
            os.close(self._replies)
            raise ChildDied(NAME, f"it could not be started ({error.strerror or error})") from error
        finally:
            os.close(theirs)

    def __enter__(self) -> QueryProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stderr is not None, "it was started with a pipe"
        self._process.stderr.close()
        os.close(self._replies)

    def frames(self) -> Iterator[Frame]:
        """What the query gives, until it is whole.

        Raises:
            UserError: it was refused, or takes more than it may.
            Cancelled: nobody wants it any more.
            ChildDied: the process could not do its work.
        """
        whole = Frames()
        while True:
            data = self._read()
            if not data:
                raise self._death(self._process.wait())
            for frame in whole.add(data):
                if isinstance(frame, bytes) or not self._heard(frame):
                    yield frame
                if self.end:
                    return

    def _heard(self, message: dict[str, Any]) -> bool:
        """Whether the message is for us: about the query, not of its answer."""
        if "ready" in message:
            self.confined, self._opened = message["ready"], True
            self._deadline = max(self._began + self._limits.seconds, time.monotonic() + self._limits.seconds / 2)
        elif "done" in message:
            self.end = message
        elif "user_error" in message:
            raise user_error(**message["user_error"])
        elif "memory" in message:
            raise self._too_large()
        else:
            return False
        return True

    def _read(self) -> bytes:
        """What the process says next; nothing when it has ended."""
        assert self._process.stderr is not None, "it was started with a pipe"
        errors = self._process.stderr.fileno()
        waiting = select.poll()
        waiting.register(self._replies, select.POLLIN)
        waiting.register(errors, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in waiting.poll(self._patience() * 1000)}
            if self._replies in ready:
                return os.read(self._replies, 2**20)
            if errors in ready:
                piece = os.read(errors, 65536)
                self._tail = (self._tail + piece)[-TAIL_BYTES:]
                if not piece:
                    waiting.unregister(errors)

    def _patience(self) -> float:
        """Seconds to wait at most before looking again whether the query may go on."""
        left = self._deadline - time.monotonic()
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled
        if left <= 0:
            raise self._too_slow()
        return left if self._cancel is None else min(left, CANCEL_POLL_SECONDS)

    def _death(self, code: int) -> Exception:
        """Why the process ended without an answer."""
        kills = oom_kills()
        if code == -signal.SIGKILL and None not in (kills, self._kills_before) and kills != self._kills_before:
            return self._too_large()
        if code in (-signal.SIGXCPU, -signal.SIGALRM):
            return self._too_slow()
        if code < 0 and self._opened:
            return UserError(
                f"the {self._what} broke DuckDB ({signal_name(-code)})", "expected a query that it can run", "Write it in smaller steps."
            )
        lines = tuple(self._tail.decode(errors="replace").splitlines()[-TAIL_LINES:])
        return ChildDied(NAME, f"exit code {code}" if code >= 0 else f"killed by signal {-code} ({signal_name(-code)})", lines)

    def _too_slow(self) -> UserError:
        if not self._opened:
            return UserError(
                f"the log could not be opened within {START_SECONDS:g} s",
                "expected a log that is read sooner",
                "Compact it: `codex-ml logs compact`; or wait until the machine has less to do.",
            )
        return UserError(
            f"the {self._what} took longer than {self._limits.seconds:g} s and was stopped",
            "expected an answer within that time",
            self._less,
        )

    def _too_large(self) -> UserError:
        return UserError(
            f"the {self._what} needed more than {self._limits.memory_gib:g} GiB of memory and was stopped",
            "expected one that needs less",
            self._less,
        )
