"""Ends in the way that `resolved.yaml` names."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time

from codex.core.errors import DataError
from codex.core.registry import register
from codex.runs.context import RunContext


def wrong_row(context: RunContext) -> None:
    raise DataError(
        "row 3 of 'data.jsonl' has no answer", "expected a text in `completion`", "Give it one, or delete the row.", "data.jsonl:3"
    )


def traceback(context: RunContext) -> None:
    raise ZeroDivisionError("the body's own mistake \udcff")


def leave(context: RunContext) -> None:
    sys.exit(3)


def vanish(context: RunContext) -> None:
    print("last words", flush=True)
    os._exit(5)


def segfault(context: RunContext) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def killed(context: RunContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stubborn(context: RunContext) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    context.progress(step=1)
    while True:
        time.sleep(0.01)


def crash_while_closing(context: RunContext) -> None:
    atexit.register(os.kill, os.getpid(), signal.SIGSEGV)


def forgotten_thread(context: RunContext) -> None:
    sys.modules["__main__"].CLOSING_SECONDS = 0.2  # type: ignore[attr-defined]
    threading.Thread(target=time.sleep, args=(600,)).start()


def orphan_child(context: RunContext) -> None:
    child = os.fork()
    if child == 0:  # keeps the run's lock open, as a data loader's worker would
        time.sleep(600)
    (context.run.folder / "child").write_text(str(child))


@register("run")
def fail(context: RunContext) -> None:
    globals()[context.run.resolved.read_text()](context)
