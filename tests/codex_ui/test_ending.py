"""The end of the app is bounded: what is beside it ends side by side, and the process whatever is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from codex_ui import context as context_module
from codex_ui import ending
from codex_ui.context import CLOSING_SECONDS, AppContext
from codex_ui.ending import GRACE_SECONDS, LAST_SECONDS, TOO_LATE

BAR_SECONDS = 5.0

# A server whose part beside it never ends, with a thread that nobody can end; its app says when the end began.
STUCK = """
import sys, threading, time
from codex_ui.ending import Server
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive(); await send({"type": "lifespan.startup.complete"})
        print("ready", flush=True)
        await receive(); threading.Event().wait()
threading.Thread(target=threading.Event().wait).start()
Server(app, threading.Event().wait, last_s=float(sys.argv[1])).run()
"""


def test_deadlines_are_within_the_bar() -> None:
    assert GRACE_SECONDS < CLOSING_SECONDS < LAST_SECONDS <= BAR_SECONDS - 0.5


def test_server_ends_though_everything_in_it_is_stuck() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK, "0.5"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stderr is not None
        assert server.stdout.readline() == "ready\n"
        time.sleep(0.3)  # the line is written a moment before it listens to signals
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == TOO_LATE
        assert 0.4 < time.monotonic() - began < 4
        assert "did not end in time" in server.stderr.read()


class Part:
    """Something beside the app that takes its time to end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.closes = 0

    def close(self) -> None:
        """Take so long."""
        self.closes += 1
        threading.Event().wait(self._seconds)


@pytest.fixture
def parts(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Everything beside the app of `context`, each part half a second from its end."""
    made = [Part(0.5) for _ in range(5)]
    for name, part in zip(("planner", "chats", "sessions"), made, strict=False):
        monkeypatch.setattr(context, name, part)
    monkeypatch.setattr(context, "side", dict(zip("ab", made[3:], strict=True)))
    return made


def test_parts_are_closed_side_by_side_and_once(context: AppContext, parts: list[Part]) -> None:
    began = time.monotonic()
    first = threading.Thread(target=context.close)
    first.start()
    context.close()
    assert 0.4 < time.monotonic() - began < 1.5
    first.join()
    assert [part.closes for part in parts] == [1] * 5


def test_part_that_does_not_end_is_not_waited_for(context: AppContext, parts: list[Part], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "CLOSING_SECONDS", 0.3)
    parts[1]._seconds = 1.5
    began = time.monotonic()
    for _ in range(3):
        context.close()
    assert 0.2 < time.monotonic() - began < 1
    assert ending.LAST_SECONDS > CLOSING_SECONDS
