"""The page that asks for the token, where one is needed."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from codex_ui.guard import Guard
from codex_ui.render import render

LONGEST_FORM = 4096


def login_routes(guard: Guard, token: str | None) -> APIRouter:
    """`/login`: the form, and what it sends."""
    router = APIRouter()

    @router.get("/login", response_class=HTMLResponse)
    def form(wrong: int = 0, next: str = "/") -> HTMLResponse:
        return HTMLResponse(render("login.html", wrong=bool(wrong), next=_own_path(next)))

    @router.post("/login")
    async def enter(request: Request) -> Response:
        body = await request.body()
        fields = parse_qs(body[:LONGEST_FORM].decode("utf-8", errors="replace"))
        given, to = (fields.get(name, [""])[0] for name in ("token", "next"))
        if token is None or not await guard.matches(given):
            return HTMLResponse(render("login.html", wrong=True, next=_own_path(to)), status_code=401)
        answer = RedirectResponse(_own_path(to), status_code=303)
        name, value = guard.cookie_header(token)
        answer.raw_headers.append((name, value))
        return answer

    return router


def _own_path(path: str) -> str:
    """`path` when it is one of this app's; else its first page, for nobody is sent elsewhere from here."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
