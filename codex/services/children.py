"""A process beside this one, for work that needs torch, tokenizers or weights, which this one must never load.

Requests go to its standard input, replies come back through a pipe of their own, both as JSON lines: what a library prints can never be
taken for a reply. It works on one request at a time, in the order in which they came. What runs there is in `child_host`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from codex.core.paths import Workspace
from codex.runs.command import python_module, worker_environment
from codex.runs.oom import oom_kills
from codex.runs.processes import signal_name
from codex.services.child_errors import ChildDied, ChildFailed, user_error

__all__ = ["Birth", "Child", "ChildDied", "ChildFailed", "Life", "Pieces", "Request"]

IDLE_SECONDS = 900.0
CLOSING_SECONDS = 2.0
"""How long a process may take to end when it is asked to; then it is killed."""
TAIL_BYTES = 16 * 1024
TAIL_LINES = 20
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")

Pieces = Generator[dict[str, Any], None, Any]
"""What a request gives piece by piece, and what it returns at its end."""


@dataclass(frozen=True)
class Birth:
    """What a process is started with.

    Args:
        name: as people call it, at the beginning of a sentence: "The model's process".
        handler: the class that does the work, as `module:Class`.
        workspace: given to the handler.
        environment: variables besides those of every worker.
        online: whether a hub may be reached; without, the offline switches of the libraries are on.
        idle_s: it ends by itself when nothing was asked of it for so long.
    """

    name: str
    handler: str
    workspace: Workspace
    environment: Mapping[str, str] = field(default_factory=dict)
    online: bool = False
    idle_s: float = IDLE_SECONDS

    def start(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start it; gives the process and the end of the pipe that its replies come from.

        Raises:
            ChildDied: the system did not start it.
        """
        ours, theirs = os.pipe()
        host = python_module("codex.services.child_host", self.handler, self.workspace.root)
        try:
            process = subprocess.Popen(
                [*host, "--replies", str(theirs), "--idle", str(self.idle_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._whole_environment(),
                pass_fds=(theirs,),
                start_new_session=True,  # Ctrl-C in a terminal is for whoever started us
            )
        except OSError as error:
            os.close(ours)
            raise ChildDied(self.name, f"it could not be started ({error.strerror or error})") from error
        finally:
            os.close(theirs)
        return process, ours

    def _whole_environment(self) -> dict[str, str]:
        environment = worker_environment(self.environment)
        if self.online:  # as in a command of the person's: only switches that the person set
            for name in OFFLINE:
                environment.pop(name, None)
            environment |= {name: os.environ[name] for name in OFFLINE if name in os.environ}
        return environment


class Request:
    """One request to a process; made by `Life.ask`, when it has been sent.

    Args:
        life: the process.
        number: the request's own.
    """

    def __init__(self, life: Life, number: int) -> None:
        self._life = life
        self._number = number
        self._inbox: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def put(self, reply: dict[str, Any] | None) -> None:
        """Take a reply; None when the process has ended."""
        self._inbox.put(reply)

    def cancel(self) -> None:
        """Let the work on it end soon; what it still gives can be read."""
        self._life.send({"cancel": self._number})

    def pieces(self) -> Pieces:
        """What it gives piece by piece, and its value at the end; closing it cancels the work.

        Raises:
            UserError: of the class that was raised there, with all its problems.
            ChildFailed: the work broke.
            ChildDied: the process ended first.
        """
        ended = False
        try:
            while True:
                reply = self._inbox.get()
                if reply is not None and "piece" in reply:
                    yield reply["piece"]
                    continue
                ended = True
                return self._value(reply)
        finally:
            self._life.forget(self._number)
            if not ended:
                self.cancel()

    def _value(self, reply: dict[str, Any] | None) -> Any:
        """What the last reply says."""
        if reply is None:
            raise self._life.death()
        if "user_error" in reply:
            raise user_error(**reply["user_error"])
        if "failed" in reply:
            raise ChildFailed(self._life.name, reply["failed"]["sentence"], tuple(reply["failed"]["lines"]))
        return reply["value"]


class Life:
    """One process from its start to its end. Safe across threads.

    Not covered: a handler that forks without exec and leaves the fork behind; the replies' pipe then stays open and the end goes unseen.

    Args:
        birth: what it is started with.
    """

    def __init__(self, birth: Birth) -> None:
        self.name = birth.name
        self._idle_s = birth.idle_s
        self._kills_before = oom_kills()
        self._process, replies = birth.start()
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Request] = {}
        self._tail = b""
        self._leaving = False
        self._closed_for: str | None = None
        self._why: str | None = None
        self._reading = threading.Thread(target=self._read_output, daemon=True)
        self._listening = threading.Thread(target=self._listen, args=(replies,), daemon=True)
        self._reading.start()
        self._listening.start()

    @property
    def pid(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it takes requests."""
        return self._why is None and not self._leaving and self._closed_for is None

    def lines(self) -> tuple[str, ...]:
        """The last lines that it wrote to its outputs."""
        return tuple(self._tail.decode(errors="replace").splitlines()[-TAIL_LINES:])

    def death(self) -> ChildDied:
        """How it ended, for whoever waits on it."""
        why = self._why or self._intended()
        assert why is not None, "it takes no more requests, so it has ended or is meant to"
        return ChildDied(self.name, why, self.lines(), began=not self._leaving)

    def ask(self, op: str, **arguments: Any) -> Request:
        """Send a request: call the handler's method `op` with `arguments`, which JSON can hold.

        Raises:
            ChildDied: it takes no more requests.
        """
        with self._guard:
            if not self.alive:
                raise self.death()
            number = next(self._numbers)
            request = self._waiting[number] = Request(self, number)
        self.send({"id": number, "op": op, "arguments": arguments})
        return request

    def stream(self, op: str, **arguments: Any) -> Pieces:
        """Ask, and give the pieces as they come."""
        return (yield from self.ask(op, **arguments).pieces())

    def call(self, op: str, **arguments: Any) -> Any:
        """Ask, and wait for the value; pieces are passed over."""
        return last_of(self.stream(op, **arguments))

    def forget(self, number: int) -> None:
        """Nobody waits for request `number` any more."""
        with self._guard:
            self._waiting.pop(number, None)

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; one that has ended hears nothing, and those who wait learn of its end from `_listen`."""
        line = json.dumps(message).encode() + b"\n"
        requests = self._process.stdin
        assert requests is not None, "it was started with a pipe"
        with self._writing, contextlib.suppress(BrokenPipeError):
            if not requests.closed:
                requests.write(line)
                requests.flush()

    def close(self, why: str = "closed", patience_s: float = CLOSING_SECONDS) -> None:
        """Cancel what it does and end it; killed when it takes longer than `patience_s`. Who waits on it gets `why`."""
        with self._guard:
            first = self.alive
            if first:
                self._closed_for = why
        if first:
            self.send({"close": True})
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._listening.join()

    def _listen(self, replies: int) -> None:
        """Hand replies on until the process ends, then tell everyone who still waits."""
        try:
            with open(replies, "rb") as lines:
                for line in lines:
                    if line.endswith(b"\n"):  # else its writer was killed in the middle of it
                        self._take(json.loads(line))
        finally:
            self._conclude(self._process.wait())

    def _take(self, reply: dict[str, Any]) -> None:
        with self._guard:
            if "leaving" in reply:
                self._leaving = True
                return
            request = self._waiting.get(reply["id"]) if "piece" in reply else self._waiting.pop(reply["id"], None)
        if request is not None:  # else nobody wants it any more
            request.put(reply)

    def _conclude(self, code: int) -> None:
        self._reading.join(1.0)
        with self._guard:
            self._why = self._reason(code)
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for request in waiting:
            request.put(None)
        assert self._process.stdin is not None, "it was started with a pipe"
        with self._writing, contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _reason(self, code: int) -> str:
        """Why it ended, as a phrase."""
        intended = self._intended()
        if intended is not None:
            return intended
        if code >= 0:
            return f"exit code {code}"
        kills = oom_kills()
        if code == -signal.SIGKILL and kills is not None and self._kills_before is not None and kills > self._kills_before:
            return "out of memory"
        return f"killed by signal {-code} ({signal_name(-code)})"

    def _intended(self) -> str | None:
        """Why it is meant to end; None as long as it is not."""
        if self._closed_for is None and self._leaving:
            return f"nothing was asked of it for {self._idle_s:g} s"
        return self._closed_for

    def _read_output(self) -> None:
        """Keep the end of what it writes to its outputs; read all of it, so that it never waits for us."""
        output = self._process.stdout
        assert output is not None, "it was started with a pipe"
        with output:
            while piece := os.read(output.fileno(), 65536):
                self._tail = (self._tail + piece)[-TAIL_BYTES:]


class Child:
    """A process beside this one: started by the first request, and again by the next one after it has died. Safe across threads.

    It ends with `close`, with this process however that ends, and by itself when nothing was asked of it for long.

    Args:
        birth: what it is started with.
    """

    def __init__(self, birth: Birth) -> None:
        self._birth = birth
        self._lock = threading.Lock()
        self._life: Life | None = None
        self._closed = False

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def life(self) -> Life:
        """The process that takes requests now, started if there is none.

        Raises:
            ChildDied: this child was closed, or the system did not start it.
        """
        with self._lock:
            if self._closed:
                raise ChildDied(self._birth.name, "closed")
            if self._life is None or not self._life.alive:
                self._life = Life(self._birth)
            return self._life

    def stream(self, op: str, **arguments: Any) -> Pieces:
        """What the handler's method `op` gives, piece by piece, and what it returns; closing the stream cancels the work.

        Raises:
            UserError: of the class that was raised there, with all its problems.
            ChildFailed: the work broke on something else; the process lives on.
            ChildDied: the process ended first; the next request starts another.
        """
        while True:
            try:
                return (yield from self.life().stream(op, **arguments))
            except ChildDied as death:
                if death.began:
                    raise
                # It was about to leave for want of work when we asked; another one takes the request.

    def call(self, op: str, **arguments: Any) -> Any:
        """What the handler's method `op` returns; raises as `stream` does."""
        return last_of(self.stream(op, **arguments))

    def close(self, why: str = "closed", patience_s: float = CLOSING_SECONDS) -> None:
        """End it for good."""
        with self._lock:
            self._closed = True
            life = self._life
        if life is not None:
            life.close(why, patience_s)


def last_of(pieces: Pieces) -> Any:
    """What `pieces` returns at its end."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
