"""Talking: what was said is shown as it was said, and a person is free while a model is loaded. An echo answers, which loads when told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from codex.core.paths import Workspace
from tests.browser.app import App
from tests.browser.axe import does_not_fit, violations
from tests.browser.conftest import GONE, OpenPage, Seen
from tests.browser.talking import DIES, HOLD, opened
from tests.browser.workspaces import configured
from tests.made import Made

CODE = "class A:\n    def f(self):\n        if x:\n            return 'cost $$5 and $$6 <b>'"
LEFT_OR_GONE = ("AbortError", "Connection errored out", "network error", *GONE)
"""What a browser says of a page that is left, and of an app that is gone."""
INDENTED = "\n    return 1  # &lt; & \\(x\\)\n\n  \tdone  "


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app over a workspace with two runs that have adapters, whose chats are answered by an echo."""
    workspace = Workspace(tmp_path_factory.mktemp("talking") / "workspace")
    run = configured(Made(workspace).finished("Rank 16"))
    single = configured(Made(workspace).finished("Single prompts"))
    single.report.write_text(json.dumps({**json.loads(single.report.read_text()), "data": {"form": "prompt-completion"}}))
    with App(workspace.root, module="tests.browser.talking") as app:
        app.ids = {"run": run.id, "single": single.id}
        yield app


@pytest.fixture
def held(talking: App) -> Iterator[App]:
    """The same, whose models load until the file `hold` is removed; a new process loads the next one."""
    hold = talking.workspace / HOLD
    hold.touch()
    yield talking
    hold.unlink(missing_ok=True)
    (talking.workspace / DIES).unlink(missing_ok=True)


def _open(app: App, open_page: OpenPage, target: str = "", **look: Any) -> Page:
    target = target or app.ids["run"]
    page = open_page(f"{app.url}/chat?run={target}", **look)
    expect(page.locator("#chat-target input")).to_have_value(re.compile(target))
    return page


def _choose(page: Page, name: str) -> None:
    page.locator("#chat-target input").click()
    page.get_by_role("option", name=name).click()


def _heads(page: Page) -> Locator:
    """The names of the columns that are shown."""
    return page.locator(".cx-side-head h2:visible")


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


def test_choice_of_another_while_an_answer_is_made_takes_nothing_away(held: App, open_page: OpenPage) -> None:
    page = _open(held, open_page)
    _send(page, "first")
    expect(page.locator("#chat-said")).to_contain_text("is being loaded")
    with page.expect_response("**/gradio_api/queue/join*"):
        _choose(page, "Single prompts")
    expect(_said(page, "user")).to_have_text(["first", "first"])
    (held.workspace / HOLD).unlink()
    expect(_said(page, "bot")).to_have_text(["first", "first"])
    expect(page.locator(".cx-side-head .note")).to_have_text(["50 tokens/s", "50 tokens/s"])


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


def test_columns_are_those_of_whom_one_talks_to_before_anything_is_said(talking: App, open_page: OpenPage) -> None:
    page = _open(talking, open_page, "codex-tiny")
    about = page.locator("#chat-about")
    expect(_heads(page)).to_have_text(["codex-tiny"])
    expect(about).to_have_text("codex-tiny answers.")
    expect(page.get_by_text("One message to both")).to_have_count(0)
    _choose(page, "Rank 16")
    expect(_heads(page)).to_have_text(["Base", "Adapter"])
    expect(about).to_have_text("One message to both, with the same seed.")
    _choose(page, "codex-tiny")
    expect(_heads(page)).to_have_text(["codex-tiny"])


def test_model_of_single_prompts_says_that_each_message_stands_alone(talking: App, open_page: OpenPage) -> None:
    page = _open(talking, open_page, talking.ids["single"])
    alone = "Each message stands alone: this model was trained on single prompts."
    expect(page.locator("#chat-about")).to_contain_text(alone)
    _send(page, "first")
    expect(page.locator(".cx-side-head .note")).to_have_text(["50 tokens/s", "50 tokens/s"])
    expect(page.locator("#chat-about")).to_contain_text(alone)
    _choose(page, "Rank 16")
    expect(page.locator("#chat-about")).not_to_contain_text(alone)


