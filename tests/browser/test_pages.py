"""Every page in every state, light and dark, at three widths: axe finds nothing, nothing is cut, the console is silent.

And no rule of the style is dead: each selector, Gradio's class names among them, matches something on some page.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect

from codex.core.paths import Workspace
from codex_ui.page import all_pages
from codex_ui.pages.run import TABS
from tests.browser.app import App
from tests.browser.axe import does_not_fit, violations
from tests.browser.conftest import PATIENCE_MS, OpenPage, Seen
from tests.browser.style import rules, selectors, sheets
from tests.made import Made

SIZES = ((1440, 900), (1024, 768), (390, 844))
CONTRAST_AT = {1440}
"""Contrast takes ten times as long as all other rules; `test_colours_that_begin_on_a_phone_are_few` names what a phone adds."""
TOKEN = "a-token-for-tests"
TRANSIENT = {
    ".toast-": "Gradio's own message, shown when a handler of ours raises: none does",
    ".message": "a conversation; test_conversation_is_accessible_and_styled has one",
    ".icon-button-wrapper": "likewise",
    ".panel-full-width": "likewise",
    "[data-stale]": "the app is gone; test_live.py kills one",
    ".cx-strip .warn": "likewise, and a machine whose memory or disk is nearly full",
    ".cx-login .ways": "an unknown address; test_missing.py asks for one",
    ".tag-live": "a session that grows; test_sessions.py has one",
    "[aria-busy": "a session that is being fetched",
    "sessions-damage": "a damaged log, in the box that every mistake has; tests/codex_ui/test_sessions.py has one",
}
"""Parts of selectors that no page here shows, and why."""
STRUCTURE_AT = (1440, 390)
"""Where axe looks at all but colours; between the two only the rail is narrower."""
EVERYWHERE = "LOOK_EVERYWHERE" in os.environ
"""Look at everything in every size and theme, without what the tests below conclude from the style; some 15 minutes, before a release."""
TURN = "dark => [document.body, document.documentElement].forEach(each => each.classList.toggle('dark', dark))"
Show = Callable[[Page], None]


@dataclass(frozen=True)
class View:
    """One state of a page.

    Args:
        name: of the state.
        ready: a selector of what the state shows.
        show: what a person does to get there.
        within: the part that is new, where the rest was looked at in the view before.
        phone: whether it holds what only a phone shows, so that contrast is measured there too.
    """

    name: str
    ready: str
    show: Show = lambda page: None
    within: str = ""
    phone: bool = False


@dataclass(frozen=True)
class Place:
    """An address and the states that can be seen there."""

    app: str
    path: str
    views: tuple[View, ...]


def _tab(name: str) -> View:
    part = f"[data-part=run-{name.lower()}]"
    return View(f"tab {name}", f"{part} > *", lambda page: page.get_by_role("tab", name=name).click(), within=".tabitem")


def _click(selector: str) -> Show:
    return lambda page: page.locator(selector).click()


def _menu(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".cx-topbar summary").click()


def _toast(page: Page) -> None:
    page.evaluate("window.codex.toast('r-0001 is now called Rank 16.')")


def _chat_mistake(page: Page) -> None:
    page.get_by_label("Answer tokens").fill("many")
    page.locator("#chat-message textarea").fill("def add(a, b): return a + b")
    page.locator("#chat-send").click()


def _note(page: Page) -> None:
    page.locator("#e-1").hover()
    page.locator("#note-1").click()


def _answer(page: Page) -> None:
    page.locator("#ex-events_per_day").click()
    for _ in range(2):
        page.locator("[data-sort='0']").click()
    page.locator("[data-chart] summary").click()


def _mistake(page: Page) -> None:
    page.locator("#sql-text").fill("select nothing from events")
    page.locator("#sql-text").press("Control+Enter")


TABS_OF_A_RUN = tuple(_tab(name) for name in TABS)
PLOT = "[data-plot=loss] .main-svg"
PLACES = (
    Place("full", "/train", (
        View("simple", ".cx-will .cx-code", phone=True),
        View("advanced", ".cx-adv", lambda page: page.get_by_label("Advanced").check()),
        View("save opened", "#save-recipe", _click(".cx-save > button"), within=".cx-side"),
    )),
    Place("full", "/train?set=method.rank=900&set=training.steps=abc&set=data.source=none.jsonl", (View("error", ".cx-field-error"),)),
    Place("full", "/train?set=method.rank=64", (View("changed", ".ln.ch", phone=True),)),
    Place("full", "/train?from=r-0099", (View("unknown run", "#train-said .cx-err"),)),
    Place("full", "/", (
        View("full", PLOT),
        View("toast", ".cx-toasts p", _toast, ".cx-toasts"),
        View("menu", ".cx-topbar details[open] nav", _menu, phone=True),
    )),
    Place("full", "/runs", (
        View("full", ".cx-t tbody tr"),
        View("none fits", ".cx-empty", lambda page: page.locator("[data-search]").fill("zzz")),
    )),
    Place("full", "/runs?compare={finished},{other},{failed}", (View("compared", "[data-overlay] .main-svg"),)),
    Place("full", "/runs?compare={finished}", (View("one ticked", ".cx-compare"),)),
    Place("full", "/run?id={running}", (
        View("running", PLOT), *TABS_OF_A_RUN,
        View("stop asked", "#confirm-stop", _click("#stop"), "[data-part=run-head]"),
    )),
    Place("full", "/run?id={finished}", (
        View("finished", PLOT), *TABS_OF_A_RUN,
        View("rename asked", "#confirm-rename", _click("#rename"), "[data-part=run-head]"),
        View("delete asked", "#confirm-delete", _click("#delete"), "[data-part=run-head]"),
    )),
    Place("full", "/run?id={failed}", (View("failed", PLOT), *TABS_OF_A_RUN)),
    Place("full", "/run?id={stopped}", (View("stopped", PLOT), *TABS_OF_A_RUN)),
    Place("full", "/run?id={damaged}", (View("damaged", ".cx-err"), *TABS_OF_A_RUN)),
    Place("full", "/run?id=r-0099", (View("unknown", "#cx-said"),)),
    Place("full", "/chat?run={finished}", (View("full", "#chat-target", phone=True), View("error", "#chat-said .cx-err", _chat_mistake))),
    Place("full", "/sessions", (
        View("list", ".list li"),
        View("data set asked", ".cx-preview details", _click("#make-data"), "#data-ask"),
    )),
    Place("full", "/sessions?s=chat-1&e=2", (
        View("session", ".cx-tl .at", phone=True),
        View("note asked", ".cx-say", _note, ".cx-tl"),
    )),
    Place("full", "/sessions?s=agent-1", (View("tool call", "#t-3 pre", _click("#t-3 summary"), "[data-session]"),)),
    Place("full", "/sessions?s=serving-1", (View("error event", ".r-error"),)),
    Place("full", "/sessions?kind=training", (View("training", PLOT, _click(".list li:first-child a"), "[data-session]"),)),
    Place("full", "/sessions?q=zebra&s=agent-2&from=200", (View("hits", ".hits mark"),)),
    Place("full", "/sessions?where=nothing", (View("wrong condition", ".list .cx-err"),)),
    Place("full", "/sessions?s=nothing-1", (View("unknown session", ".tl .cx-err"),)),
    Place("full", "/sessions?tab=sql", (
        View("editor", ".cx-view"),
        View("answer", "[data-sqlplot] .main-svg", _answer, ".cx-sql"),
        View("save asked", "#sql-keep", _click("#sql-save"), ".cx-editor"),
        View("mistake", ".cx-answer .cx-err", _mistake, ".cx-answer"),
    )),
    Place("empty", "/sessions", (View("empty", ".cx-empty .cx-btn"),)),
    Place("empty", "/", (View("empty", ".cx-empty"),)),
    Place("empty", "/runs", (View("empty", ".cx-empty"),)),
    Place("empty", "/run", (View("no run", "#cx-said"),)),
    Place("empty", "/chat", (View("empty", "#chat-target"),)),
    Place("empty", "/train", (View("model and data", ".cx-facts dl"),)),
    Place("token", "/login", (View("login", "#token"),)),
    Place("token", "/login?wrong=1", (View("wrong token", "#wrong"),)),
    Place("token", f"/runs?token={TOKEN}", (View("many", ".cx-more"),)),
    Place("token", "/run?id=Worse", (View("worse", ".v-worse"),)),
    Place("token", "/run?id=last", (View("no difference", ".v-no-difference-shown"),)),
    Place("token", "/run?id=r-0001", (View("queued", ".st-queued"),)),
)  # fmt: skip
VIEWS = [view for place in PLACES for view in place.views]


def _sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


@dataclass
class Looked:
    """What was found while every page was looked at."""

    checked: set[tuple[str, str, int, bool]] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    axe_runs: int = 0
    wide: list[str] = field(default_factory=list)
    unmatched: set[str] = field(default_factory=selectors)
    seen: Seen = field(default_factory=Seen)

    def at(self, page: Page, place: Place, view: View) -> None:
        """Look at one state in every size, and in both themes where colours are measured."""
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            coloured = width in CONTRAST_AT or (view.phone and width == 390)
            for dark in (False, True) if coloured or EVERYWHERE else (False,):
                page.evaluate(TURN, dark)
                where = f"{place.path}, {view.name}, {width} px, {'dark' if dark else 'light'}"
                self.wide += [f"{where}: {each}" for each in does_not_fit(page, width)]
                if coloured or width in STRUCTURE_AT or EVERYWHERE:
                    self.violations += [f"{where}: {each}" for each in violations(page, view.within, contrast=coloured or EVERYWHERE)]
                    self.axe_runs += 1
                self.checked.add((place.path, view.name, width, dark))
        ask = "all => all.filter(one => document.querySelector(one) === null)"
        self.unmatched = set(page.evaluate(ask, sorted(self.unmatched)))


def _many_runs(workspace: Workspace, queued: int = 51) -> None:
    """Fill a workspace with more runs than a table shows, and the verdicts that the full one lacks."""
    made = Made(workspace)
    for number in range(queued):
        made.run(f"In line {number + 1}", state="queued", total=200)
    said = {"Worse": "Worse: answer loss 4.90 → 5.31.", "No difference shown": "No difference shown: +0.4 [−1.1, 1.9] pt."}
    for word, sentence in said.items():
        run = made.finished(word)
        report = json.loads(run.report.read_text())
        report["verdict"] |= {"word": word, "sentence": sentence}
        run.report.write_text(json.dumps(report))


@pytest.fixture(scope="module")
def token_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app that asks for a token, over more runs than a table shows."""
    workspace = Workspace(tmp_path_factory.mktemp("token") / "workspace")
    _many_runs(workspace)
    with App(workspace.root, "--token", TOKEN) as app:
        yield app


