"""The Sessions page as a person uses it: searching and reading, a session that grows, ratings without a mouse, SQL, a data set, a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from codex.core.paths import Workspace
from codex.sessionlog import SessionLog
from tests.browser.app import App
from tests.browser.conftest import OpenPage
from tests.browser.workspaces import log_talks


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One private app over a workspace with sessions, for the tests of this file."""
    workspace = Workspace(tmp_path_factory.mktemp("sessions") / "workspace").create()
    log_talks(workspace)
    with App(workspace.root) as started:
        yield started


def _at(page: Page, seq: int) -> None:
    """The event is the one that is pointed at, and in sight."""
    row = page.locator(f"#e-{seq}")
    expect(row).to_have_class(re.compile(r"\bat\b"))
    expect(row).to_be_in_viewport()


def test_words_lead_to_the_event_and_back_leads_to_the_list(app: App, open_page: OpenPage) -> None:
    page = open_page(app.url)
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/sessions")
    page.locator("#s-agent-2").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("step 399 zeb")
    hit = page.locator(".hits a").first
    expect(hit.locator("mark")).to_have_text(["step", "399", "zebra"])
    assert page.url.endswith("/sessions?q=step+399+zeb")
    hit.press("Enter")
    _at(page, 399)
    expect(page.locator("#earlier")).to_be_visible()
    expect(hit).to_be_focused()
    address = page.url
    page.go_back()
    expect(page.locator(".tl")).to_contain_text("No session is open")
    expect(page.locator("[data-search]")).to_have_value("step 399 zeb")
    page.goto(address)
    _at(page, 399)
    page.locator("#e-401 .ts").click()
    _at(page, 401)
    assert page.url.endswith("e=401")