def _link(page: Page) -> Locator:
    """Where what stood on the page before can be read."""
    return page.locator("#chat-about a[href^='/sessions?s=echo-']")


def _said_and_kept(page: Page) -> str:
    """Say something; gives the address of its session."""
    _send(page, "first")
    expect(page.locator(".cx-side-head .note")).to_have_text(["50 tokens/s", "50 tokens/s"])
    page.wait_for_function("sessionStorage.getItem('codex.chat')?.startsWith('echo-')")
    assert _link(page).count() == 0
    return "/sessions?s=" + page.evaluate("sessionStorage.getItem('codex.chat')")


def test_conversation_that_the_page_no_longer_holds_is_linked(talking: App, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = LEFT_OR_GONE
    page = _open(talking, open_page)
    kept = _said_and_kept(page)
    _choose(page, "codex-tiny")
    expect(_link(page)).to_have_attribute("href", kept)
    expect(_said(page, "user")).to_have_count(0)
    page.reload()
    expect(_link(page)).to_have_attribute("href", kept)
    assert not violations(page)
    page.get_by_role("button", name="New conversation").click()
    expect(_link(page)).to_have_count(0)
    page.reload()
    expect(page.locator("#chat-about")).to_have_text("One message to both, with the same seed.")


def test_conversation_of_an_app_that_was_restarted_is_linked(tmp_path: Path, open_page: OpenPage, seen: Seen) -> None:
    seen.allowed = LEFT_OR_GONE
    workspace = Workspace(tmp_path / "workspace")
    run = configured(Made(workspace).finished("Rank 16"))
    with App(workspace.root, module="tests.browser.talking") as app:
        app.ids = {"run": run.id}
        page = _open(app, open_page)
        kept = _said_and_kept(page)
        _field(page).fill("half a thou")
        form = open_page(f"{app.url}/train")
        form.locator("#f-seed input").fill("777")
        form.wait_for_function("location.search === '?set=seed%3D777'")
        app.kill()
        expect(form.locator("#start")).to_have_text("The app is not reachable")
    with App(workspace.root, module="tests.browser.talking", port=app.port):
        expect(form.locator("#start")).to_have_text("Start run", timeout=60_000)
        expect(form.locator("#will")).to_contain_text("seed=777")
        expect(form.locator("#f-seed input")).to_have_value("777")
        form.context.close()
        expect(page.locator("body")).not_to_have_attribute("data-stale", "")
        expect(_field(page)).to_have_value("half a thou")
        _send(page, "second")
        expect(page.locator(".cx-side-head .note").first).to_have_text("50 tokens/s")
        expect(_link(page)).to_have_attribute("href", kept)
        page.context.close()


def _bottom(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def test_phone_has_the_message_in_sight_and_one_column_at_a_time(talking: App, open_page: OpenPage) -> None:
    page = _open(talking, open_page, width=390)
    page.set_viewport_size({"width": 390, "height": 664})  # what a browser's own bars leave of a usual phone
    expect(_heads(page)).to_have_text(["Base"])
    expect(page.get_by_label("Seed")).to_be_hidden()
    _send(page, CODE)
    expect(page.locator(".cx-side-head .note").first).to_have_text("50 tokens/s")
    page.get_by_role("radio", name="Adapter").check()
    expect(_heads(page)).to_have_text(["Adapter"])
    ends = {name: _bottom(page.locator(name)) for name in (".cx-talk > :last-child .cx-chat", "#chat-send", "#chat-message")}
    bar = page.locator(".cx-msgrow").bounding_box()
    assert bar is not None and bar["height"] < 80 and max(ends.values()) <= 664
    assert ends[".cx-talk > :last-child .cx-chat"] <= bar["y"], "nothing that is said lies under the message"
    assert not does_not_fit(page, 390)
    assert not violations(page)
    page.get_by_text("Settings and a new conversation").click()
    expect(page.get_by_label("Seed")).to_be_visible()
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".cx-side-head .note")).to_have_text(["", ""])
    assert not does_not_fit(page, 390)
    assert not violations(page)
    _choose(page, "codex-tiny")
    expect(_heads(page)).to_have_text(["codex-tiny"])
    expect(page.get_by_role("radio", name="Adapter")).to_have_count(0)
