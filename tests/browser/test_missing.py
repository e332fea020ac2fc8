"""Addresses that lead nowhere: a page of the app's own, with ways on."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from codex.core.paths import Workspace
from codex.services import runs
from tests.browser.app import App
from tests.browser.axe import does_not_fit, violations
from tests.browser.conftest import OpenPage, Seen

SHORT = {"CODEX_TRAINING__STEPS": "2000", "CODEX_EVALUATION__JUDGE": "false", "CODEX_TRACKING__MLFLOW": "false"}


def test_address_that_is_none_shows_a_page_with_a_way_home(empty_app: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = ("404 (Not Found)",)
    page = open_page(f"{empty_app.url}/runs")
    for dark in (False, True):
        page.evaluate(f"localStorage['codex.theme'] = '{'dark' if dark else 'light'}'")
        page.goto(f"{empty_app.url}/nonsense/{'x' * 90}")
        expect(page.locator("h1")).to_have_text("There is no such page")
        assert not violations(page)
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert not does_not_fit(page, width)
    page.get_by_role("link", name="Home").click()
    expect(page.locator("h1")).to_have_text("Home")


def test_nothing_tells_what_routes_there_are(empty_app: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = ("404 (Not Found)",)
    page = open_page(f"{empty_app.url}/runs")
    for path in ("/openapi.json", "/gradio_api/openapi.json", "/docs", "/redoc", "/api/nonsense"):
        assert page.evaluate("path => fetch(path).then((answer) => answer.status)", path) == 404


def test_page_of_a_run_that_is_not_there_leads_to_all_runs(empty_app: App, open_page: OpenPage) -> None:
    page = open_page(f"{empty_app.url}/run?id=r-0099")
    expect(page.locator("#cx-said")).to_contain_text("r-0099")
    page.locator("#content").get_by_role("link", name="All runs").click()
    page.wait_for_url("**/runs")


def test_two_quick_clicks_on_start_start_one_run_and_leave_no_error(tmp_path: Path, open_page: OpenPage) -> None:
    folder = tmp_path / "workspace"
    with App(folder, environment=SHORT) as app:
        for number, (path, button) in enumerate((("/", "[data-post='/api/runs']"), ("/train", "#start:not([disabled])")), 1):
            page = open_page(app.url + path)
            if path == "/train":
                page.locator("#facts dl").wait_for(timeout=90_000)
            page.locator(button).dblclick()
            page.wait_for_url(f"**/run?id=r-000{number}", timeout=60_000)
            page.locator("[data-part=run-head] .act").wait_for()
            page.wait_for_timeout(1500)
            page.context.close()
            made = sorted(each.name for each in (folder / "runs").iterdir() if each.name.startswith("r-"))
            assert made == [f"r-000{each}" for each in range(1, number + 1)]
            runs.stop("last", workspace=Workspace(folder), wait_s=20, force=True)
