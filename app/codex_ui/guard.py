"""Who may ask: this machine's own pages, and, where others can reach the app, whoever shows the token.

A browser lets any page on the web send requests to 127.0.0.1. So the Host that was asked for must be the app's (a foreign name
that points here is refused), and a request that a page made must come from a page of the app (Origin).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from codex_ui.address import Address

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOAD_BYTES = 512 * 2**20
"""The largest request; a data file comes as one."""
ADDRESS_BYTES = 60_000
"""The longest path and query; at 64 KiB Gradio fails on it, and on each later question of a page that was opened so."""
FREE_PATHS = ("/login", "/vendor/")
"""What is shown without a token: the page that asks for it, and its style."""
WRONG_TOKEN_SECONDS = 0.5
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """Lets through what may ask; everything else is answered here.

    Args:
        app: what is guarded.
        address: where it is reached, and the token.
    """

    def __init__(self, app: Asgi, address: Address) -> None:
        self._app = app
        self._address = address
        self.cookie = f"codex_token_{address.port}"  # cookies know no ports: two apps on one machine have one each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refuse_place(headers) or self._refuse_address(scope) or self._refuse_size(headers)
        if refusal is not None:
            await _answer(scope, send, *refusal)
        elif await self._let_in(scope, headers, send):
            await self._pass_on(scope, receive, send)

    def _refuse_place(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """Why the Host or the Origin is refused; None when both are right."""
        host = headers.get("host", "")
        name = _name(host)
        if name is None or not self._is_own_name(name):
            return 403, f"Host {host[:100]!r} is not this app's. Open {self._address.origin}."
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            return 403, f"Origin {origin[:100]!r} is another site's. Requests come from the app's own pages."
        return None

    def _is_own_name(self, name: str) -> bool:
        if name in ("localhost", self._address.host.lower()):
            return True
        try:
            given = ipaddress.ip_address(name)
        except ValueError:
            return self._address.token is not None and name == socket.gethostname().lower()
        # A name can be made to point anywhere, a number cannot.
        return given.is_loopback or self._address.host in ("0.0.0.0", "::")

    def _refuse_address(self, scope: Scope) -> tuple[int, str] | None:
        length = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
        if length > ADDRESS_BYTES:
            return 414, f"The address has {length:,} characters; at most {ADDRESS_BYTES:,}. Open {self._address.origin} and set it there."
        return None

    @staticmethod
    def _refuse_size(headers: dict[str, str]) -> tuple[int, str] | None:
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "Content-Length is no number."
        if int(length) > UPLOAD_BYTES:
            return 413, f"{int(length) / 2**20:.0f} MiB is too large; at most {UPLOAD_BYTES // 2**20} MiB. Name a local file by its path."
        return None

    async def _let_in(self, scope: Scope, headers: dict[str, str], send: Send) -> bool:
        """Whether the token is shown, or none is needed; answers itself when not."""
        token = self._address.token
        path: str = scope["path"]
        if token is None or path == FREE_PATHS[0] or path.startswith(FREE_PATHS[1]):
            return True
        query = parse_qs(scope["query_string"].decode("latin-1"))
        shown = query.get("token", [""])[0]
        if shown and scope["type"] == "http" and scope["method"] == "GET":
            if await self.matches(shown):
                rest = urlencode([(key, value) for key, values in query.items() if key != "token" for value in values])
                own = f"/{quote(path).lstrip('/')}"  # two slashes would name another site
                await _redirect(send, own + (f"?{rest}" if rest else ""), self.cookie_header(token))
            else:
                await _redirect(send, "/login?wrong=1")
            return False
        if self._shown(headers):
            return True
        if "authorization" in headers or self.cookie in headers.get("cookie", ""):
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
        if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            asked = scope["query_string"].decode("latin-1")
            await _redirect(send, f"/login?next={quote(path + (f'?{asked}' if asked else ''), safe='/')}")
        else:
            await _answer(scope, send, 401, "A token is needed. It stands in the address that `codex-ui` printed.")
        return False

    def _shown(self, headers: dict[str, str]) -> bool:
        """Whether the cookie or the header holds the token."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            jar = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            jar = SimpleCookie()
        held = jar[self.cookie].value if self.cookie in jar else ""
        return any(_equal(given, self._address.token) for given in (bearer, held) if given)

    async def matches(self, given: str) -> bool:
        """Whether `given` is the token; a wrong one is answered late, so that guessing takes long."""
        if _equal(given, self._address.token):
            return True
        await asyncio.sleep(WRONG_TOKEN_SECONDS)
        return False

    def cookie_header(self, token: str) -> tuple[bytes, bytes]:
        """What makes a browser show the token from now on."""
        return b"set-cookie", f"{self.cookie}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000".encode("latin-1")

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its answer gets the headers that keep other sites out."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        await self._app(scope, receive, marked)


def _netloc(origin: str) -> str | None:
    """Host and port of an Origin header; None when it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _name(host: str) -> str | None:
    """The name or number of a Host header, without its port; None when it is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _equal(given: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(given.encode(), token.encode())


async def _answer(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def _redirect(send: Send, to: str, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 303, "headers": [(b"location", to.encode("latin-1")), *headers, *HEADERS]})
    await send({"type": "http.response.body", "body": b""})
