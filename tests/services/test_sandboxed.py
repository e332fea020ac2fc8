"""What a confined process has given up, tried by Python itself, which no SQL stands in the way of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codex.services import sandboxed

needs_landlock = pytest.mark.skipif(not sandboxed.landlock_version(), reason="this kernel has no Landlock")

TRY = """
import json, os, signal, socket, sys
from pathlib import Path
from codex.services.sandboxed import confine, python_folders

readable, outside, listening = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
confined = confine([readable, readable / "absent", *python_folders()])

def outcome(work):
    try:
        work()
    except OSError as error:
        return type(error).__name__
    return "done"

attempts = {
    "read what may be read": lambda: (readable / "file").read_bytes(),
    "list what may be read": lambda: list(readable.iterdir()),
    "read the rest": lambda: (outside / "file").read_bytes(),
    "read it around a corner": lambda: (readable / ".." / outside.name / "file").read_bytes(),
    "read it by a link": lambda: (readable / "link").read_bytes(),
    "list the rest": lambda: list(outside.iterdir()),
    "read the system's": lambda: open("/etc/passwd").close(),
    "read the environment": lambda: open("/proc/self/environ").close(),
    "write what may be read": lambda: open(readable / "file", "r+").close(),
    "truncate it": lambda: os.truncate(readable / "file", 0),
    "make a file": lambda: open(readable / "new", "x").close(),
    "make a folder": lambda: (readable / "folder").mkdir(),
    "remove": lambda: (readable / "file").unlink(),
    "rename": lambda: (readable / "file").rename(readable / "other"),
    "run a program": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "connect": lambda: socket.create_connection(("127.0.0.1", listening), 1).close(),
    "signal": lambda: os.kill(os.getppid(), signal.SIGCONT),
}
print(json.dumps([confined, {name: outcome(work) for name, work in attempts.items()}]))
"""


def _python(code: str, *arguments: object) -> str:
    environment = sandboxed.clean_environment() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_landlock
def test_confined_process_reads_what_it_may_and_does_nothing_else(tmp_path: Path) -> None:
    import socket

    readable, outside = tmp_path / "readable", tmp_path / "outside"
    for folder in (readable, outside):
        folder.mkdir()
        (folder / "file").write_bytes(b"here")
    (readable / "link").symlink_to(outside / "file")
    with socket.create_server(("127.0.0.1", 0)) as server:
        confined, outcomes = json.loads(_python(TRY, readable, outside, server.getsockname()[1]))
    version = sandboxed.landlock_version()
    free = {"read what may be read", "list what may be read"}
    free |= {"truncate it"} if version < 3 else set()
    free |= {"connect"} if version < 4 else set()
    free |= {"signal"} if version < 6 else set()
    assert confined and {name for name, outcome in outcomes.items() if outcome == "done"} == free
    assert {outcome for outcome in outcomes.values() if outcome != "done"} == {"PermissionError"}
    assert (readable / "file").read_bytes() == b"here" and sorted(path.name for path in readable.iterdir()) == ["file", "link"]


@needs_landlock
def test_process_with_another_thread_is_not_called_confined() -> None:
    code = """
import threading
from codex.services.sandboxed import confine
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
print(confine([]), open("/etc/passwd").readable())
stop.set()
"""
    assert _python(code).split() == ["False", "True"]


def test_kernel_without_landlock_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxed, "landlock_version", lambda: 0)
    assert sandboxed.confine([]) is False
    assert "no Landlock" in sandboxed.confinement()
    monkeypatch.setattr(sandboxed, "landlock_version", lambda: 7)
    assert "Landlock 7" in sandboxed.confinement()


def test_environment_holds_nothing_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    environment = sandboxed.clean_environment()
    assert "secret" not in environment.values() and environment["PATH"] == os.environ["PATH"]
    assert set(environment) <= {"PATH", "LANG", "LC_ALL", "PYTHONPATH", *sandboxed.QUIET}


@pytest.mark.skipif(sys.platform != "linux", reason="address space is counted on Linux only")
def test_memory_beyond_what_is_allowed_cannot_be_had() -> None:
    code = """
from codex.services.sandboxed import Memory
held = bytearray(50 * 2**20)
Memory().allow(100 * 2**20)
more = bytearray(80 * 2**20)
try:
    bytearray(80 * 2**20)
except MemoryError:
    print("no more")
"""
    assert _python(code).strip() == "no more"


def test_work_beyond_what_is_allowed_is_ended_by_the_kernel(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from codex.services.sandboxed import limit_work
limit_work(1000)
try:
    Path(sys.argv[1]).write_text("x")
except OSError as error:
    print(error.strerror)
print(resource.getrlimit(resource.RLIMIT_CORE)[1], resource.getrlimit(resource.RLIMIT_CPU)[0] < 1010)
"""
    assert _python(code, tmp_path / "file").splitlines() == ["File too large", "0 True"]


def test_kernel_ends_a_process_that_nobody_ends() -> None:
    code = "import time; from codex.services.sandboxed import end_within; end_within(0.1); time.sleep(60)"
    environment = sandboxed.clean_environment() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=30).returncode == -signal.SIGALRM
