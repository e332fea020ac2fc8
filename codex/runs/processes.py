"""Signals to processes, sent so that another process with the same pid never gets one."""

from __future__ import annotations

import os
import signal
import sys

from codex.runs.status import ProcessId


def send_signal(process: ProcessId, number: signal.Signals) -> bool:
    """Send `number` to exactly this process; False when it is not alive any more.

    Raises:
        PermissionError: it belongs to someone else.
    """
    try:
        if sys.platform == "linux":
            return _send_through_handle(process, number)
        if not process.lives():
            return False
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _send_through_handle(process: ProcessId, number: signal.Signals) -> bool:
    # The handle names one process for good: verified once it is held, its pid cannot be reused before the signal.
    handle = os.pidfd_open(process.pid)
    try:
        if not process.lives():
            return False
        signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)
    return True


def signal_name(number: int) -> str:
    """`SIGKILL` of 9; `signal 41` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
