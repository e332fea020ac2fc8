"""Who may ask: hosts, origins, tokens and sizes, against a trivial program behind the guard."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codex_ui.address import Address
from codex_ui.guard import ADDRESS_BYTES, UPLOAD_BYTES, Guard

TOKEN = "right-token-1234"


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


class Reply:
    """What came back."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.status: int = messages[0].get("status", 0)
        self.headers = {name.decode(): value.decode() for name, value in messages[0].get("headers", ())}
        self.body = b"".join(message.get("body", b"") for message in messages[1:]).decode()
        self.inside = self.body == "inside"
        self.closed = messages[0]["type"] == "websocket.close"


def ask(address: Address, path: str = "/", *, method: str = "GET", kind: str = "http", query: str = "", **headers: str) -> Reply:
    """One request through the guard; `host_` style names become headers."""
    sent: list[dict[str, Any]] = []
    given = {"host": f"127.0.0.1:{address.port}", **{name.rstrip("_").replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    scope = {"type": kind, "method": method, "path": path, "query_string": query.encode(), "headers": raw}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    asyncio.run(Guard(_inner, address)(scope, receive, send))
    return Reply(sent)


LOCAL = Address()
OPEN = Address("0.0.0.0", 7860, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "127.0.0.2"])
def test_own_host_is_let_in(host: str) -> None:
    assert ask(LOCAL, host=host).inside


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "192.168.1.7:7860", "", "[", "a b", "localhost.evil.example"]
)
def test_foreign_host_is_refused(host: str) -> None:
    reply = ask(LOCAL, host=host)
    assert reply.status == 403
    assert "Open http://127.0.0.1:7860" in reply.body


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://localhost:7860.evil.example", "http://localhost:7860"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_foreign_origin_is_refused(origin: str, method: str) -> None:
    assert ask(LOCAL, "/api/runs", method=method, origin=origin).status == 403


def test_own_origin_is_let_in() -> None:
    assert ask(LOCAL, "/api/runs", method="POST", origin="http://127.0.0.1:7860").inside


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_token_is_asked_for_where_others_reach_the_app(kind: str) -> None:
    reply = ask(OPEN, "/api/runs", kind=kind)
    assert reply.status == 401 or reply.closed


def test_page_without_token_leads_to_the_login_page() -> None:
    reply = ask(OPEN, "/runs", accept="text/html")
    assert (reply.status, reply.headers["location"]) == (303, "/login?next=/runs")


def test_token_in_the_address_becomes_a_cookie_and_leaves_the_address() -> None:
    reply = ask(OPEN, "/runs", query=f"q=a+b&token={TOKEN}", accept="text/html")
    assert (reply.status, reply.headers["location"]) == (303, "/runs?q=a+b")
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert ask(OPEN, "/api/runs", cookie=cookie.partition(";")[0]).inside


@pytest.mark.parametrize("wrong", ["x", TOKEN[:-1], TOKEN + "x", "é", TOKEN.upper()])
def test_wrong_token_is_refused_everywhere(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_ui.guard.WRONG_TOKEN_SECONDS", 0)
    assert ask(OPEN, "/api/runs", cookie=f"codex_token_7860={wrong}").status == 401
    assert ask(OPEN, "/api/runs", authorization=f"Bearer {wrong}").status == 401
    reply = ask(OPEN, "/runs", query="token=" + wrong.encode("latin-1").hex(), accept="text/html")
    assert reply.headers["location"] == "/login?wrong=1"
    assert "set-cookie" not in reply.headers


def test_token_as_a_header_is_let_in() -> None:
    assert ask(OPEN, "/api/runs", authorization=f"Bearer {TOKEN}").inside


def test_cookie_of_another_port_is_no_token_here() -> None:
    assert ask(OPEN, "/api/runs", cookie=f"codex_token_7861={TOKEN}").status == 401


@pytest.mark.parametrize("path", ["/login", "/vendor/tokens.css"])
def test_login_page_and_its_style_need_no_token(path: str) -> None:
    assert ask(OPEN, path).inside


@pytest.mark.parametrize("path", ["/loginx", "/vendor", "/api/health", "/gradio_api/info"])
def test_all_else_needs_the_token(path: str) -> None:
    assert ask(OPEN, path).status == 401


def test_body_that_says_it_is_too_large_is_refused_before_it_is_read() -> None:
    assert ask(LOCAL, "/gradio_api/upload", method="POST", content_length=str(2**30)).status == 413
    assert ask(LOCAL, "/gradio_api/upload", method="POST", content_length=str(UPLOAD_BYTES)).inside
    assert ask(LOCAL, "/gradio_api/upload", method="POST", content_length="-1").status == 400


def test_address_that_is_too_long_for_the_app_is_refused_in_words() -> None:
    reply = ask(LOCAL, "/train", query="x" * (ADDRESS_BYTES - 6))
    assert reply.inside
    for address in (LOCAL, OPEN):
        reply = ask(address, "/train", query="x" * ADDRESS_BYTES)
        assert reply.status == 414
        assert reply.body.startswith("The address has 60,006 characters; at most 60,000. Open http://127.0.0.1:7860")


def test_answers_keep_other_sites_out() -> None:
    for reply in (ask(LOCAL), ask(LOCAL, host="evil.example")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "SAMEORIGIN"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
