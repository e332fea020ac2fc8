"""Runs a program that must not outlive whoever asked for it: `python -m codex.services.leash PIPE COMMAND...`.

Whoever asks holds the other end of the pipe and writes nothing. When that end closes, because it was closed or because its holder died,
by kill -9 too, the program and everything in its process group are ended. A parent-death signal alone would not do: it
follows the thread that started the program, which in a server ends long before the server, and reaches no worker of the program.

It imports the standard library only, so that it costs little memory and starts at once.

Not covered: what the program itself moves to another process group, such as a training run, lives on by intention.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

GRACE_SECONDS = 3.0
"""How long the program may take to end when it is asked to."""
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program until it ends or the leash is let go; returns its exit code as a shell would show it."""
    pipe, *command = sys.argv[1:] if arguments is None else arguments
    woken, wake = os.pipe()
    for descriptor in (woken, wake):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)  # only so that it wakes us
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    # If this process is killed, at least the program itself hears of it. Nothing else runs here, so code before exec is safe.
    program = subprocess.Popen(command, process_group=0, preexec_fn=_end_with_parent)
    _wait(program, int(pipe), woken)
    _end(program)
    code = program.wait()
    return code if code >= 0 else 128 - code


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(program: subprocess.Popen[bytes], pipe: int, woken: int) -> None:
    """Return when the program has ended, the other end of `pipe` is closed, or we are asked to end."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)  # a closed other end always shows
    waiting.register(woken, select.POLLIN)
    while not _has_ended(program):
        ready = dict(waiting.poll())
        if pipe in ready or (woken in ready and set(os.read(woken, 4096)) - {signal.SIGCHLD}):
            return


def _end(program: subprocess.Popen[bytes]) -> None:
    """End the program and its whole group: asked first, killed when it takes too long."""
    deadline = time.monotonic() + GRACE_SECONDS
    if not _has_ended(program):
        os.killpg(program.pid, signal.SIGTERM)
    while not _has_ended(program) and time.monotonic() < deadline:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)  # on Linux it is not reaped yet, so its number still names its group


def _has_ended(program: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; where the system can tell so, without reaping it."""
    if sys.platform != "linux":
        return program.poll() is not None
    return os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


if __name__ == "__main__":
    sys.exit(main())
