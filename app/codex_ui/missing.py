"""The page that a person sees where there is none."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from codex_ui.guard import Asgi, Message, Receive, Scope, Send
from codex_ui.render import render

LONGEST_SHOWN = 120
HIDDEN = ("/openapi.json", "/gradio_api/openapi.json")
"""Gradio's list of its routes: all of them are private, and the list would say there is none."""


class Missing:
    """Answers with a page of the app's own where a browser asks for a page that is not there; programs hear what they heard before.

    Args:
        app: what is asked first.
    """

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http" and scope["path"] in HIDDEN:
            await JSONResponse({"detail": "Not Found"}, status_code=404)(scope, receive, send)  # pyright: ignore[reportArgumentType]
            return
        if not _is_for_a_page(scope):
            await self._app(scope, receive, send)
            return
        missing = False

        async def seen(message: Message) -> None:
            nonlocal missing
            if message["type"] == "http.response.start" and message["status"] == 404:
                missing = True
                for part in _page(scope["path"]):
                    await send(part)
            elif not missing:
                await send(message)

        await self._app(scope, receive, seen)


def _is_for_a_page(scope: Scope) -> bool:
    """Whether somebody looks at an address, rather than a program at a route or a file."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].startswith("/api/"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _page(path: str) -> list[dict[str, Any]]:
    shown = path if len(path) <= LONGEST_SHOWN else f"{path[:LONGEST_SHOWN]}…"
    body = render("missing.html", path=shown).encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    return [{"type": "http.response.start", "status": 404, "headers": headers}, {"type": "http.response.body", "body": body}]
