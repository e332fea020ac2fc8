"""The server, and its end: within five seconds of SIGTERM or Ctrl-C, whatever is open."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn

GRACE_SECONDS = 2
"""How long open connections are waited for; what is beside the app ends meanwhile."""
LAST_SECONDS = 4.5
"""When the process ends, even if something in it does not: a thread that is not waited for cannot be ended otherwise."""
TOO_LATE = 1


class Server(uvicorn.Server):
    """Serves an app until it is told to end.

    Args:
        app: what is served.
        close: ends what is beside it; called as soon as the end begins, and once more by the app itself.
        last_s: when the process ends at the latest, counted from then.
    """

    def __init__(self, app: Any, close: Callable[[], None], last_s: float = LAST_SECONDS) -> None:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS, proxy_headers=False, server_header=False)
        super().__init__(config)
        self._close = close
        self._last_s = last_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is beside the app and the connections at the same time."""
        for work in (self._end_at_last, self._close):
            threading.Thread(target=work, daemon=True).start()
        await super().shutdown(sockets)

    def _end_at_last(self) -> None:
        time.sleep(self._last_s)
        sys.stderr.write("Something in the app did not end in time; it was ended all the same.\n")
        sys.stderr.flush()
        os._exit(TOO_LATE)
