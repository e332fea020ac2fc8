"""Does the work of one run: `python -m codex.runs.worker RUN_FOLDER`.

A supervisor starts it and lends it the run's lock. Started by hand, it takes the lock itself and runs in the foreground.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from codex.core import registry
from codex.core.errors import RunError, UserError
from codex.runs.attempts import Attempt, begin, conclude, leave_word
from codex.runs.checkpoints import newest_checkpoint
from codex.runs.command import QUIET_AND_OFFLINE
from codex.runs.context import Heart, RunContext, StopFlag, StopRequested
from codex.runs.endings import FINISHED, ending_of_error, stopped
from codex.runs.locks import RunLock
from codex.runs.record import read_run
from codex.runs.status import Ending, ProcessId, Status, read_status

CLOSING_SECONDS = 60.0

log = logging.getLogger("codex.runs.worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the run's body; returns 0 when it finished or stopped, 1 when it failed, 2 when it could not begin."""
    parser = argparse.ArgumentParser(prog="python -m codex.runs.worker", description="Do a run's work, in the foreground.")
    parser.add_argument("folder", type=Path, help="the run's folder")
    parser.add_argument("--lock", type=int, default=None, help="descriptor that holds the run's lock, lent by a supervisor")
    options = parser.parse_args(arguments)
    stop = _listen()
    for name, value in QUIET_AND_OFFLINE.items():
        os.environ.setdefault(name, value)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder: Path = options.folder.absolute()
    try:
        attempt = begin(folder, supervised=False) if options.lock is None else _join(folder, options.lock)
    except RunError as error:
        log.error("%s", error)
        return 2
    return _work(attempt, stop)


def _listen() -> StopFlag:
    """Let SIGTERM and SIGINT ask for a stop; one that came before waits until now, a second one changes nothing."""
    stop = StopFlag()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.raised = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
    return stop


def _join(folder: Path, descriptor: int) -> Attempt:
    """The attempt that the supervisor began, whose lock it lends."""
    os.set_inheritable(descriptor, False)  # programs that the body starts must not keep the run locked
    try:
        status = read_status(folder)
    except ValueError as error:
        raise RunError(
            f"status.json of {str(folder)!r} cannot be read ({error})", "expected what the supervisor wrote", "Start it again."
        ) from error
    return Attempt(read_run(folder), replace(status, worker=ProcessId.own()), RunLock(descriptor), 0)


def _work(attempt: Attempt, stop: StopFlag) -> int:
    folder, number = attempt.run.folder, attempt.status.attempt
    heart = Heart(folder, attempt.status, stop)
    heart.start()
    ending = _run_body(RunContext(attempt.run, number, heart, stop))
    status = heart.close()
    code = int(ending.state == "failed")
    _end_in_any_case(code)
    try:
        leave_word(folder, number, ending)
        if not _is_watched(status):
            conclude(folder, status, ending)
            attempt.lock.release()
    except OSError as error:
        log.error("how the run ended could not be written down: %s; %s", error, ending.reason.sentence)
    return code


def _run_body(context: RunContext) -> Ending:
    try:
        body = registry.load("run", context.run.kind)
        body(context)
    except StopRequested as stop:
        return _stopped(context, stop.left)
    except BaseException as error:  # noqa: BLE001 - an exit and an interrupt end the run as much as an error does
        ending = ending_of_error(error, context.run.folder)
        if not isinstance(error, UserError):
            _log_traceback(error)
        return ending
    return Ending("finished", FINISHED)


def _stopped(context: RunContext, left: str = "") -> Ending:
    newest = newest_checkpoint(context.run.folder)
    return stopped(newest.name if newest else None, left)


def _log_traceback(error: BaseException) -> None:
    try:
        traceback.print_exception(error)
    except OSError:  # a full disk takes no log; the ending says so
        return


def _is_watched(status: Status) -> bool:
    return status.supervisor is not None and status.supervisor.lives()


def _end_in_any_case(code: int) -> None:
    """Leave even when a forgotten thread would keep this process, and with it the run, from ending."""
    timer = threading.Timer(CLOSING_SECONDS, os._exit, (code,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main())
