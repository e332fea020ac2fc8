"""Talking: what was said is shown as it was said, and a person is free while a model is loaded. An echo answers, which loads when told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from codex.core.paths import Workspace
from tests.browser.app import App
from tests.browser.conftest import OpenPage
from tests.browser.talking import DIES, HOLD, opened
from tests.browser.workspaces import configured
from tests.made import Made

CODE = "class A:\n    def f(self):\n        if x:\n            return 'cost $$5 and $$6 <b>'"
INDENTED = "\n    return 1  # &lt; & \\(x\\)\n\n  \tdone  "


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app over a workspace with one run that has an adapter, whose chats are answered by an echo."""
    workspace = Workspace(tmp_path_factory.mktemp("talking") / "workspace")
    run = configured(Made(workspace).finished("Rank 16"))
    with App(workspace.root, module="tests.browser.talking") as app:
        app.ids = {"run": run.id}
        yield app


@pytest.fixture
def held(talking: App) -> Iterator[App]:
    """The same, whose models load until the file `hold` is removed; a new process loads the next one."""
    hold = talking.workspace / HOLD
    hold.touch()
    yield talking
    hold.unlink(missing_ok=True)
    (talking.workspace / DIES).unlink(missing_ok=True)


def _open(app: App, open_page: OpenPage, target: str = "") -> Page:
    page = open_page(f"{app.url}/chat?run={target or app.ids['run']}")
    expect(page.locator("#chat-target input")).to_have_value(re.compile("codex-tiny" if target else "Rank 16"))
    return page


def _field(page: Page) -> Locator:
    return page.locator("#chat-message textarea")


def _send(page: Page, text: str) -> None:
    _field(page).fill(text)
    page.locator("#chat-send").click()


def _said(page: Page, who: str) -> Locator:
    """What `who` said, user or bot, as the innermost elements that hold it."""
    return page.locator(f".cx-chat [data-testid={who}] span.chatbot")


@pytest.mark.parametrize("text", [CODE, INDENTED])
def test_what_is_said_is_shown_as_it_was_said(talking: App, open_page: OpenPage, text: str) -> None:
    page = _open(talking, open_page)
    _send(page, text)
    expect(page.locator(".cx-side-head .note")).to_have_text(["50 tokens/s", "50 tokens/s"])
    for who, name in (("user", "You"), ("bot", "Answer")):
        assert _said(page, who).all_text_contents() == [text, text]
        for each in _said(page, who).all():
            assert each.evaluate("each => getComputedStyle(each).whiteSpace") == "pre-wrap"
            assert "Mono" in each.evaluate("each => getComputedStyle(each).fontFamily")
        assert {each.get_attribute("aria-label") for each in page.locator(f".cx-chat [data-testid={who}]").all()} == {name}
    assert page.locator(".cx-chat .katex").count() == 0
    indents = page.evaluate(
        """() => [...document.querySelectorAll('.cx-chat [data-testid] span.chatbot')].map((each) => {
          const text = document.createTreeWalker(each, NodeFilter.SHOW_TEXT).nextNode();
          const place = (word) => { const r = document.createRange(); const at = text.data.indexOf(word);
            r.setStart(text, at); r.setEnd(text, at + 1); return r.getBoundingClientRect().left; };
          return text.data.startsWith('class') ? place('def') - place('class') : 99;
        })"""
    )
    assert all(indent > 20 for indent in indents), "indentation is seen"


