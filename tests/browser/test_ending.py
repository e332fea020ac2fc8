"""The end of the app: within five seconds of SIGTERM, with pages and all programs beside it open, and nothing of it stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.app import App
from tests.browser.conftest import GONE, OpenPage, Seen
from tests.browser.talking import HOLD

SIDE_MS = 90_000


@pytest.fixture
def app(tmp_path: Path, seen: Seen) -> Iterator[App]:
    """An app of its own, whose models load for as long as a file is there."""
    seen.allowed = GONE
    with App(tmp_path / "workspace", module="tests.browser.talking") as made:
        yield made


def test_app_with_everything_open_ends_within_five_seconds_and_takes_all_with_it(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/chat")
    for name in ("tracker", "notebooks"):
        told = page.evaluate(f"fetch('/api/side/{name}', {{ method: 'POST' }}).then((answer) => answer.json())")
        other = page.context.new_page()  # a program that is looked at holds its connections open
        other.set_default_timeout(SIDE_MS)
        other.goto(told["go"], wait_until="commit")
    (app.workspace / HOLD).touch()
    page.locator("#chat-message textarea").fill("text")
    page.locator("#chat-send").click()
    expect(page.locator("#chat-said")).to_contain_text("loaded")
    open_page(f"{app.url}/").evaluate("fetch('/api/warm', { method: 'POST' }).then(() => 1)")
    beside = psutil.Process(app.process.pid).children(recursive=True)
    commands = [" ".join(each.cmdline()) for each in beside]
    for part in ("mlflow server", "marimo_offline", "talking:Echo", "planner:PlanHandler"):
        assert any(part in command for command in commands), commands
    assert app.stop() < 5
    alive = psutil.wait_procs(beside, timeout=3)[1]
    assert not alive, commands
    assert "Traceback" not in app.printed


def test_app_that_is_starting_a_program_beside_it_ends_as_soon(app: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = (*GONE, "400 (Bad Request)")  # whoever started it hears that it was closed
    page = open_page(f"{app.url}/")
    page.evaluate("void fetch('/api/side/tracker', { method: 'POST' })")
    deadline = time.monotonic() + 20
    while not (beside := psutil.Process(app.process.pid).children(recursive=True)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert beside
    assert app.stop() < 5
    assert not psutil.wait_procs(beside, timeout=3)[1]
