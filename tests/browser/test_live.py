"""What changes while a page is looked at: in place, at once, and nothing else moves; an app that goes away and comes back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, Route, expect

from codex.core import clock
from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.runs.status import ProcessId, Reason, host_name
from codex.services import runs
from tests.browser.app import App
from tests.browser.axe import does_not_fit, violations
from tests.browser.conftest import GONE, OpenPage, Seen
from tests.browser.held import Held
from tests.browser.workspaces import log_steps
from tests.made import Made, whole_weights

SEEN_WITHIN_SECONDS = 2.0


class Ground:
    """An app of its own, whose runs the test changes as a worker would.

    Args:
        workspace: of the app.
        app: over it.
    """

    def __init__(self, workspace: Workspace, app: App) -> None:
        self.made = Made(workspace)
        self.app = app

    def running(self, title: str, **more: Any) -> Run:
        """A run at step 20 of 200."""
        run = self.made.running(title, **{"step": 20, "total": 200, **more})
        log_steps(self.made.workspace, run, range(1, 21))
        run.log.write_text("".join(f"line {number} of what the worker wrote\n" for number in range(1, 151)))
        return run

    def at(self, run: Run, step: int) -> None:
        """Its worker is at another step."""
        now = clock.now()
        alive: dict[str, Any] = {"state": "running", "worker": ProcessId.own(), "boot": clock.boot_id(), "host": host_name()}
        self.made.tell(run, **alive, step=step, total=200, heartbeat=now, started=now - 60, note="training")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One private app for the tests of this file."""
    workspace = Workspace(tmp_path_factory.mktemp("live") / "workspace")
    workspace.create()
    with App(workspace.root) as app:
        yield Ground(workspace, app)


def _open(ground: Ground, open_page: OpenPage, run: Run) -> Page:
    page = open_page(f"{ground.app.url}/run?id={run.id}")
    expect(page.locator(".cx-prog")).to_contain_text("step 20 of 200")
    return page


def test_new_step_is_seen_within_two_seconds(ground: Ground, open_page: OpenPage) -> None:
    """The middle one of five, since this machine may do other things as well."""
    run = ground.running("Steps")
    page = _open(ground, open_page, run)
    page.wait_for_function("document.querySelector('[data-plot=loss]').data?.[1].x.at(-1) === 20")
    took = []
    for step in range(21, 26):
        log_steps(ground.made.workspace, run, range(step, step + 1))
        began = time.monotonic()
        ground.at(run, step)
        page.wait_for_function(
            """step => document.querySelector('.cx-prog').innerText.includes(`step ${step} of 200`)
              && document.querySelector('[data-plot=loss]').data[1].x.at(-1) === step""",
            arg=step,
        )
        took.append(time.monotonic() - began)
    assert sorted(took)[2] <= SEEN_WITHIN_SECONDS, took
    room = page.evaluate("document.querySelector('[data-plot=memory]').layout.yaxis.range")
    assert room == [0, pytest.approx(psutil.virtual_memory().total / 2**30)]


def test_state_change_changes_head_chip_and_buttons_without_a_reload(ground: Ground, open_page: OpenPage) -> None:
    run = ground.running("To the end")
    page = _open(ground, open_page, run)
    page.evaluate("window.same = true")
    expect(page.locator("h1 .cx-chip")).to_have_text("Running")
    expect(page.locator("#stop")).to_be_visible()
    now = clock.now()
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "/models/base"}')
    (run.adapter / "adapter_model.safetensors").write_bytes(whole_weights(2048))
    run.report.write_text(json.dumps({"run": run.id, "verdict": Made.verdict()}))
    ground.made.tell(run, state="finished", reason=Reason("finished", "Finished."), started=now - 72, ended=now, step=200, total=200)
    expect(page.locator("h1 .cx-chip")).to_have_text("Finished")
    expect(page.locator("#chat")).to_be_visible()
    expect(page.locator("#stop")).to_have_count(0)
    expect(page.locator("[data-part=run-now] .cx-verdict")).to_contain_text("Better")
    assert page.evaluate("window.same")


