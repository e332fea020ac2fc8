"""marimo whose pages reach nothing but marimo itself: `python -m codex.services.marimo_offline edit ...`, with marimo's own words.

Its page fetches MathJax from a CDN for every plot, and no setting of marimo's turns that off. The browser keeps the promise instead:
a content security policy, which allows the page's own server and nobody else.

Not covered: what a notebook's Python does, and links that a person follows.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://127.0.0.1:* ws://localhost:* data: blob:"


class OwnServerOnly:
    """Adds the policy to every answer.

    Args:
        app: what answers.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer as `app` does, with the policy."""

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, with_policy)


def main() -> None:
    """Run marimo's command line with the policy."""
    from marimo._cli.cli import main as run_marimo
    from marimo._server.registry import MIDDLEWARE_REGISTRY
    from starlette.middleware import Middleware

    MIDDLEWARE_REGISTRY.register("codex-own-server-only", Middleware(OwnServerOnly))  # pyright: ignore[reportArgumentType]
    run_marimo(prog_name="marimo")


if __name__ == "__main__":
    sys.exit(main())
