"""What a process gives up before it runs what a person typed: files, the network, memory, time, and precedence over others.

Landlock, in the Linux kernel since 5.13, lets a process give up the right to open files for good, root included. Where the kernel
has none, the limits below still hold, and `confinement` says so.

Not covered: UDP, which Landlock does not know; DuckDB has no code for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from codex.core.paths import PACKAGE
from codex.runs.command import worker_environment
from codex.services.child_host import FIRST_TO_KILL, NICE

OPEN_FILES = 512
CPU_SLACK_SECONDS = 2
_CLEAN = ("PATH", "LANG", "LC_ALL", "PYTHONPATH")
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TZ": "UTC",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Landlock binds the thread that asks for it and those that it starts, so there must be no other one before.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_OWN_GROUP = Path("/proc/self/cgroup")
_FILE_RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many kinds of access to files each version can forbid: from 3 on truncation too, from 5 on device controls."""


def clean_environment() -> dict[str, str]:
    """What a confined process finds in its environment: where Python and its modules are, and nothing of the person's."""
    whole = worker_environment({})
    return {name: whole[name] for name in _CLEAN if name in whole} | QUIET


def stand_back(parent: int) -> None:
    """Let all others go first on the processor and be spared when memory is short; end with process `parent`."""
    os.nice(NICE)
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_KILL))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked to be told
        os._exit(1)


def end_within(seconds: float) -> None:
    """Let the kernel end this process after so many seconds, even if nobody is there any more to do it and Python does not get to run."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


class Memory:
    """How much address space this process has; made before files are given up."""

    def __init__(self) -> None:
        self._statm: int | None = None
        with contextlib.suppress(FileNotFoundError):  # not Linux
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def allow(self, more: int) -> None:
        """From now on, let the process have `more` bytes and no more; nothing where the system does not count them."""
        if self._statm is not None:
            pages = int(os.pread(self._statm, 100, 0).split()[0])
            _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + more)


def limit_work(cpu_seconds: float) -> None:
    """From now on, let the process compute for so long, write no file and leave no core behind."""
    spent = time.process_time()
    _limit(resource.RLIMIT_CPU, math.ceil(spent + cpu_seconds) + CPU_SLACK_SECONDS)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def python_folders() -> list[Path]:
    """Where this Python, its packages and our own code are."""
    packages = [Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return [Path(sys.prefix), Path(sys.base_prefix), *packages, PACKAGE]


def machine_files() -> list[Path]:
    """Where the kernel says how much of the machine a process gets; DuckDB breaks off when these are there and cannot be opened."""
    return [_OWN_GROUP, Path("/sys/fs/cgroup")]


def landlock_version() -> int:
    """The version of Landlock that this kernel offers; 0 where it offers none."""
    if sys.platform != "linux":
        return 0
    return max(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION)), 0)


def confinement() -> str:
    """What holds a person's SQL on this machine, in a sentence."""
    version = landlock_version()
    if version:
        return f"SQL runs in a process that can open nothing but the log, to read it (Landlock {version})."
    return "SQL runs in a process with limits of its own, but this kernel has no Landlock: what it can open, only DuckDB's settings say."


def confine(readable: Iterable[Path]) -> bool:
    """Give up, for good, every file but those under `readable`, which can be read, and TCP; whether it is so.

    False where the kernel has no Landlock or does not let us use it, and where another thread runs, which would keep its rights.
    """
    version = landlock_version()
    if not version or _threads() != 1:
        return False
    with contextlib.suppress(FileNotFoundError):
        os.open(_OWN_GROUP, os.O_RDONLY | os.O_CLOEXEC)  # stays open: a rule is for the file as it is in memory, and this keeps it there
    ruleset = _ruleset(version)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _let_read(ruleset, path)
        system = ctypes.CDLL(None)
        free = system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return free == 0 and system.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0
    finally:
        os.close(ruleset)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _ruleset(version: int) -> int:
    """A new set of rules that forbids all that this version can forbid, as a descriptor; negative when it cannot be made."""
    files = (1 << _FILE_RIGHTS_OF_VERSION[min(version, max(_FILE_RIGHTS_OF_VERSION))]) - 1
    words = [files]
    if version >= 4:
        words.append(0b11)  # bind and connect by TCP
    if version >= 6:
        words.append(0b11)  # abstract Unix sockets and signals of processes outside
    return _call(_CREATE_RULESET, struct.pack(f"={len(words)}Q", *words))


def _let_read(ruleset: int, path: Path) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):  # what is not there need not be read
        return
    try:
        rights = _READ_FILE | (_READ_DIR if path.is_dir() else 0)
        rule = struct.pack("=Qi", rights, place)
        ctypes.CDLL(None).syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(place)


def _call(number: int, attributes: bytes) -> int:
    return ctypes.CDLL(None).syscall(number, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