def test_updates_move_nothing_and_close_nothing(ground: Ground, open_page: OpenPage) -> None:
    run = ground.running("Still")
    page = _open(ground, open_page, run)
    page.set_viewport_size({"width": 1440, "height": 500})
    page.get_by_role("tab", name="Log").click()
    page.locator("[data-part=run-log] pre").wait_for()
    page.locator("#stop").focus()
    page.keyboard.press("Enter")
    box = page.locator("#confirm-stop")
    expect(box).to_be_visible()
    page.evaluate(
        """() => {
          document.activeElement.blur();
          document.querySelector('[data-part=run-log] pre').scrollTop = 400;
          scrollTo(0, 120);
          const pre = document.querySelector('[data-part=run-log] pre');
          getSelection().setBaseAndExtent(pre.firstChild, 12, pre.firstChild, 40);
        }"""
    )
    at = "() => [scrollX, scrollY, document.querySelector('[data-part=run-log] pre').scrollTop, getSelection().toString()]"
    before = page.evaluate(at)
    assert before[1] == 120 and before[2] == 400 and len(before[3]) == 28
    page.evaluate(
        """() => {
          window.shifts = [];
          // What follows a key or a click within half a second is an answer to it, and does not count; the browser says which is.
          const unasked = (each) => !each.hadRecentInput;
          const what = (one) => one.node && (one.node.outerHTML || one.node.data).slice(0, 200);
          const told = (each) => [each.value, ...each.sources.map(what)];
          const keep = (list) => list.getEntries().filter(unasked).forEach((each) => window.shifts.push(told(each)));
          new PerformanceObserver(keep).observe({ type: 'layout-shift' });
        }"""
    )
    for step in (30, 31):
        ground.at(run, step)
        expect(page.locator(".cx-prog")).to_contain_text(f"step {step} of 200")
    assert page.evaluate(at) == before
    assert page.evaluate("window.shifts") == []
    expect(box).to_be_visible()


def test_focus_stays_on_a_control_whose_part_is_new(ground: Ground, open_page: OpenPage) -> None:
    run = ground.running("Focus")
    page = _open(ground, open_page, run)
    page.locator("#rename").focus()
    runs.rename(run.id, "Focus, renamed", workspace=ground.made.workspace)
    expect(page.locator("h1")).to_contain_text("Focus, renamed")
    expect(page.locator("#rename")).to_be_focused()


def test_ticked_runs_and_search_stay_while_the_table_is_new(ground: Ground, open_page: OpenPage) -> None:
    first, second = ground.running("One of two"), ground.running("Two of two")
    page = open_page(f"{ground.app.url}/runs?q=of two")
    page.locator(f"#tick-{first.id}").check()
    page.locator(f"#tick-{second.id}").check()
    page.locator("[data-overlay] .main-svg").first.wait_for(state="attached")
    overlay = page.locator("[data-overlay]").element_handle()
    page.locator("[data-search]").focus()
    ground.at(first, 77)
    expect(page.locator("tr", has_text="One of two")).to_contain_text("77/200")
    expect(page.locator(f"#tick-{first.id}")).to_be_checked()
    expect(page.locator("[data-search]")).to_be_focused()
    expect(page.locator("[data-search]")).to_have_value("of two")
    assert overlay.evaluate("element => element.isConnected"), "the plot of the comparison is still the same one"


def test_open_menu_stays_open_while_the_run_goes_on(ground: Ground, open_page: OpenPage) -> None:
    run = ground.running("Menu")
    page = open_page(f"{ground.app.url}/run?id={run.id}", width=390)
    page.locator(".cx-topbar summary").click()
    ground.at(run, 55)
    expect(page.locator(".cx-prog")).to_contain_text("step 55 of 200")
    expect(page.get_by_role("navigation", name="Main, phone")).to_be_visible()


OPACITY = """
element => {
  let seen = 1;
  for (let each = element; each; each = each.parentElement) seen *= Number(getComputedStyle(each).opacity);
  return seen;
}
"""
ON_TOP = """
element => {
  const box = element.getBoundingClientRect();
  return document.elementFromPoint(box.x + 20, box.y + box.height / 2) === element;
}
"""


def _opacity(page: Page, selector: str) -> float:
    """How much of an element is seen, with all that it is in."""
    return page.locator(selector).first.evaluate(OPACITY)


