"""Bind an address, say where the app is, and serve it until it is stopped."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import re
import secrets
import socket
import sys
import urllib.request
import webbrowser
from contextlib import suppress

from codex.core.errors import UserError
from codex.core.lazy import require
from codex.core.paths import Workspace
from codex_ui.address import Address

HEALTH_SECONDS = 2.0
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
}
"""Set before Gradio is imported; unset, it would contact two hosts."""


def serve(host: str, port: int, workspace: str | None, token: str | None, *, open_browser: bool) -> None:
    """Serve the app of `workspace` until SIGTERM or Ctrl-C.

    Raises:
        UserError: the address cannot be bound, the token is too short, or the workspace cannot be used.
        MissingExtra: Gradio is not installed.
    """
    os.environ.update(QUIET)
    place = Workspace.locate(workspace).create()
    token = _token(host, token)
    bound = _bind(host, port, place, token, open_browser=open_browser)
    if bound is not None:
        with bound:
            _serve(place, Address(host, bound.getsockname()[1], token), bound, open_browser=open_browser)


def _serve(place: Workspace, address: Address, bound: socket.socket, *, open_browser: bool) -> None:
    require("gradio", extra="ui", purpose="the app")
    _say(f"Codex at {address.url}  (workspace {place.root}; Ctrl-C ends the app, runs go on)")
    from codex_ui.server import create_app

    app = create_app(place, address)
    from codex_ui.ending import Server

    logging.getLogger("uvicorn.error").addFilter(_is_news)
    server = Server(app, app.state.close)
    if open_browser:
        _open_when_ready(address)
    server.run(sockets=[bound])


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of the server's log tells something: that pages which are open at the end are cut off is no error."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "timeout graceful shutdown" not in record.getMessage()


def _token(host: str, token: str | None) -> str | None:
    """What a browser must show: what the person chose; without, something made up where others can reach the app."""
    if token is not None and not re.fullmatch(r"[\w.~-]{8,200}", token, re.ASCII):
        expected = "expected 8 to 200 letters, digits and `-._~`"
        raise UserError(f"`--token` has {len(token)} characters, not all of them usable", expected, "Leave it out, and one is made up.")
    return token if token is not None or is_loopback(host) else secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind(host: str, port: int, workspace: Workspace, token: str | None, *, open_browser: bool) -> socket.socket | None:
    """A listening socket; None when the app of this workspace already runs there, which is then opened.

    Raises:
        UserError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(f"`--host` is {host!r}", "expected an address of this machine", "Use `--host 127.0.0.1`.") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(target)
        found.listen(128)
        return found
    except OSError as error:
        found.close()
        if _is_ours(Address(host, port, token), workspace):
            address = Address(host, port, token)
            _say(f"Codex already runs at {address.url} for this workspace.")
            if open_browser:
                _open(address)
            return None
        reason = error.strerror or str(error)
        fix = f"Choose another: `--port {port + 1 if port < 65535 else port - 1}`, or `--port 0` for any."
        raise UserError(f"{host}:{port} cannot be bound ({reason})", "expected a free port of this machine", fix) from error


def _is_ours(address: Address, workspace: Workspace) -> bool:
    """Whether the app of the same workspace answers there."""
    request = urllib.request.Request(f"{address.origin}/api/health", headers=address.headers)
    with suppress(OSError, ValueError), urllib.request.urlopen(request, timeout=HEALTH_SECONDS) as answer:
        told = json.load(answer)
        return isinstance(told, dict) and told.get("app") == "codex-ui" and told.get("workspace") == str(workspace.root)
    return False


def _open_when_ready(address: Address) -> None:
    """Open the browser once the server answers, from a thread of its own."""
    import threading
    import time

    def wait() -> None:
        for _ in range(300):
            with suppress(OSError):
                urllib.request.urlopen(urllib.request.Request(f"{address.origin}/api/health", headers=address.headers), timeout=1).close()
                return _open(address)
            time.sleep(0.2)

    threading.Thread(target=wait, daemon=True).start()


def _open(address: Address) -> None:
    """Show the page, where this machine has a screen; a text browser would take the terminal."""
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("WSL_DISTRO_NAME")
    ):
        return
    with suppress(webbrowser.Error):
        webbrowser.open(address.url)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is a terminal's face
