"""An address that is none: a page for who looks, the plain answer for who asks."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from codex_ui.missing import LONGEST_SHOWN, Missing


@pytest.fixture
def client() -> TestClient:
    app = FastAPI(openapi_url=None)
    app.add_middleware(Missing)
    app.get("/there")(lambda: {"there": True})
    return TestClient(app)


def test_page_that_is_none_is_said_with_ways_on_and_as_text(client: TestClient) -> None:
    answer = client.get("/<script>nonsense", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="/"' in answer.text and 'href="/runs"' in answer.text
    assert "/&lt;script&gt;nonsense" in answer.text
    long = client.get(f"/{'x' * 5000}", headers={"accept": "text/html"})
    assert "x" * (LONGEST_SHOWN - 1) + "…" in long.text


def test_programs_and_what_is_there_are_left_alone(client: TestClient) -> None:
    html = {"accept": "text/html"}
    assert client.get("/there", headers=html).json() == {"there": True}
    for answer in (client.get("/nonsense"), client.get("/api/nonsense", headers=html), client.post("/nonsense", headers=html)):
        assert answer.status_code == 404
        assert answer.json() == {"detail": "Not Found"}
