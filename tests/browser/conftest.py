"""A real browser over the real app. No request may leave the machine, and the console stays clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from codex.core.paths import Workspace
from tests.browser.app import App
from tests.browser.find import find, wanted
from tests.browser.workspaces import full_workspace

FLAGS = [
    "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-extensions", "--disable-background-networking", "--no-first-run",
]  # fmt: skip
PATIENCE_MS = 60_000
LEAVING = ("AbortError: signal is aborted", "/assets/")
"""What Gradio's own script says, uncaught, when a page is left while it sends: the browser ends the request; nobody is there to see it."""
GONE = (
    "ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_CONTENT_LENGTH_MISMATCH",
)  # fmt: skip
"""What the browser says of an app that went away, before or within an answer."""
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser the tests of this folder are not there; `tests/conftest.py` says so at the end."""
    if not wanted():
        items[:] = [item for item in items if Path(__file__).parent not in item.path.parents]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    path = find()
    assert path is not None, "no browser: `python -m tests.browser.find` says what to install"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@dataclass
class Seen:
    """What a page did besides what it shows."""

    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def watch(self, page: Page) -> None:
        """Record requests, console errors and uncaught exceptions of `page`."""
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._error(str(error)))

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname or "")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._error(message.text)

    def _error(self, text: str) -> None:
        if not all(part in text for part in LEAVING) and not any(part in text for part in self.allowed):
            self.errors.append(text)


OpenPage = Callable[..., Page]


@pytest.fixture
def seen() -> Iterator[Seen]:
    """What all pages of a test did; checked at its end."""
    watched = Seen()
    yield watched
    assert watched.hosts <= {"127.0.0.1", "localhost"}, f"a request left the machine: {watched.hosts}"
    assert not watched.errors


@pytest.fixture
def open_page(browser: Browser, seen: Seen) -> Iterator[OpenPage]:
    """Open an address in a new context: `open_page(url, width=1440, dark=False)`."""
    contexts: list[Any] = []

    def open_it(url: str, *, width: int = 1440, dark: bool = False) -> Page:
        height = {1440: 900, 1024: 768, 390: 844}[width]
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        contexts.append(context)
        context.add_init_script(f"localStorage['codex.theme'] ??= '{'dark' if dark else 'light'}'")
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        seen.watch(page)
        page.goto(url)
        page.wait_for_selector("#content")
        page.wait_for_selector(".cx-strip > *", state="attached")
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def full_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app over a workspace with a run in every state; tests only read it."""
    workspace = Workspace(tmp_path_factory.mktemp("full") / "workspace")
    ids = full_workspace(workspace)
    with App(workspace.root) as app:
        app.ids = ids
        yield app


@pytest.fixture(scope="session")
def empty_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app over an empty workspace; tests only read it."""
    with App(tmp_path_factory.mktemp("empty") / "workspace") as app:
        yield app
