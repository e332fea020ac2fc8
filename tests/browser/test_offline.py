"""What the system sees while the whole app is used: nothing leaves the machine, the app loads no torch, and it ends with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.app import App
from tests.browser.conftest import GONE, OpenPage, Seen
from tests.contacts import as_a_person, strangers, traced

PAGES = ("/", "/train", "/runs", "/run?id=last", "/chat")
PATIENCE_MS = 90_000


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Where strace writes; `.ci/run` installs it."""
    return tmp_path / "trace"


@pytest.fixture
def traced_app(tmp_path: Path, trace: Path) -> Iterator[App]:
    """The app and all that it starts, under strace. An environment as a person's: none of the switches that keep tests offline."""
    with pytest.MonkeyPatch.context() as patched:
        for name in os.environ.keys() - as_a_person():
            patched.delenv(name)
        app = App(tmp_path / "workspace", before=tuple(traced(trace)))
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
    seen.allowed = GONE
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