def test_message_is_shown_at_once_and_what_is_typed_while_the_model_loads_stays(held: App, open_page: OpenPage) -> None:
    page = _open(held, open_page)
    _send(page, CODE)
    expect(page.locator("#chat-said")).to_contain_text(f"{held.ids['run']} is being loaded")
    expect(_said(page, "user")).to_have_count(2)
    expect(page.get_by_text("Nothing said yet.")).to_have_count(0)
    expect(_field(page)).to_have_value("")
    _field(page).press_sequentially("and then this")
    (held.workspace / HOLD).unlink()
    expect(_said(page, "bot")).to_have_count(2)
    expect(page.locator(".cx-side-head .note")).to_have_text(["50 tokens/s", "50 tokens/s"])
    expect(_field(page)).to_have_value("and then this")
    expect(page.locator("#chat-said")).to_have_text("")
    _field(page).press("Enter")
    expect(_said(page, "bot")).to_have_count(4)
    expect(_field(page)).to_have_value("")


def test_what_is_typed_between_enter_and_the_first_word_back_stays(talking: App, open_page: OpenPage) -> None:
    page = _open(talking, open_page)
    _field(page).press_sequentially("first")
    _field(page).press("Enter")
    expect(_said(page, "user").first).to_have_text("first")  # it is on its way; the first word is not back
    _field(page).press_sequentially(" second", delay=0)
    expect(page.locator(".cx-side-head .note").first).to_have_text("50 tokens/s")
    expect(_said(page, "user").first).to_have_text("first")
    expect(_field(page)).to_have_value(" second")


def test_stop_while_the_model_loads_ends_the_waiting_and_gives_the_message_back(held: App, open_page: OpenPage) -> None:
    page = _open(held, open_page)
    before = opened(held.workspace)
    _send(page, CODE)
    stop = page.locator("#chat-stop")
    began = time.monotonic()
    stop.click()
    expect(page.locator("#chat-send")).to_be_enabled()
    assert time.monotonic() - began < 3, "the model still loads"
    expect(stop).to_have_count(0)
    expect(page.locator("#chat-said")).to_contain_text(f"Stopped. {held.ids['run']} goes on being loaded")
    expect(_field(page)).to_have_value(CODE)
    (held.workspace / HOLD).unlink()
    page.locator("#chat-send").click()
    expect(_said(page, "bot")).to_have_text([CODE, CODE])
    assert opened(held.workspace)[len(before) :] == [held.ids["run"]], "the one that was not waited for was not begun"


def test_stop_leaves_what_was_typed_meanwhile(held: App, open_page: OpenPage) -> None:
    page = _open(held, open_page)
    _send(page, CODE)
    expect(_field(page)).to_have_value("")
    _field(page).press_sequentially("another")
    page.locator("#chat-stop").click()
    expect(page.locator("#chat-send")).to_be_enabled()
    expect(_field(page)).to_have_value("another")
    expect(_said(page, "user").first).to_have_text(CODE)


def test_model_that_dies_while_it_loads_gives_the_message_back(held: App, open_page: OpenPage) -> None:
    page = _open(held, open_page)
    (held.workspace / DIES).touch()
    page.get_by_role("radio", name="CPU").check()
    _send(page, CODE)
    (held.workspace / HOLD).unlink()
    expect(page.locator("#chat-said")).to_contain_text("ended while 'r-0001' was loaded (exit code 3)")
    expect(_field(page)).to_have_value(CODE)
    expect(page.locator("#chat-send")).to_be_enabled()


@pytest.mark.parametrize(
    ("label", "typed", "words"),
    [
        ("Seed", "-1", "Seed is -1; expected a whole number, 0 to 2,147,483,647."),
        ("Seed", "", "Seed is empty; expected a whole number, 0 to 2,147,483,647."),
        ("Temperature", "nan", "Temperature is nan; expected a number, 0 to 5."),
        ("Answer tokens", "9999", "Answer tokens is 9999; expected a whole number, 1 to 2,048."),
    ],
)
def test_setting_that_is_out_of_bounds_is_said_in_words(talking: App, open_page: OpenPage, label: str, typed: str, words: str) -> None:
    page = _open(talking, open_page)
    page.get_by_label(label).fill(typed)
    _send(page, "text")
    expect(page.locator("#chat-said")).to_contain_text(words)
    expect(_field(page)).to_have_value("text")
