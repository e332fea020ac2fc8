"""The other side of `children`: `python -m codex.services.child_host MODULE:CLASS WORKSPACE --replies FD --idle SECONDS`.

A handler is a class that is made with the workspace. Each public method takes `should_stop` and the request's arguments; what a
generator yields goes out as pieces, what it returns as the value. Its `close`, if it has one, is called before the process ends.

The process must never cost anybody a run: it is the kernel's first choice when memory is short, and it gives way on the processor. It
ends when whoever started it does, also by kill -9, for then its standard input ends.

Not covered: code that holds Python's global lock for long, outside of Python, delays that end.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import inspect
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from codex.core.errors import UserError
from codex.core.paths import Workspace
from codex.services.child_errors import described

ORPHAN_SECONDS = 1.0
"""How long work may go on once nobody is there to read of it."""
NICE = 5
FIRST_TO_KILL = 1000
TAIL_LINES = 20
LONGEST_LINE = 1000

ShouldStop = Callable[[], bool]


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer requests until asked to end, idle for too long, or an orphan."""
    parser = argparse.ArgumentParser(prog="python -m codex.services.child_host", description="Work for the process that started this one.")
    parser.add_argument("handler", help="module:Class")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--replies", type=int, required=True, help="descriptor that replies go to")
    parser.add_argument("--idle", type=float, required=True, help="seconds without a request after which to end")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    _stand_back()
    host = Host(options.handler, Workspace(options.workspace), options.replies, options.idle)
    host.listen(_take_stdin())
    host.work()
    return 0


def _stand_back() -> None:
    """Let training runs go first, in memory and on the processor."""
    os.nice(NICE)
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_KILL))


def _take_stdin() -> int:
    """A descriptor that requests come from; whoever else reads standard input finds it empty."""
    requests = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests


class Host:
    """Works on requests one after the other, while a thread listens for the next ones and for cancels.

    Args:
        handler: the class that does the work, as `module:Class`; imported at the first request.
        workspace: given to it.
        replies: descriptor that replies go to.
        idle_s: ends after so long without a request.
    """

    def __init__(self, handler: str, workspace: Workspace, replies: int, idle_s: float) -> None:
        os.set_inheritable(replies, False)  # else a program that the handler starts could hold it open after our end
        self._handler_name = handler
        self._workspace = workspace
        self._handler: Any = None
        self._replies = open(replies, "wb")  # noqa: SIM115 - open as long as the process lives
        self._idle_s = idle_s
        self._queue: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._stops: dict[int, threading.Event] = {}
        self._guard = threading.Lock()
        self._ending = False

    def listen(self, requests: int) -> None:
        """Read requests in the background; when they end, so does the process, whatever it is doing."""
        threading.Thread(target=self._listen, args=(requests,), daemon=True).start()

    def _listen(self, requests: int) -> None:
        with open(requests, "rb") as lines:
            for line in lines:
                self._hear(json.loads(line))
        self._end()
        time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    def _hear(self, message: dict[str, Any]) -> None:
        if "close" in message:
            self._end()
        elif "cancel" in message:
            with self._guard:
                stop = self._stops.get(message["cancel"])
            if stop is not None:  # else it was answered meanwhile
                stop.set()
        else:
            with self._guard:
                self._stops[message["id"]] = threading.Event()
            self._queue.put(message)

    def _end(self) -> None:
        with self._guard:
            self._ending = True
            for stop in self._stops.values():
                stop.set()
        self._queue.put(None)

    def work(self) -> None:
        """Answer requests until there will be no more."""
        while (request := self._next()) is not None:
            self._answer(request)
        close = getattr(self._handler, "close", None)
        if close is not None:
            close()

    def _next(self) -> dict[str, Any] | None:
        try:
            request = self._queue.get(timeout=self._idle_s)
        except Empty:
            self._reply({"leaving": True})
            return None
        return None if self._ending else request

    def _answer(self, request: dict[str, Any]) -> None:
        number = request["id"]
        stop = self._stops[number]
        try:
            value = None if stop.is_set() else self._do(number, request["op"], request["arguments"], stop.is_set)
            self._reply({"id": number, "value": value})
        except UserError as error:
            self._reply({"id": number, "user_error": described(error)})
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and the next request may go well
            traceback.print_exc()
            self._reply({"id": number, "failed": {"sentence": _sentence(error), "lines": _traceback_tail(error)}})
        finally:
            with self._guard:
                del self._stops[number]

    def _do(self, number: int, op: str, arguments: dict[str, Any], should_stop: ShouldStop) -> Any:
        """Do what is asked; pieces go out as they come."""
        if self._handler is None:
            module, _, name = self._handler_name.partition(":")
            self._handler = getattr(importlib.import_module(module), name)(self._workspace)
        made = getattr(self._handler, op)(should_stop, **arguments)
        if not inspect.isgenerator(made):
            return made
        while True:
            try:
                piece = next(made)
            except StopIteration as end:
                return end.value
            self._reply({"id": number, "piece": piece})

    def _reply(self, reply: dict[str, Any]) -> None:
        line = json.dumps(reply).encode() + b"\n"
        self._replies.write(line)
        self._replies.flush()


def _sentence(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:LONGEST_LINE]}" if text else type(error).__name__


def _traceback_tail(error: Exception) -> list[str]:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return [line[:LONGEST_LINE] for line in lines[-TAIL_LINES:]]


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the handler has closed what is to be closed; what torch does at its end would take seconds