@pytest.fixture(scope="module")
def looked(browser: Browser, full_app: App, empty_app: App, token_app: App) -> Iterator[Looked]:
    """All pages, opened once each; theme and width change live."""
    apps = {"full": full_app, "empty": empty_app, "token": token_app}
    found = Looked()
    context = browser.new_context(reduced_motion="reduce")
    for place in PLACES:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        found.seen.watch(page)
        page.goto(apps[place.app].url + place.path.format(**apps["full"].ids))
        for view in place.views:
            page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
            view.show(page)
            page.locator(view.ready).first.wait_for(state="attached" if view.ready == PLOT else "visible")
            found.at(page, place, view)
        page.close()
    yield found
    context.close()


def test_every_page_and_state_is_looked_at(looked: Looked) -> None:
    assert len(VIEWS) == 70
    dark = len(VIEWS) * len(SIZES) if EVERYWHERE else len(VIEWS) + sum(view.phone for view in VIEWS)
    assert len(looked.checked) == len(VIEWS) * len(SIZES) + dark
    assert looked.axe_runs == (len(looked.checked) if EVERYWHERE else 2 * len(VIEWS) + dark)
    paths = {place.path.partition("?")[0] for place in PLACES}
    assert paths == {page.path for page in all_pages()} | {"/login"}


