"""The Sessions page without a browser: its parts, its routes, and how sessions and events are told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from codex.core.events import Event
from codex.services.log_state import Health
from codex.sessionlog import SessionInfo, SessionLog
from codex_ui import sessions_told
from codex_ui.api_data import data_routes
from codex_ui.api_sessions import session_routes
from codex_ui.context import AppContext
from codex_ui.page import all_pages
from tests.browser.workspaces import HOSTILE, log_talks
from tests.sessionlog.logs import flip


@pytest.fixture
def talks(context: AppContext) -> dict[str, str]:
    """Sessions by what they are."""
    return log_talks(context.workspace)


@pytest.fixture
def client(context: AppContext) -> Iterator[TestClient]:
    """The routes of the page over one workspace."""
    app = FastAPI()
    app.include_router(session_routes(context))
    app.include_router(data_routes(context))
    with TestClient(app) as made:
        yield made


def _parts(context: AppContext, query: Mapping[str, str] | None = None) -> Mapping[str, str]:
    return next(page for page in all_pages() if page.name == "sessions").live(context, query or {}).parts


def test_empty_workspace_says_what_lands_here(context: AppContext) -> None:
    parts = _parts(context)
    assert "Chats, runs and evaluations land here." in parts["sessions-list"]
    assert 'href="/chat"' in parts["sessions-list"]


def test_list_shows_what_each_session_is(context: AppContext, talks: dict[str, str]) -> None:
    html = _parts(context, {"s": talks["agent"]})["sessions-list"]
    rows = dict(re.findall(r'<a id="s-([^"]+)"(.*?)</li>', html, re.DOTALL))
    assert list(rows) == [talks[name] for name in ("long", "broken", "chat", "agent")]
    assert 'aria-current="true"' in rows[talks["agent"]]
    assert sum("aria-current" in row for row in rows.values()) == 1
    assert all(word in rows[talks["broken"]] for word in ("failed", "1 error", "300 tokens", "serving"))
    assert ">1 good<" in rows[talks["chat"]] and ">1 bad<" in rows[talks["chat"]]
    assert ">good<" in rows[talks["agent"]] and "tag-bad" not in rows[talks["agent"]]
    assert "4 sessions" in _parts(context)["sessions-head"]


def test_links_of_the_list_keep_the_filters_and_leave_out_the_place(context: AppContext, talks: dict[str, str]) -> None:
    html = _parts(context, {"kind": "agent", "role": "tool", "e": "3", "before": "end", "token": "secret"})["sessions-list"]
    assert re.findall(r'href="([^"]+)"', html) == [f"/sessions?kind=agent&amp;role=tool&amp;s={talks['agent']}"]


def test_filters_that_leave_nothing_or_are_wrong_are_told_in_the_list(context: AppContext, talks: dict[str, str]) -> None:
    assert "No session fits" in _parts(context, {"kind": "decision"})["sessions-list"]
    assert "the day `since`".replace("`since`", "<code>since</code>") in _parts(context, {"since": "soon"})["sessions-list"]
    assert "cannot be used" in _parts(context, {"where": "nothing = 1"})["sessions-list"]
    assert "Nothing was said like that" in _parts(context, {"q": "giraffe"})["sessions-list"]
    for page in ("-1", "x", "99999999999", "²"):
        assert 'id="s-' in _parts(context, {"p": page})["sessions-list"]
    assert "No more sessions" in _parts(context, {"p": "7"})["sessions-list"]


def test_hits_are_escaped_and_what_was_typed_is_marked(context: AppContext, talks: dict[str, str]) -> None:
    html = _parts(context, {"q": "alert quot"})["sessions-list"]
    assert "&lt;script&gt;<mark>alert</mark>(1)" in html
    assert "<mark>quoted</mark>" in html
    assert f"s={talks['agent']}&amp;e=2" in html
    assert "<script>" not in html


def test_text_that_runs_from_right_to_left_turns_nothing_behind_it_round(client: TestClient, context: AppContext) -> None:
    turned = "\u202ezebra"
    with SessionLog.open(context.workspace) as log, log.session("agent", turned) as session:
        session.append("tool", turned, tool=turned, attributes={"arguments": {"word": turned}})
        session.append("assistant", "Done.", model=turned)
    parts = [
        _parts(context)["sessions-list"],
        _parts(context, {"q": "zebra"})["sessions-list"],
        client.get(f"/api/sessions/{session.id}").json()["html"],
    ]
    for html in parts:
        inside = "".join(re.findall(r"<bdi[^>]*>.*?</bdi>|<pre>.*?</pre>", html, re.DOTALL))
        assert html.count("\u202e") == inside.count("\u202e") > 0


@pytest.mark.parametrize(
    ("text", "marks", "html"),
    [
        ("a <b> c", ((2, 5),), "a <mark>&lt;b&gt;</mark> c"),
        ("a & b", (), "a &amp; b"),
        ("zebra", ((0, 3), (0, 5)), "<mark>zeb</mark>ra"),
        ("one two", ((4, 7), (0, 3)), "<mark>one</mark> <mark>two</mark>"),
    ],
)
def test_marks_are_put_around_escaped_text(text: str, marks: tuple[tuple[int, int], ...], html: str) -> None:
    assert sessions_told.marked(text, marks) == html


def test_session_is_a_timeline_of_its_events(client: TestClient, talks: dict[str, str]) -> None:
    told = client.get(f"/api/sessions/{talks['agent']}").json()
    html = told["html"]
    assert told["next"] == 8
    assert re.findall(r'id="e-(\d+)" class="r-(\w+)', html) == list(
        zip("01234567", ["info", "system", "user", "tool", "tool", "warning", "assistant", "info"], strict=True)
    )
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>" not in html
    assert "<code><bdi>coverage.run</bdi></code> <bdi>path=&#34;codex/data&#34;, branch=true</bdi>" in html
    assert "+12.6 s" in html
    assert "--lat:8200.0" in html
    assert "Opened" in html
    assert "Ended: finished" in html
    assert html.count('data-say="edit"') == 1, "only an answer can be bettered"
    assert "5,250 characters" in html


def test_training_session_has_its_plot_and_its_figures(client: TestClient, context: AppContext, ids: dict[str, str]) -> None:
    name = next(info.id for info in SessionLog.open(context.workspace).sessions() if info.run_id == ids["failed"])
    html = client.get(f"/api/sessions/{name}").json()["html"]
    assert f'data-series="/api/sessions/{name}/metrics"' in html
    assert "held-out loss" in html
    told = client.get(f"/api/sessions/{name}/metrics").json()
    steps = [step for step, split in zip(told["step"], told["split"], strict=True) if split == "train"]
    assert steps == list(range(1, 38))
    assert told["done"] is True
    again = client.get(f"/api/sessions/{name}/metrics", params={"since": told["next"]}).json()
    assert (again["step"], again["next"]) == ([], told["next"])


def test_long_session_has_ways_to_its_other_stretches(client: TestClient, talks: dict[str, str]) -> None:
    def ways(**place: int | str) -> list[str]:
        html = client.get(f"/api/sessions/{talks['long']}", params={"kind": "agent", **place}).json()["html"]
        return re.findall(r'id="(earlier|beginning|later|newest)"', html)

    assert ways() == ["later", "newest"]
    assert ways(**{"from": 200}) == ["earlier", "beginning", "later", "newest"]
    assert ways(before="end") == ["earlier", "beginning"]
    assert ways(e=250) == ["earlier", "beginning", "later", "newest"]
    assert "No event here" in client.get(f"/api/sessions/{talks['long']}?e=9999").json()["html"]


def test_damage_is_said_above_list_and_sql_and_by_a_session_that_it_took(client: TestClient, context: AppContext) -> None:
    with SessionLog.open(context.workspace) as log, log.session("chat", "Lost", id="lost") as chat:
        chat.append("user", "Where is the zebra?")
    assert _parts(context)["sessions-damage"].strip() == ""
    SessionLog.open(context.workspace).compact()
    flip(next((context.workspace.log / "parts").glob("*/*")))
    context.sessions.health = Health(SessionLog.open(context.workspace))  # which looks anew
    for query in ({}, {"q": "zebra"}, {"tab": "sql"}):
        told = _parts(context, query)["sessions-damage"]
        assert "The session log is damaged" in told and "1 compacted files are damaged, the first parts/" in told
        assert "<code>codex-ml logs doctor</code>" in told
    answer = client.get("/api/sessions/lost")
    html = answer.json()["html"]
    assert answer.status_code == 200 and answer.json()["title"] == "Lost"
    assert "<bdi>Lost</bdi>" in html and "none of the 3 events of session &#39;lost&#39; can be read" in html
    assert "No event here" not in html


@pytest.mark.parametrize("place", ["from=x", "e=-1", "before=1e9", "e=²", "from=" + "9" * 30])
def test_place_that_is_none_is_told(client: TestClient, talks: dict[str, str], place: str) -> None:
    assert "expected the number of an event" in client.get(f"/api/sessions/{talks['long']}?{place}").json()["problems"][0]["text"]


def test_unknown_session_is_told_and_no_failed_request(client: TestClient) -> None:
    answer = client.get("/api/sessions/nothing-1")
    assert (answer.status_code, answer.json()["problems"][0]["what"]) == (200, "session 'nothing-1' is unknown")


def test_what_comes_to_a_session_is_counted_and_then_given_in_portions(
    client: TestClient, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_ui.api_sessions.MOST_AT_ONCE", 2)
    with SessionLog.open(context.workspace) as log, log.session("chat", "Grows", id="grows") as chat:
        position = client.get("/api/sessions/grows").json()["next"]
        assert client.get(f"/api/sessions/grows/since?position={position}").json()["new"] == 0
        for word in ("one", "two", "three"):
            chat.append("user", word)
        counted = client.get(f"/api/sessions/grows/since?position={position}&count=true").json()
        assert (counted["new"], counted["next"], counted["html"]) == (3, position, "")
        first = client.get(f"/api/sessions/grows/since?position={position}").json()
        assert re.findall(r'class="y">(\w+)<', first["html"]) == ["one", "two"]
        assert "4 events" in first["head"]
        rest = client.get(f"/api/sessions/grows/since?position={first['next']}").json()
        assert (rest["new"], re.findall(r'class="y">(\w+)<', rest["html"])) == (1, ["three"])


def test_rating_note_and_better_answer_are_kept_and_shown(client: TestClient, context: AppContext, talks: dict[str, str]) -> None:
    place = f"/api/sessions/{talks['chat']}/events/3"
    html = client.post(place, json={"rating": -1, "note": "<b>No</b>", "edit": "Better."}).json()["html"]
    assert 'id="bad-3" data-rate="-1" aria-pressed="true"' in html
    assert 'id="good-3" data-rate="1" aria-pressed="false"' in html
    assert "&lt;b&gt;No&lt;/b&gt;" in html
    assert "Better." in html
    assert client.get(place).json()["said"] == {"rating": -1, "note": "<b>No</b>", "edit": "Better."}
    html = client.post(place, json={"rating": 0, "note": "", "edit": ""}).json()["html"]
    assert 'aria-pressed="true"' not in html
    assert "said-note" not in html
    assert "said-edit" not in html
    assert SessionLog.open(context.workspace).annotations(talks["chat"])[3].rating == 0


@pytest.mark.parametrize("body", [{}, {"rating": 5}])
def test_what_says_nothing_is_refused(client: TestClient, talks: dict[str, str], body: dict[str, Any]) -> None:
    answer = client.post(f"/api/sessions/{talks['chat']}/events/3", json=body)
    assert (answer.status_code, len(answer.json()["problems"])) == (400, 1)
    assert client.post(f"/api/sessions/{talks['chat']}/events/99", json={"rating": 1}).status_code == 400


def test_data_set_is_previewed_and_written(client: TestClient, context: AppContext, talks: dict[str, str]) -> None:
    asked = {"filters": {"kind": "chat"}, "kind": "chat", "min_rating": 0}
    told = client.post("/api/data/preview", json=asked).json()
    assert told["examples"] == 1
    assert "1 example of 1 session" in told["html"]
    assert not list(context.workspace.datasets.glob("*.jsonl"))
    made = client.post("/api/data/write", json={"asked": asked, "name": "chats"}).json()
    assert made["source"] == "chats.jsonl"
    assert "/train?set=data.source%3Dchats.jsonl" in made["html"]
    assert (context.workspace.datasets / "chats.jsonl").read_text().count("\n") == 1
    again = client.post("/api/data/write", json={"asked": asked, "name": "chats"}).json()
    assert "is taken" in again["problems"][0]["what"]


def test_data_set_of_one_session_and_of_none(client: TestClient, talks: dict[str, str]) -> None:
    told = client.post("/api/data/preview", json={"filters": {"kind": "decision"}, "session": talks["chat"]}).json()
    assert told["examples"] == 1
    refused = client.post("/api/data/preview", json={"filters": {"q": "giraffe"}}).json()
    assert refused["problems"][0]["what"] == "no session fits"


NOW = datetime(2026, 11, 25, 12).astimezone().timestamp()


@pytest.mark.parametrize(
    ("ago", "told"),
    [(0, "12:00"), (12 * 3600 - 1, "00:00"), (12 * 3600 + 1, "yesterday"), (36 * 3600 + 1, "23 Nov"), (400 * 86400, "2025-10-21")],
)
def test_time_in_a_list_is_as_short_as_it_can_be(ago: float, told: str) -> None:
    assert sessions_told.when_short(NOW - ago, NOW) == told


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_time_at_the_ends_of_the_calendar_is_shown_and_does_not_end_the_page(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert sessions_told.when_short(253_402_300_799.5, NOW).startswith("9999-12-")
        assert sessions_told.when_short(-62_135_596_800, NOW).endswith(("-01-02", "-01-03"))
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "+0.0 s"), (59.94, "+59.9 s"), (59.96, "+1:00"), (372, "+6:12"), (7500, "+2:05:00"), (200_000, "+2 d"), (-1.5, "−1.5 s")],
)
def test_offset_says_how_long_after_the_beginning(seconds: float, told: str) -> None:
    assert sessions_told.offset(seconds) == told


@pytest.mark.parametrize(("value", "told"), [(None, "–"), (12.4, "12 ms"), (8200, "8.2 s"), (125_000, "2 min 5 s")])
def test_latency_has_the_unit_that_fits(value: float | None, told: str) -> None:
    assert sessions_told.latency(value) == told


@pytest.mark.parametrize(
    ("outcome", "silent", "told"),
    [
        (None, 10, ("running", "Live")),
        (None, 100, ("queued", "No end")),
        ("finished", 10, ("finished", "Finished")),
        ("failed", 10, ("failed", "Failed")),
        ("left open", 10, ("stopped", "Left open")),
    ],
)
def test_state_says_how_a_session_ended(outcome: str | None, silent: float, told: tuple[str, str]) -> None:
    info = SessionInfo("s", "chat", "", NOW - 500, NOW - silent, 2, None, outcome)
    assert sessions_told.state(info, NOW) == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"a": 1, "b": "x"}, 'a=1, b="x"'),
        ("as text", "as text"),
        ([1, 2], "[1, 2]"),
        (None, ""),
        ({"a": "x" * 300}, 'a="' + "x" * 196 + "…"),
    ],
)
def test_call_is_one_line(arguments: object, told: str) -> None:
    event = Event(session="s", seq=0, ts=0, role="tool", kind="agent", attributes={} if arguments is None else {"arguments": arguments})
    assert sessions_told.call(event) == told


def test_attributes_that_nothing_else_shows_are_folded(client: TestClient, context: AppContext) -> None:
    with SessionLog.open(context.workspace) as log, log.session("agent", id="agent-2") as agent:
        agent.append("tool", "x" * 300_000, tool="t", attributes={"arguments": {"a": 1}, "other": HOSTILE})
        agent.append("info", "step", step=3, loss=float("inf"), attributes={"split": "train", "learning_rate": 1e-3})
    html = client.get("/api/sessions/agent-2").json()["html"]
    assert html.count("<summary>Attributes</summary>") == 1
    assert "&#34;arguments&#34;" not in html
    assert len(html) < 250_000
