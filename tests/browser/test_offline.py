"""What the system sees while the whole app is used: nothing leaves the machine, the app loads no torch, and it ends with all it started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.app import App
from tests.browser.conftest import OpenPage, Seen

# A connection's or datagram's address as strace prints it, and the kinds of addresses that stay on this machine.
ADDRESS = re.compile(r'sin6?_addr=inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
FAMILY = re.compile(r"sa_family=(AF_\w+)")
LOCAL = re.compile(r"127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|::")
FAMILIES = {"AF_UNIX", "AF_INET", "AF_INET6", "AF_UNSPEC", "AF_NETLINK"}
PAGES = ("/", "/train", "/runs", "/run?id=last", "/chat")
PATIENCE_MS = 90_000


def strangers(trace: str) -> list[str]:
    """Lines of a trace that name an address other than this machine's own, or one of a kind that is not known to stay here."""
    found = [line for line in trace.splitlines() for pair in ADDRESS.findall(line) if not LOCAL.fullmatch(pair[0] or pair[1])]
    return found + [line for line in trace.splitlines() if set(FAMILY.findall(line)) - FAMILIES]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Where strace writes; `.ci/run` installs it."""
    return tmp_path / "trace"


@pytest.fixture
def traced_app(tmp_path: Path, trace: Path) -> Iterator[App]:
    """The app and all that it starts, under strace. An environment as a person's: none of the switches that keep tests offline."""
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith(("HF_", "TRANSFORMERS_")) or name == "DO_NOT_TRACK"]:
            patched.delenv(name)
        before = (
            "strace",
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-e",
            "trace=connect,sendto,sendmsg,sendmmsg",
            "-e",
            "signal=none",
            "-o",
            str(trace),
        )
        app = App(tmp_path / "workspace", before=before)
    children = Path(f"/proc/{app.process.pid}/task/{app.process.pid}/children").read_text().split()
    app.ids = {"app": children[0]}
    try:
        yield app
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(children[0]), signal.SIGTERM)
        app.process.wait(15)
        app.__exit__()


def test_whole_use_of_the_app_contacts_nobody_loads_no_torch_and_ends_with_all_it_started(
    traced_app: App, trace: Path, open_page: OpenPage, seen: Seen
) -> None:
    seen.allowed = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING")
    for path in PAGES[1:]:
        open_page(traced_app.url + path).context.close()
    page = open_page(traced_app.url + "/train")
    page.locator("#facts dl").wait_for(timeout=PATIENCE_MS)  # model and data were looked at, in a process that loads torch
    page.goto(traced_app.url + "/chat")
    message = page.locator("#chat-message textarea")
    message.fill("<img src=x onerror=\"document.title='owned'\">")
    page.locator("#chat-send").click()
    expect(page.locator(".cx-side-head .note").first).to_contain_text("tokens/s", timeout=PATIENCE_MS)
    assert page.locator(".cx-chat img[src='x']").count() == 0
    assert page.evaluate("document.title") != "owned"
    expect(page.locator(".cx-chat").first).to_contain_text("<img src=x onerror=")

    told = page.evaluate("fetch('/api/side/notebooks', { method: 'POST' }).then((answer) => answer.json())")
    assert told["go"].startswith("http://127.0.0.1:")

    app = psutil.Process(int(traced_app.ids["app"]))
    assert "codex_ui" in app.cmdline()
    assert "libtorch" not in _maps(app)
    beside = app.children(recursive=True)
    assert len(beside) >= 4  # what checks plans, what chats, the leash of the notebooks and marimo
    assert [each for each in beside if "libtorch" in _maps(each)], "the processes beside it do load it"

    began = time.monotonic()
    app.send_signal(signal.SIGTERM)  # a page is open, and asks once a second
    app.wait(15)
    assert time.monotonic() - began < 5
    gone, alive = psutil.wait_procs(beside, timeout=5)
    assert not alive
    assert len(gone) == len(beside)
    assert "Traceback" not in traced_app.printed
    text = trace.read_text()
    assert "sendto(" in text, "nothing was traced"
    assert strangers(text) == []


def _maps(process: psutil.Process) -> str:
    """The files that a process has in its memory."""
    return Path(f"/proc/{process.pid}/maps").read_text()


def test_trace_sees_a_stranger(trace: Path) -> None:
    program = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'', ('192.0.2.1', 9))\n"
    subprocess.run(["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=sendto", "-o", str(trace), "python3", "-c", program], check=False)
    assert len(strangers(trace.read_text())) == 1