def test_axe_finds_nothing_on_any_page(looked: Looked) -> None:
    assert not looked.violations


def test_nothing_is_wider_than_the_window(looked: Looked) -> None:
    assert not looked.wide


def test_console_stays_silent_and_no_request_leaves_the_machine(looked: Looked) -> None:
    assert not looked.seen.errors
    assert looked.seen.hosts == {"127.0.0.1"}


def test_every_selector_of_the_style_matches_something(looked: Looked) -> None:
    """Gradio's own class names among them: an update that renames one is noticed here."""
    assert sorted(one for one in looked.unmatched if not any(part in one for part in TRANSIENT)) == []
    unused = [part for part in TRANSIENT if not any(part in one for one in looked.unmatched)]
    assert not unused, "these are not transient any more"


def test_colours_that_begin_on_a_phone_are_few() -> None:
    """So contrast on a phone is that of a wide window, but for the views marked `phone`; at 1024 nothing is coloured anew."""
    found = {
        (media, head.partition(" ")[0])
        for css in sheets().values()
        for media, head, body in rules(css)
        if "max-width" in media and re.search(r"(?<![\w-])(?:color|background|opacity)\b", body)
    }
    assert found == {("@media (max-width: 760px)", each) for each in (".cx-topbar", ".gradio-container", ".cx-fold")}


def test_theme_changes_nothing_but_colours() -> None:
    """So what fits in light fits in the dark, and axe's other rules hold there too."""
    dark = [(head, body) for css in sheets().values() for _, head, body in rules(css) if ".dark" in head]
    assert [head for head, _ in dark] == [".dark"]
    assert all(line.strip().startswith("--cx-") for line in dark[0][1].split(";\n") if line.strip())


def test_files_of_the_style_stay_small() -> None:
    lengths = {name: css.count("\n") for name, css in sheets().items()}
    assert max(lengths.values()) <= 300, lengths


def test_conversation_is_accessible_and_styled(empty_app: App, open_page: OpenPage) -> None:
    page = open_page(f"{empty_app.url}/chat")
    page.get_by_label("Answer tokens").fill("4")
    page.locator("#chat-message textarea").fill("def add(a, b): return a + b")
    page.locator("#chat-send").click()
    expect(page.locator(".cx-side-head .note").first).to_contain_text("tokens/s", timeout=120_000)
    chat = {one for one in selectors() if any(part in one for part in (".message", ".icon-button-wrapper", ".panel-full-width"))}
    assert not [one for one in chat if page.locator(one).count() == 0]
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert not does_not_fit(page, width)
        assert not violations(page)


def test_signing_in_leads_to_the_page_that_was_asked_for(token_app: App, open_page: OpenPage, seen: Seen, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    seen.watch(page)
    page.goto(f"{token_app.url}/runs")
    _sign_in(page, TOKEN)
    page.wait_for_url("**/runs")
    expect(page.locator("h1")).to_have_text("Runs")
    context.close()
