"""The run form while it waits: for its first values, for a file that is read, for the run. It says so, and nothing is lost meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from codex.core.paths import Workspace
from codex.services import runs
from tests.browser.app import App
from tests.browser.conftest import OpenPage, Seen
from tests.browser.held import Held

SHORT = {"CODEX_TRAINING__STEPS": "2000", "CODEX_EVALUATION__JUDGE": "false", "CODEX_TRACKING__MLFLOW": "false"}
PATIENCE_MS = 90_000
"""The first check waits for a process that imports torch."""
LEFT = "Connection errored out"
"""What Gradio says of a page that is left."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app over a workspace that these tests start a run in."""
    with App(tmp_path_factory.mktemp("waiting") / "workspace", environment=SHORT) as started:
        yield started


def _open(app: App, open_page: OpenPage) -> tuple[Page, Locator]:
    """The form with its first values, and its Start."""
    page = open_page(f"{app.url}/train")
    start = page.locator("#start")
    expect(start).to_be_enabled()
    return page, start


def _choose(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#add-data").click()
    chooser.value.set_files(path)


def _mynew(folder: Path) -> Path:
    path = folder / "mynew.jsonl"
    lines = [json.dumps({"prompt": f"def f{n}():", "completion": f" return {n}"}) for n in range(60)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _runs(app: App) -> list[str]:
    return sorted(path.name for path in (app.workspace / "runs").glob("r-*"))


def test_what_is_typed_before_the_form_has_its_values_goes_nowhere(app: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = (LEFT,)
    page = open_page(f"{app.url}/runs")
    seed = page.locator("#f-seed input")
    with Held(page):
        page.goto(f"{app.url}/train")
        expect(page.locator("#start")).to_have_text("Loading…")
        seed.evaluate("box => box.focus()")
        page.keyboard.type("7")
        expect(seed).to_have_value("")
    expect(seed).to_have_value("42")
    expect(page.locator("#start")).to_have_text("Start run")
    seed.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("7")
    expect(page.locator("#will .cx-code").first).to_contain_text("seed=7")
    expect(seed).to_have_value("7")


def test_script_that_comes_after_the_values_holds_nothing(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/runs")
    with Held(page, "**/vendor/form.js*"):
        page.goto(f"{app.url}/train")
        expect(page.locator("#f-seed input")).to_have_value("42")
        page.wait_for_function("window.codexCame?.has('form')")
    page.wait_for_function("Boolean(window.codex.free)")
    expect(page.locator("#start")).to_have_text("Start run", timeout=2000)
    expect(page.locator("#start")).to_be_enabled(timeout=2000)


def test_no_run_starts_while_a_file_is_read(app: App, open_page: OpenPage, tmp_path: Path) -> None:
    page, start = _open(app, open_page)
    with Held(page):
        _choose(page, _mynew(tmp_path))
        for button in (start, page.locator("#add-data")):
            expect(button).to_have_text("Checking mynew.jsonl…")
            expect(button).to_be_disabled()
        start.evaluate("button => button.click()")
    expect(page.locator("#f-data-source input")).to_have_value("mynew.jsonl", timeout=PATIENCE_MS)
    expect(start).to_have_text("Start run")
    expect(start).to_be_enabled()
    expect(page.locator("#will .cx-code").first).to_contain_text("data.source=mynew.jsonl")
    assert urlsplit(page.url).path == "/train"
    assert not _runs(app)


def test_start_comes_back_when_a_file_is_not_taken(app: App, open_page: OpenPage, tmp_path: Path) -> None:
    page, start = _open(app, open_page)
    wrong = tmp_path / f"{'wrong' * 20}.jsonl"
    wrong.write_text("no json\n")
    with Held(page):
        _choose(page, wrong)
        expect(start).to_have_text("Checking wrongwrongwrongwrongwrongw…gwrong.jsonl…")
    expect(page.locator("#train-said")).to_contain_text("Not added", timeout=PATIENCE_MS)
    expect(start).to_have_text("Start run")
    expect(start).to_be_enabled()
    other = tmp_path / "table.csv"
    other.write_text("a,b\n")
    _choose(page, other)  # Gradio itself refuses it, before anything is sent
    expect(page.locator(".toast-body")).to_be_visible()
    expect(start).to_have_text("Start run")


def test_start_says_at_once_that_it_was_pressed_and_comes_back_after_an_error(app: App, open_page: OpenPage, tmp_path: Path) -> None:
    page, start = _open(app, open_page)
    _choose(page, _mynew(tmp_path))
    source = page.locator("#f-data-source input")
    expect(source).not_to_have_value("stdlib-docstrings", timeout=PATIENCE_MS)
    expect(page.locator("#facts dl")).to_contain_text("53 to train on", timeout=PATIENCE_MS)  # of the new file, not of the data before it
    expect(start).to_be_enabled(timeout=PATIENCE_MS)
    (app.workspace / "datasets" / source.input_value()).unlink()
    with Held(page):
        start.click()
        expect(start).to_have_text("Checking the data…")
        expect(start).to_be_disabled()
    expect(page.locator("#facts")).to_contain_text("Cannot start", timeout=PATIENCE_MS)
    expect(start).to_have_text("Start run")
    expect(start).to_be_enabled()
    assert not _runs(app)


def test_form_that_the_browser_kept_can_be_started_when_one_comes_back_to_it(app: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = (LEFT,)
    page, start = _open(app, open_page)
    with Held(page):
        start.click()
        expect(start).to_have_text("Checking the data…")
        # What a browser says when Back shows the page as it was left; a driven one keeps no pages.
        page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false }))")
        expect(start).to_have_text("Checking the data…")
        page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        expect(start).to_have_text("Start run")
        page.goto(f"{app.url}/runs")
    assert not _runs(app)


def test_two_presses_in_one_moment_start_one_run(app: App, open_page: OpenPage) -> None:
    page, start = _open(app, open_page)
    with Held(page):
        start.evaluate("button => { button.click(); button.click(); }")
        expect(start).to_have_text("Checking the data…")
    page.wait_for_url("**/run?id=r-0001", timeout=PATIENCE_MS)
    page.locator("[data-part=run-head] .act").wait_for()
    page.wait_for_timeout(2000)
    assert _runs(app) == ["r-0001"]
    runs.stop("last", workspace=Workspace(app.workspace), wait_s=20, force=True)
