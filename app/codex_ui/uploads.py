"""How much a request may bring, and that nothing stays of an upload that was refused or broken off."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect

from codex_ui.guard import UPLOAD_BYTES, Asgi, Receive, Scope, Send

REQUEST_BYTES = 16 * 2**20
"""The largest request that is no upload: a form and what was said in a chat, with room to spare."""
UPLOAD_PATH = "/gradio_api/upload"


class Bodies:
    """Counts what requests bring, whatever length they say, and sweeps up after uploads.

    Gradio writes an upload into a file of its own and moves it when it is whole. One that is refused for its size, or whose sender goes
    away, would otherwise stay until the app ends, and enough of them fill the disk.

    Args:
        app: what takes the requests.
        folder: where Gradio writes uploads.
        request_bytes: the largest request that is no upload.
        upload_bytes: the largest upload.
    """

    def __init__(self, app: Asgi, folder: Path, request_bytes: int = REQUEST_BYTES, upload_bytes: int = UPLOAD_BYTES) -> None:
        self._request = RequestBodyLimitMiddleware(app, request_bytes)  # pyright: ignore[reportArgumentType]
        self._upload = RequestBodyLimitMiddleware(app, upload_bytes)  # pyright: ignore[reportArgumentType]
        self._folder = folder
        self._going = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        with suppress(ClientDisconnect):  # nobody is there to be answered
            if scope["type"] == "http" and scope["path"] == UPLOAD_PATH:
                await self._take(scope, receive, send)
            else:
                await self._request(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._going += 1
        try:
            await self._upload(scope, receive, send)
        finally:
            self._going -= 1
            if not self._going:
                self._sweep()

    def _sweep(self) -> None:
        """Remove files that no upload writes any more; what arrived whole is in a folder by now."""
        for path in self._folder.glob("tmp*"):
            if path.is_file():
                path.unlink(missing_ok=True)
