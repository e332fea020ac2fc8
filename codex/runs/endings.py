"""Why a run ended, told from the worker's last word, its exit, and what is left when both processes are gone."""

from __future__ import annotations

import errno
import os
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codex.core.errors import UserError
from codex.runs.processes import signal_name
from codex.runs.status import Ending, Reason

TAIL_LINES = 20
LONGEST_LINE = 1000
FULL_BELOW_BYTES = 16 * 2**20

FINISHED = Reason("finished", "Finished.")
LESS_MEMORY = "Smaller batches or shorter examples need less."

MEMORY_WORDS = ("not enough memory", "can't allocate memory", "cannot allocate memory", "defaultcpuallocator", "out of memory")
FULL_WORDS = ("no space left on device", "os error 28", "database or disk is full", "disk quota exceeded", "not enough free disk space")
# PyTorch's archive writer says only that a write came up short, so the disk itself is asked as well.
SHORT_WRITE_WORDS = ("unexpected pos", "iostream error", "pytorchstreamwriter failed writing")


@dataclass(frozen=True)
class Exit:
    """How the worker's process ended.

    Args:
        code: its exit code, or minus the signal that ended it, as `subprocess` gives it.
        out_of_memory: whether the kernel ended a process for want of memory meanwhile.
        stop_asked: a person asked for the end: `"stop"`, `"force"`, or None.
        log: the last lines of the worker's log.
    """

    code: int
    out_of_memory: bool = False
    stop_asked: str | None = None
    log: tuple[str, ...] = ()


def stopped(checkpoint: str | None, left: str = "") -> Ending:
    """The ending of an attempt whose body ended when asked; `checkpoint` is the newest there is, `left` what else it left, in words."""
    onward = f" Resume goes on from {checkpoint}." if checkpoint else ""
    return Ending("stopped", Reason("stopped", f"Stopped when asked.{f' {left}' if left else ''}{onward}"))


def ending_of_error(error: BaseException, folder: Path) -> Ending:
    """The ending of an attempt whose body raised `error`; `folder` is the run's, whose disk may be full."""
    if isinstance(error, UserError):
        said = tuple(plain(str(problem)) for problem in error.problems)
        return Ending("failed", Reason("error", said[0], said[1:]))
    chain = list(_chain(error))
    out_of_memory = any(_is_out_of_memory(link) for link in chain)
    if out_of_memory:
        for link in chain:  # their frames still hold what filled the memory, and to tell of it takes some
            traceback.clear_frames(link.__traceback__)
    lines = _traceback_tail(error)
    if any(_is_disk_full(link, folder) for link in chain):
        fix = "Make room, then resume: nothing before the last checkpoint is lost."
        return Ending("failed", Reason("error", f"The disk is full ({_first_line(error)}). {fix}", lines))
    if out_of_memory:
        return Ending("failed", Reason("out of memory", f"Out of memory ({_first_line(error)}). {LESS_MEMORY}", lines))
    return Ending("failed", Reason("error", _first_line(error), lines))


def ending_of_exit(seen: Exit) -> Ending:
    """The ending of an attempt whose worker went without a word."""
    if seen.code >= 0:
        sentence = f"The worker ended with exit code {seen.code} without saying why."
        return Ending("failed", Reason("error", sentence, seen.log))
    number = -seen.code
    name = signal_name(number)
    if seen.stop_asked == "force" and number == signal.SIGKILL:
        return forced()
    if seen.out_of_memory and number == signal.SIGKILL:
        sentence = f"Out of memory: the kernel ended the worker. {LESS_MEMORY}"
        return Ending("failed", Reason("out of memory", sentence, seen.log, name))
    if seen.stop_asked and number in (signal.SIGTERM, signal.SIGINT):
        return Ending("stopped", Reason("stopped", "Stopped when asked, before it could save.", seen.log, name))
    return Ending("failed", Reason("killed", f"Killed by signal {number} ({name}).", seen.log, name))


def forced() -> Ending:
    """The ending of an attempt that a person ended without letting it save."""
    return Ending("stopped", Reason("stopped", "Stopped by force; what came after the last checkpoint is lost.", signal="SIGKILL"))


def restarted(last_seen: float) -> Ending:
    """The ending of an attempt that a restart of the machine ended."""
    return Ending("failed", Reason("machine restarted", "The machine was restarted while it ran. Resume it to go on."), last_seen)


def lost(last_seen: float, log: tuple[str, ...]) -> Ending:
    """The ending of an attempt whose worker and supervisor are both gone without a word."""
    sentence = "Lost: its worker and its supervisor are gone without a word, as when both are killed. Resume it to go on."
    return Ending("failed", Reason("lost", sentence, log), last_seen)


def log_tail(log: Path, offset: int = 0) -> tuple[str, ...]:
    """The last lines of `log` that were written from byte `offset` on; empty when it cannot be read."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset, size - TAIL_LINES * LONGEST_LINE))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(line[:LONGEST_LINE] for line in text.splitlines()[-TAIL_LINES:])


def plain(text: str) -> str:
    """`text` as UTF-8 can hold it: names that the system could not decode are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it, as a traceback shows them."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # torch is not imported to ask: a worker that never loaded it cannot raise its error.
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in MEMORY_WORDS)


def _is_disk_full(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = str(error).lower()
    if any(words in text for words in FULL_WORDS):
        return True
    return any(words in text for words in SHORT_WRITE_WORDS) and _nearly_full(folder)


def _nearly_full(folder: Path) -> bool:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < FULL_BELOW_BYTES


def _first_line(error: BaseException) -> str:
    text = plain(str(error)).strip()
    line = text.splitlines()[0][:LONGEST_LINE] if text else ""
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _traceback_tail(error: BaseException) -> tuple[str, ...]:
    text = plain("".join(traceback.format_exception(error)))
    return tuple(line[:LONGEST_LINE] for line in text.splitlines()[-TAIL_LINES:])
