"""Whom a program reaches for: without a network, and as strace sees it where there is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

# A connection's or datagram's address as strace prints it, and the kinds of addresses that stay on this machine.
ADDRESS = re.compile(r'sin6?_addr=inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
FAMILY = re.compile(r"sa_family=(AF_\w+)")
LOCAL = re.compile(r"127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|::")
SHORT_DEMO = {
    "CODEX_TRAINING__STEPS": "3",
    "CODEX_TRAINING__BATCH_SIZE": "2",
    "CODEX_EVALUATION__EXAMPLES": "8",
    "CODEX_EVALUATION__RESAMPLES": "200",
}
"""Variables that leave the demo as it is, from the data to the verdict, but with less of each: it is run from a wheel, and traced."""
VERDICT_OF_SHORT_DEMO = r"(Better|Worse|No difference shown): .*, 8 held-out functions"
FAMILIES = {"AF_UNIX", "AF_INET", "AF_INET6", "AF_UNSPEC", "AF_NETLINK"}


def without_network() -> list[str]:
    """What to write before a command so that it has no network at all."""
    prefix = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    return _usable(prefix)


def traced(trace: Path) -> list[str]:
    """What to write before a command so that all it reaches for, and all that it starts, is written to `trace`."""
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    return _usable(["strace", "-f", "-qq", "--seccomp-bpf", "-e", calls, "-e", "signal=none", "-o", str(trace)])


def _usable(prefix: list[str]) -> list[str]:
    """`prefix`, where it works here; `.ci/run` lets no test be skipped."""
    if shutil.which(prefix[0]) is None:
        pytest.skip(f"{prefix[0]} is not installed")
    answer = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip(f"{prefix[0]} does not work here: {answer.stderr.strip()}")
    return prefix


def as_a_person() -> dict[str, str]:
    """An environment with none of the switches that keep tests offline."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_")) and name != "DO_NOT_TRACK"}


def strangers(trace: str) -> list[str]:
    """Lines of a trace that name an address other than this machine's own, or one of a kind that is not known to stay here."""
    found = [line for line in trace.splitlines() for pair in ADDRESS.findall(line) if not LOCAL.fullmatch(pair[0] or pair[1])]
    return found + [line for line in trace.splitlines() if set(FAMILY.findall(line)) - FAMILIES]
