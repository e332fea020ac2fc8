"""Binding an address: free, taken by ourselves, by another workspace, by a stranger; and what a person is told."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import MissingExtra, UserError
from codex_ui import serve as serving
from codex_ui.serve import serve


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `serve` sets is set back."""
    for name in serving.QUIET:
        monkeypatch.setenv(name, "")


@contextmanager
def _answering(told: Any) -> Iterator[int]:
    """Something that answers every question with `told`; gives its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_port_of_our_own_app_for_the_same_workspace_is_told_and_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    with _answering({"app": "codex-ui", "workspace": str(tmp_path / "w")}) as port:
        serve("127.0.0.1", port, str(tmp_path / "w"), None, open_browser=True)
        assert opened == [f"http://127.0.0.1:{port}"]
        monkeypatch.delenv("DISPLAY")
        serve("127.0.0.1", port, str(tmp_path / "w"), None, open_browser=True)
    assert len(opened) == 1
    assert capsys.readouterr().out.splitlines() == [f"Codex already runs at http://127.0.0.1:{port} for this workspace."] * 2


@pytest.mark.parametrize("told", [{"app": "codex-ui", "workspace": "/another"}, {"app": "codex-ml"}, [1], "x"])
def test_port_of_another_is_refused_with_one_to_choose(tmp_path: Path, told: Any) -> None:
    with _answering(told) as port, pytest.raises(UserError) as error:
        serve("127.0.0.1", port, str(tmp_path / "w"), None, open_browser=False)
    assert str(error.value) == (
        f"127.0.0.1:{port} cannot be bound (Address already in use); expected a free port of this machine. "
        f"Choose another: `--port {port + 1}`, or `--port 0` for any."
    )


def test_port_of_something_that_speaks_no_http_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEALTH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="cannot be bound"):
        serve("127.0.0.1", taken.getsockname()[1], str(tmp_path / "w"), None, open_browser=False)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "999.1.1.1", "a b", "x" * 300])
def test_host_that_is_none_is_refused(tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match="expected an address of this machine"):
        serve(host, 0, str(tmp_path / "w"), "right-token-1", open_browser=False)


@pytest.mark.parametrize("token", ["", "short", "with space", "é" * 9, "a;b=c;d=e", "x" * 201, "line\nbreak-123"])
def test_token_that_no_cookie_could_hold_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(UserError, match="expected 8 to 200 letters"):
        serve("127.0.0.1", 0, str(tmp_path / "w"), token, open_browser=False)


def test_token_is_made_up_where_others_reach_the_app_only() -> None:
    assert serving._token("127.0.0.1", None) is serving._token("localhost", None) is serving._token("::1", None) is None
    made = {serving._token(host, None) for host in ("0.0.0.0", "::", "192.168.1.7", "myhost")}
    assert len(made) == 4
    assert all(token is not None and len(token) >= 32 for token in made)
    assert serving._token("127.0.0.1", "chosen-token") == "chosen-token"


def test_without_gradio_the_command_that_brings_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "gradio" else found(name, *rest))
    with pytest.raises(MissingExtra, match=r"pip install 'codex-ml\[ui\]'"):
        serve("127.0.0.1", 0, str(tmp_path / "w"), None, open_browser=False)


def test_workspace_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        serve("127.0.0.1", 0, str(tmp_path / "file" / "w"), None, open_browser=False)
