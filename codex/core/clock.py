"""Time, and the identity of this boot and of a process."""

from __future__ import annotations

import math
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FIRST: Final = -62_135_596_800 + 2 * 86_400
"""0001-01-03, in seconds since the epoch: from here on, every time zone is in a year that `datetime` knows."""
END: Final = 253_402_300_800 - 2 * 86_400
"""9999-12-30, in seconds since the epoch: until here, every time zone is."""


def now() -> float:
    """Seconds since the epoch, UTC."""
    return time.time()


def microseconds(ts: float) -> int:
    """`ts` (seconds since the epoch) in whole microseconds, as the session log keeps it."""
    return math.floor(ts * 1e6 + 0.5)


def shown(ts: float) -> float:
    """`ts`, or the nearest time that every time zone can show."""
    return min(max(ts, FIRST), END)


def iso(ts: float) -> str:
    """`ts` (seconds since the epoch) as `2026-11-23T01:42:21.123Z`."""
    return datetime.fromtimestamp(ts, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def boot_id() -> str:
    """A name for the time since this machine was last started; empty where the system gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_start(pid: int) -> str | None:
    """When process `pid` started, in the system's own unit; None when it is not alive.

    Two processes that get the same pid one after the other differ in this, so (pid, start) names a process.
    A zombie, which is dead but not yet reaped, counts as not alive.
    """
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None


def own_process() -> tuple[int, str]:
    """This process as (pid, start)."""
    pid = os.getpid()
    start = process_start(pid)
    assert start is not None, "a running process is alive"
    return pid, start
