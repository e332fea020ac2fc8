"""Without a mouse: the skip link, the whole path from Home to Start with the focus always seen, shortcut keys; theme and a phone's menu."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from codex_ui.page import all_pages
from tests.browser.app import App
from tests.browser.conftest import OpenPage, Seen

FOCUSED = """
() => {
  const seen = (style) => (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== 'none';
  const at = document.activeElement;
  const box = at.getBoundingClientRect();
  // A control that is drawn by its label or its frame shows the ring there.
  const drawn = [at, at.closest('label'), at.closest('.wrap'), at.closest('.input-container')].filter(Boolean);
  return {
    id: at.closest('[id]')?.id ?? '',
    text: (at.getAttribute('aria-label') || at.innerText || at.value || '').trim().slice(0, 40),
    ring: drawn.some((each) => seen(getComputedStyle(each))),
    inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth && box.width > 0,
    at: `${at.tagName.toLowerCase()}.${at.className}#${at.id}`,
  };
}
"""
MOST_TABS = 80


def _tab(page: Page) -> dict[str, object]:
    """Press Tab; the focus must be seen, wherever it goes."""
    page.keyboard.press("Tab")
    told: dict[str, object] = page.evaluate(FOCUSED)
    assert told["ring"], f"no ring: {told}"
    assert told["inside"], f"out of sight: {told}"
    return told


def _tab_to(page: Page, name: str) -> int:
    """Press Tab until the focus is on what has this id or text; gives how often."""
    for pressed in range(1, MOST_TABS + 1):
        told = _tab(page)
        if name in (told["id"], told["text"]):
            return pressed
    raise AssertionError(f"{name} was not reached by {MOST_TABS} times Tab")


def test_from_home_to_start_without_a_mouse(empty_app: App, open_page: OpenPage) -> None:
    page = open_page(empty_app.url)
    page.locator(".cx-empty").wait_for()
    assert _tab(page)["text"] == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    assert _tab_to(page, "New run") == 1, "the skip link leads past the navigation"
    page.keyboard.press("Enter")
    page.wait_for_url("**/train")
    expect(page.locator(".cx-will .cx-code").first).to_contain_text("codex-ml train")
    expect(page.locator("#start")).to_be_enabled()
    _tab_to(page, "f-seed")
    page.keyboard.press("Control+A")
    page.keyboard.type("7")
    expect(page.locator(".cx-will .cx-code").first).to_contain_text("seed=7")
    expect(page.locator(".cx-will .ln.ch")).to_contain_text("seed: 7")
    page.locator("#f-recipe input").focus()
    _tab(page)  # the focus passes the recipe, which is not changed: what was typed stays
    expect(page.locator(".cx-facts dl")).to_be_visible(timeout=120_000)
    expect(page.locator("#f-seed input")).to_have_value("7")
    expect(page.locator("#start")).to_be_enabled()
    _tab_to(page, "start")
    assert page.evaluate("document.activeElement.innerText.trim()") == "Start run"
    expect(page.locator("#start")).to_be_focused()


def test_every_control_of_a_run_shows_its_focus(full_app: App, open_page: OpenPage) -> None:
    page = open_page(f"{full_app.url}/run?id={full_app.ids['failed']}", dark=True)
    page.locator("#resume").wait_for()
    names = []
    while not names or (names[-1] != "Checkpoints" and len(names) < MOST_TABS):
        names.append(str(_tab(page)["text"]))
        if names[-1] == "Plots":
            page.keyboard.press("ArrowRight")  # in a row of tabs, arrows go from one to the next
            break
    assert {"Rename", "Delete", "Edit and run again", "Resume from step 30", "Copy last lines", "Plots"} <= set(names)


def test_confirm_box_takes_the_focus_and_gives_it_back(full_app: App, open_page: OpenPage) -> None:
    page = open_page(f"{full_app.url}/run?id={full_app.ids['stopped']}")
    page.locator("#delete").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#confirm-delete")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('#confirm-delete') !== null")
    page.locator("#confirm-delete [data-dismiss]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#confirm-delete")).to_be_hidden()
    expect(page.locator("#delete")).to_be_focused()


def test_slash_searches_and_g_goes_to_a_page_but_never_while_typing(full_app: App, open_page: OpenPage) -> None:
    page = open_page(full_app.url)
    page.locator("[data-part=home-runs] table").wait_for()
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runs")
    page.locator("table").wait_for()
    page.keyboard.press("/")
    search = page.locator("[data-search]")
    expect(search).to_be_focused()
    page.keyboard.type("gr/gh")
    expect(search).to_have_value("gr/gh")
    assert page.url.endswith("/runs?q=gr%2Fgh")


def test_phone_menu_reaches_every_page(full_app: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = ("signal is aborted", "Connection errored out")  # what Gradio says of a page that is left before its form was filled
    page = open_page(full_app.url, width=390)
    shown = [each for each in all_pages() if each.icon]
    assert len(shown) == 5
    for each in shown:
        assert page.locator(".cx-rail").is_hidden()
        page.locator(".cx-topbar summary").click()
        menu = page.get_by_role("navigation", name="Main, phone")
        menu.get_by_role("link", name=each.title).click()
        page.wait_for_url(f"**{each.path}")
        expect(page.locator(".cx-topbar summary")).to_have_text(each.title)
        expect(page.locator("h1")).to_be_visible()
        assert menu.is_hidden()


def test_theme_is_followed_by_plots_and_survives_a_reload(full_app: App, open_page: OpenPage) -> None:
    page = open_page(f"{full_app.url}/run?id={full_app.ids['finished']}")
    tick = page.locator("[data-plot=loss] .xtick text").first
    tick.wait_for(state="attached")
    colour = "element => getComputedStyle(element).fill"
    light = tick.evaluate(colour)
    page.locator(".cx-rail [data-act=theme]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.body.classList.contains('dark')")
    page.wait_for_function("light => getComputedStyle(document.querySelector('[data-plot=loss] .xtick text')).fill !== light", arg=light)
    assert (light, tick.evaluate(colour)) == ("rgb(100, 105, 112)", "rgb(144, 150, 160)")
    page.reload()
    tick.wait_for(state="attached")
    assert page.evaluate("document.body.classList.contains('dark')")