def _says_so_readably(page: Page) -> None:
    """The message of an app that is gone is whole and readable, at each width and in both themes."""
    message = page.locator(".cx-strip .warn")
    for dark in (False, True):
        page.evaluate("dark => [document.body, document.documentElement].forEach(each => each.classList.toggle('dark', dark))", dark)
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 800})
            expect(message).to_be_visible()
            expect(message).to_have_text(re.compile(r"^The app is not reachable since ([01]\d|2[0-3]):[0-5]\d; runs go on\.$"))
            assert _opacity(page, ".cx-strip .warn") == 1
            assert page.evaluate("element => element.scrollWidth <= element.clientWidth", message.element_handle())
            assert not does_not_fit(page, width)
            assert not [one for one in violations(page, ".cx-strip") if "color-contrast" in one]
            top = message.evaluate(ON_TOP)
            assert top, "nothing lies over it"
    page.set_viewport_size({"width": 1440, "height": 900})


def test_page_of_a_killed_app_says_so_and_recovers(ground: Ground, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = GONE
    run = ground.running("Outlives the app")
    workspace = ground.made.workspace.root
    with App(workspace) as app:
        page = open_page(f"{app.url}/run?id={run.id}")
        expect(page.locator(".cx-prog")).to_contain_text("step 20 of 200")
        page.evaluate("window.same = true")
        app.kill()
        expect(page.locator("body[data-stale]")).to_be_attached()
        expect(page.locator(".cx-strip .warn")).to_contain_text("not reachable since")
        expect(page.locator(".cx-strip .warn")).to_contain_text("runs go on")
        assert _opacity(page, ".cx-prog") == pytest.approx(0.6), "the content is dimmed, once"
        _says_so_readably(page)
        ground.at(run, 150)
        with App(workspace, port=app.port):
            expect(page.locator(".cx-prog")).to_contain_text("step 150 of 200", timeout=15_000)
            expect(page.locator("body[data-stale]")).to_have_count(0)
            expect(page.locator(".cx-strip")).not_to_contain_text("not reachable")
            assert page.evaluate("window.same"), "no reload was needed"


def _answering(body: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=200, body=body)


def test_error_of_the_app_is_told_from_its_absence_and_passes(full_app: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = ("500 (Internal Server Error)",)
    page = open_page(f"{full_app.url}/run?id={full_app.ids['finished']}")
    page.locator(".cx-verdict").first.wait_for()
    page.route("**/api/live/run*", lambda route: route.fulfill(status=500, body="Internal Server Error"))
    expect(page.locator("#cx-said")).to_contain_text("The app answered with an error (500)")
    expect(page.locator("body[data-stale]")).to_have_count(0)
    expect(page.locator(".cx-verdict").first).to_be_visible()
    page.unroute("**/api/live/run*")
    expect(page.locator("#cx-said")).to_have_count(0)
    for body in ("<html>A proxy's page</html>", "", "null"):
        page.route("**/api/live/run*", _answering(body))
        expect(page.locator("#cx-said")).to_contain_text("The app answered with what is not understood (200, no JSON)")
        expect(page.locator("body[data-stale]")).to_have_count(0)
        expect(page.locator(".cx-verdict").first).to_be_visible()
        page.unroute("**/api/live/run*")
        expect(page.locator("#cx-said")).to_have_count(0)


def test_run_that_was_deleted_elsewhere_leaves_its_page(ground: Ground, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = ("400 (Bad Request)",)  # what the browser says when the plots ask for a series that is gone, before the page knows
    run = ground.made.finished("Goes")
    page = open_page(f"{ground.app.url}/run?id={run.id}")
    page.locator("#delete").wait_for()
    runs.delete(run.id, workspace=ground.made.workspace)
    expect(page.locator("#cx-said")).to_contain_text(f"{run.id}' is unknown")
    for part in ("run-head", "run-now"):
        expect(page.locator(f"[data-part={part}]")).to_be_empty()
    expect(page.locator(".cx-strip")).to_contain_text("127.0.0.1")


@pytest.mark.parametrize("width", [1440, 390])
def test_home_says_that_it_looks_until_it_has_something_to_show(full_app: App, open_page: OpenPage, width: int) -> None:
    page = open_page(f"{full_app.url}/runs", width=width)
    with Held(page, "**/api/live/home*"):
        page.goto(full_app.url)
        expect(page.locator("[data-part=home-state]")).to_have_text("Looking…")
        for part in ("home-runs", "home-machine"):
            expect(page.locator(f"[data-part={part}]")).to_contain_text("Looking…")
        assert not violations(page)
        assert not does_not_fit(page, width)
    expect(page.locator("[data-part=home-runs] table")).to_be_visible()
    expect(page.get_by_text("Looking…")).to_have_count(0)
