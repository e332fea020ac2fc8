"""Start a run's supervisor so that it outlives whoever asked for it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from codex.core.errors import RunError
from codex.runs.command import python_module, worker_environment
from codex.runs.endings import log_tail
from codex.runs.record import Run

ANSWER_SECONDS = 60.0


def start_supervisor(run: Run, environment: Mapping[str, str], answer_s: float = ANSWER_SECONDS) -> None:
    """Start the supervisor of `run` and return once it holds the run's lock.

    It belongs to a session of its own and to no parent, so neither a closed terminal, nor Ctrl-C, nor the death of this process reaches it.

    Raises:
        RunError: it did not begin; the message says why.
    """
    ours, theirs = os.pipe()
    command = [*python_module("codex.runs.supervisor", run.folder), "--answer-to", str(theirs)]
    try:
        try:
            with open(run.log, "ab") as log:
                start = log.tell()
                starter = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=run.folder,
                    env=worker_environment(environment),
                    pass_fds=(theirs,),
                    start_new_session=True,
                )
        except OSError as error:
            raise _not_started(run, error.strerror or str(error)) from error
        finally:
            os.close(theirs)
        answer = _read_answer(ours, time.monotonic() + answer_s)
        if answer is None:
            starter.kill()
            starter.wait()
            raise _not_started(run, f"its supervisor did not answer within {answer_s:.0f} s")
        starter.wait()  # it has left already: what lives on is its child
    finally:
        os.close(ours)
    _check_answer(run, answer, start)


def _read_answer(descriptor: int, deadline: float) -> bytes | None:
    """What the supervisor says before it closes its end; None when it takes too long."""
    said = b""
    waiting = select.poll()  # select() refuses descriptors above 1023, which a busy server has
    waiting.register(descriptor, select.POLLIN)
    while waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
        piece = os.read(descriptor, 4096)
        if not piece:
            return said
        said += piece
    return None


def _check_answer(run: Run, answer: bytes, log_start: int) -> None:
    if not answer:
        last = log_tail(run.log, log_start)
        raise _not_started(run, last[-1] if last else "its supervisor ended at once")
    problem: Any = json.loads(answer)
    if problem:
        raise RunError(problem["what"], problem["expected"], problem["fix"])


def _not_started(run: Run, why: str) -> RunError:
    return RunError(
        f"run {run.id!r} was not started: {why}", "expected its supervisor to begin", f"Read {str(run.log)!r}, then start it again."
    )
