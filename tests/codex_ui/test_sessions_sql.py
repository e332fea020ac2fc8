"""The SQL tab without a browser: what stands beside the editor, its routes, and that the app answers meanwhile."""

from __future__ import annotations

import csv
import io
import threading
import time
from collections.abc import Iterator

import pyarrow.parquet as parquet
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from codex.core.errors import UserError
from codex.services import queries
from codex_ui import api_sql
from codex_ui.api import api_routes
from codex_ui.api_sql import Desk, file_name, sql_routes
from codex_ui.context import AppContext
from codex_ui.page import all_pages
from tests.browser.workspaces import log_talks

ENDLESS = "select count(*) from range(100000000) a, range(100000000) b"


@pytest.fixture
def client(context: AppContext) -> Iterator[TestClient]:
    """The routes over a workspace with some sessions."""
    log_talks(context.workspace)
    app = FastAPI()
    app.include_router(sql_routes(context))
    app.include_router(api_routes(context))
    with TestClient(app) as made:
        yield made


def test_tab_offers_examples_own_queries_and_columns(context: AppContext) -> None:
    queries.save(queries.Query("mine", "Mine & <yours>", "select 1"), workspace=context.workspace)
    parts = next(page for page in all_pages() if page.name == "sessions").live(context, {"tab": "sql"}).parts
    assert set(parts) == {"sessions-head", "sessions-damage", "sql-queries", "sql-schema"}
    assert "Mine &amp; &lt;yours&gt;" in parts["sql-queries"]
    assert all(f'id="ex-{each.name}"' in parts["sql-queries"] for each in queries.examples())
    assert all(f'data-insert="{name}"' in parts["sql-schema"] for view in queries.DESCRIPTIONS.values() for name in view)


def test_answer_comes_with_its_columns_and_values_that_a_browser_can_read(client: TestClient) -> None:
    query = "select 9007199254740993 as wide, 'nan'::double as none, null as nothing, '<b>' as text, true as yes, 7 as n"
    told = client.post("/api/sql/run", json={"query": query, "name": "a"}).json()
    assert [(each["name"], each["numeric"]) for each in told["columns"]][:2] == [("wide", True), ("none", True)]
    assert told["rows"] == [["9007199254740993", "NaN", None, "<b>", True, 7]]
    assert (told["truncated"], told["seconds"] < 5) == (False, True)


def test_answer_is_cut_at_a_thousand_rows_and_the_file_is_whole(client: TestClient) -> None:
    query = "select range as n, 'x' as text from range(1500)"
    told = client.post("/api/sql/run", json={"query": query, "name": "a"}).json()
    assert (len(told["rows"]), told["truncated"]) == (1000, True)
    answer = client.post("/api/sql/download", json={"query": query, "format": "csv"})
    assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 1500
    assert "answer.csv" in answer.headers["content-disposition"]
    answer = client.post("/api/sql/download", json={"query": query, "format": "parquet"})
    assert parquet.read_table(io.BytesIO(answer.content)).column("n").to_pylist() == list(range(1500))


def test_mistake_is_told_and_no_failed_request(client: TestClient) -> None:
    answer = client.post("/api/sql/run", json={"query": "select nothing from events", "name": "a"})
    assert answer.status_code == 200
    assert "cannot be answered" in answer.json()["problems"][0]["what"]
    assert client.post("/api/sql/download", json={"query": "drop view events", "format": "csv"}).status_code == 400


def test_query_is_stopped_and_the_app_answers_meanwhile(client: TestClient) -> None:
    told: dict[str, object] = {}

    def run() -> None:
        told.update(client.post("/api/sql/run", json={"query": ENDLESS, "name": "endless"}).json())

    asking = threading.Thread(target=run)
    asking.start()
    deadline = time.monotonic() + 30
    while (
        asking.is_alive() and not client.post("/api/sql/stop", json={"name": "endless"}).json()["stopped"] and time.monotonic() < deadline
    ):
        assert client.get("/api/health").status_code == 200
        time.sleep(0.02)
    asking.join(30)
    assert "was cancelled" in str(told["problems"])
    assert client.post("/api/sql/stop", json={"name": "endless"}).json() == {"stopped": False}


def test_desk_has_room_for_two_and_tells_the_third(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_sql, "WAIT_SECONDS", 0.01)
    desk = Desk()
    with desk.place("a") as first, desk.place("b"):
        with pytest.raises(UserError, match="2 other queries run"), desk.place("c"):
            pass
        assert desk.stop("a")
        assert first.is_set()
    with desk.place("c") as third:
        assert not third.is_set()
    assert not desk.stop("c")


def test_query_is_saved_replaced_and_deleted(client: TestClient, context: AppContext) -> None:
    body = {"title": "Slow tools, 2026", "query": "select 1"}
    assert client.post("/api/sql/queries", json=body).json()["name"] == "slow_tools_2026"
    assert client.post("/api/sql/queries", json=body).status_code == 400
    assert client.post("/api/sql/queries", json={**body, "query": "select 2", "overwrite": True}).status_code == 200
    assert ("Slow tools, 2026", "select 2") in [(each.title, each.sql) for each in queries.saved(context.workspace)]
    assert client.post("/api/sql/queries/slow_tools_2026/delete").status_code == 200
    assert client.post("/api/sql/queries/slow_tools_2026/delete").status_code == 400
    assert [each.name for each in queries.saved(context.workspace)] == ["events"]


@pytest.mark.parametrize(("title", "name"), [("Träge Werkzeuge", "trage_werkzeuge"), ("../../x", "x"), ("a" * 99, "a" * 64)])
def test_title_becomes_a_file_name(title: str, name: str) -> None:
    assert file_name(title) == name


def test_title_of_no_letters_is_told() -> None:
    with pytest.raises(UserError, match="cannot be a query's"):
        file_name("???")
