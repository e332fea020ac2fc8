"""Watches one run: `python -m codex.runs.supervisor RUN_FOLDER`.

It holds the run's lock for its life, starts the worker as its child, passes a request to stop on to it, and writes down
how it ended. It imports the standard library only, so that it costs little memory and nothing in it can break.

When the supervisor itself is killed, the worker goes on: hours of work are worth more than their watcher. The worker shares
the lock, so nobody can start the run a second time beside it, and it writes its own ending down. Only when both are
killed is the ending told from what they left (`codex.runs.views`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from codex.core import clock
from codex.core.errors import RunError
from codex.runs.attempts import Attempt, begin, conclude, last_word, stop_asked
from codex.runs.checkpoints import sweep
from codex.runs.command import python_module
from codex.runs.endings import Exit, ending_of_exit, log_tail
from codex.runs.oom import oom_kills
from codex.runs.processes import signal_name
from codex.runs.status import Ending, Reason, Status, read_status

WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the run to its end; returns 0 when it began, whatever became of it, and 2 when it could not begin."""
    parser = argparse.ArgumentParser(prog="python -m codex.runs.supervisor", description="Start a run and watch it to its end.")
    parser.add_argument("folder", type=Path, help="the run's folder")
    parser.add_argument("--answer-to", type=int, default=None, help="descriptor that hears whether it began; then work in the background")
    options = parser.parse_args(arguments)
    if options.answer_to is not None and os.fork():
        os._exit(0)  # the child belongs to nobody now: whoever starts it has no process to wait for
    # From here on these wait until they are asked for, so that none is lost between two lines.
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)  # where it is ignored, a child's exit code is lost
    try:
        attempt = begin(options.folder.absolute(), supervised=True)
    except RunError as error:
        problem = error.problems[0]
        _answer(options.answer_to, {"what": problem.what, "expected": problem.expected, "fix": problem.fix})
        if options.answer_to is None:
            _note(str(error))
        return 2
    _answer(options.answer_to, {})
    with attempt.lock:
        _note(f"--- attempt {attempt.status.attempt}, {clock.iso(attempt.status.started or 0.0)}")
        _supervise(attempt)
    return 0


def _answer(descriptor: int | None, message: dict[str, str]) -> None:
    if descriptor is None:
        return
    try:
        os.write(descriptor, json.dumps(message).encode())
    except BrokenPipeError:
        _note("whoever started this run is gone; it goes on")
    os.close(descriptor)


def _note(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:  # a full disk takes no log; the ending says so
        return


def _supervise(attempt: Attempt) -> None:
    """Start the worker, wait for its end, and write down how it ended."""
    folder = attempt.run.folder
    kills_before = oom_kills()
    try:
        worker = _start_worker(attempt)
    except OSError as error:
        ending = Ending("failed", Reason("error", f"The worker could not be started: {error.strerror or error}."))
    else:
        code = _wait(worker)
        ending = _ending(attempt, code, kills_before)
    try:
        sweep(folder)  # half a checkpoint serves nobody, and may be what fills the disk
    except OSError as error:
        _note(f"unfinished checkpoints could not be removed: {error}")
    try:
        conclude(folder, _last_status(attempt), ending)
    except OSError as error:
        _note(f"how the run ended could not be written down: {error}\n{ending.reason.sentence}")


def _start_worker(attempt: Attempt) -> subprocess.Popen[bytes]:
    descriptor = attempt.lock.descriptor
    command = [*python_module("codex.runs.worker", attempt.run.folder), "--lock", str(descriptor)]
    # Its own group, so that what it leaves behind can be ended with it. The signals stay blocked in it until it can handle them.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(descriptor,), cwd=attempt.run.folder, process_group=0)


def _wait(worker: subprocess.Popen[bytes]) -> int:
    """Wait for the worker's end, passing on what asks it to stop; returns its exit code, minus N for signal N."""
    while True:
        if signal.sigwait(WATCHED) != signal.SIGCHLD:
            os.kill(worker.pid, signal.SIGTERM)  # not `send_signal`, which would reap a worker that has just ended
        elif _has_ended(worker):
            break
    return worker.wait()


def _has_ended(worker: subprocess.Popen[bytes]) -> bool:
    if sys.platform != "linux":
        return worker.poll() is not None
    if os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return False
    # Not reaped yet, so its number still names its group: end what it left behind, which would hold the lock.
    os.killpg(worker.pid, signal.SIGKILL)
    return True


def _ending(attempt: Attempt, code: int, kills_before: int | None) -> Ending:
    folder, number = attempt.run.folder, attempt.status.attempt
    word = last_word(folder, number)
    if word is not None:
        if code < 0:
            after = f"While closing down it was then ended by signal {-code} ({signal_name(-code)})."
            return replace(word, reason=replace(word.reason, lines=(*word.reason.lines, after)))
        return word
    kills = oom_kills()
    out_of_memory = kills is not None and kills_before is not None and kills > kills_before
    return ending_of_exit(Exit(code, out_of_memory, stop_asked(folder, number), log_tail(attempt.run.log, attempt.log_start)))


def _last_status(attempt: Attempt) -> Status:
    try:
        status = read_status(attempt.run.folder)
    except ValueError:
        return attempt.status
    return status if status.attempt == attempt.status.attempt else attempt.status


if __name__ == "__main__":
    sys.exit(main())