def test_filters_are_in_the_address(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/sessions")
    page.locator("[data-filter][name=kind]").select_option("agent")
    expect(page.locator(".list li")).to_have_count(2)
    page.locator(".cx-morefilters summary").click()
    page.locator("[data-filter][name=tool]").fill("coverage.run")
    expect(page.locator(".list li")).to_have_count(1)
    page.locator("[data-filter][name=where]").fill("events > 100")
    page.locator("[data-filter][name=where]").press("Enter")
    expect(page.locator(".list")).to_contain_text("No session fits")
    assert page.url.endswith("/sessions?kind=agent&tool=coverage.run&where=events+%3E+100")
    page.go_back()
    expect(page.locator(".list li")).to_have_count(1)
    expect(page.locator("[data-filter][name=where]")).to_have_value("")
    expect(page.locator("[data-active]")).to_have_text("(1)")


def test_session_grows_below_and_elsewhere_only_a_button_says_so(app: App, open_page: OpenPage) -> None:
    with SessionLog.open(app.workspace) as log, log.session("chat", "It grows", id="grows") as chat:
        chat.append("user", "Begin")
        page = open_page(f"{app.url}/sessions?s=grows")
        expect(page.locator("[data-head] .cx-chip")).to_have_text("Live")
        page.evaluate("window.same = document.querySelector('#e-1')")
        chat.append("assistant", "First answer")
        expect(page.locator("#e-2")).to_contain_text("First answer")
        expect(page.locator("[data-head]")).to_contain_text("3 events")
        assert page.evaluate("window.same === document.querySelector('#e-1')")
        for number in range(40):
            chat.append("user", f"Question {number}")
        expect(page.locator("#e-42")).to_be_attached()
        assert page.evaluate("scrollY") == 0
        chat.append("user", "Below")
        chat.append("user", "Far below")
        button = page.locator("[data-new]")
        expect(button).to_have_text("2 new events")
        assert page.evaluate("scrollY") == 0
        assert page.locator("#e-43").count() == 0
        button.click()
        expect(page.locator("#e-44")).to_contain_text("Far below")
        expect(page.locator("#e-43")).to_be_in_viewport()
        expect(button).to_be_hidden()
    expect(page.locator("[data-head] .cx-chip")).to_have_text("Finished")


def test_rating_note_and_better_answer_without_a_mouse(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/sessions?s=chat-1")
    page.locator("#bad-3").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#bad-3")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#good-3")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#bad-3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#bad-3")).to_have_attribute("aria-pressed", "false")
    page.locator("#note-1").press("Enter")
    page.keyboard.type("g r <i>What</i> a question")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#e-1 [data-note]")).to_have_text("g r <i>What</i> a question")
    expect(page.locator("#note-1")).to_be_focused()
    page.locator("#edit-3").press("Enter")
    expect(page.get_by_label("Better answer")).to_have_value(re.compile("^It swallows"))
    page.keyboard.press("Escape")
    expect(page.locator("#edit-3")).to_be_focused()
    page.locator("#edit-3").press("Enter")
    page.get_by_label("Better answer").fill("It swallows what is named.")
    page.get_by_role("button", name="Save answer").click()
    expect(page.locator("#e-3 .said-edit")).to_contain_text("It swallows what is named.")
    page.reload()
    expect(page.locator("#e-3 .said-edit")).to_contain_text("It swallows what is named.")
    assert SessionLog.open(app.workspace).annotations("chat-1")[1].note == "g r <i>What</i> a question"


def test_query_is_asked_sorted_drawn_and_taken_away_as_a_file(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/sessions?tab=sql&sql=select+role%2C+count(*)+as+n+from+events+group+by+role")
    editor = page.get_by_label("Query", exact=True)
    expect(editor).to_have_value("select role, count(*) as n from events group by role")
    editor.press("Control+Enter")
    table = page.get_by_role("region", name="Answer").get_by_role("table")
    expect(table.locator("tbody tr")).not_to_have_count(0)
    table.get_by_role("button", name="n", exact=True).click()
    counts = [int(text) for text in table.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert counts == sorted(counts)
    table.get_by_role("button", name="n", exact=True).click()
    assert [int(text) for text in table.locator("tbody td:nth-child(2)").all_inner_texts()] == counts[::-1]
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    page.locator("[data-chart] summary").click()
    page.wait_for_function("n => document.querySelector('[data-sqlplot]').data?.[0].x.length === n", arg=len(counts))
    with page.expect_download() as got:
        page.get_by_role("button", name="Download CSV").click()
    assert sorted(got.value.path().read_text().splitlines()[1:], key=lambda line: int(line.split(",")[1]))[0].endswith(f",{counts[0]}")
    editor.fill("select  from events")
    editor.evaluate("field => field.setSelectionRange(7, 7)")
    page.get_by_role("button", name="latency_ms").first.click()
    expect(editor).to_have_value("select latency_ms from events")
    expect(editor).to_be_focused()
    editor.fill("select count(*) from range(100000000) a, range(100000000) b")
    page.locator("#sql-run").click()
    page.locator("#sql-stop").click()
    expect(page.locator(".cx-answer")).to_contain_text("the query was cancelled")
    expect(page.locator("#sql-run")).to_be_visible()


def test_data_set_is_looked_at_and_written(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/sessions?s=chat-1")
    page.get_by_role("button", name="Make a data set").click()
    page.locator("#data-ask [name=from]").select_option("open")
    expect(page.locator("[data-preview]")).to_contain_text("1 example of 1 session")
    page.locator("[name=name]").fill("from-chats")
    page.get_by_role("button", name="Write it").click()
    expect(page.get_by_role("link", name="Train on it")).to_have_attribute("href", "/train?set=data.source%3Dfrom-chats.jsonl")
    assert (app.workspace / "datasets/from-chats.jsonl").is_file()


def test_phone_shows_the_list_then_the_session_and_back(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/sessions?kind=agent", width=390)
    expect(page.locator(".tl")).to_be_hidden()
    page.locator("#s-agent-1").click()
    expect(page.locator("#e-3")).to_be_visible()
    expect(page.locator(".list")).to_be_hidden()
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("#s-agent-1")).to_be_visible()
    expect(page.locator(".tl")).to_be_hidden()
    assert page.url.endswith("/sessions?kind=agent")
