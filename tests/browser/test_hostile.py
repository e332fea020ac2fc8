"""Hostile use: strangers' requests, tricks with paths and sizes, and texts that would like to be code. The app is a real process."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from codex.core.paths import Workspace
from codex.runs.record import write_run
from codex.runs.status import Reason
from codex_ui.uploads import REQUEST_BYTES
from tests.browser.app import App
from tests.browser.conftest import OpenPage, Seen
from tests.browser.workspaces import log_steps
from tests.made import Made

TOKEN = "a-right-token-1234"
SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
ODD = "\u202egnp.exe\u0007\u001b[31m"
MANY = 10_000


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def in_words(self) -> bool:
        """Whether it holds no traceback."""
        return "Traceback" not in self.text and ".py" not in self.text


class Asking:
    """Requests to an app as anybody could send them: exactly what is given, no headers but those."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.host = f"127.0.0.1:{app.port}"

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request; `content_type` style names become headers."""
        given = {"host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None:
            given.setdefault("content-length", str(len(body)))
        connection = http.client.HTTPConnection("127.0.0.1", self.app.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Reply(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode(errors="replace")
            )
        finally:
            connection.close()

    def post(self, path: str, value: Any) -> Reply:
        """A request as the app's own pages send them."""
        return self("POST", path, json.dumps(value).encode(), content_type="application/json", origin=f"http://{self.host}")

    def lives(self) -> bool:
        """Whether the app still answers."""
        return self("GET", "/api/health").status == 200


def _hostile_workspace(workspace: Workspace) -> str:
    """One run whose every text would like to be code, and five to delete; gives the id of the first."""
    made = Made(workspace)
    reason = Reason("error", f"It broke: {SCRIPT}", (SCRIPT, ODD, "&lt;b&gt;"))
    run = made.run("A title", state="failed", reason=reason, step=3, total=9, note=SCRIPT, started=1.0, ended=2.0)
    write_run(replace(run, title=f"{SCRIPT} {ODD}"))  # as if by hand, for `rename` takes printable titles only
    run.log.write_text(f"{SCRIPT}\n{ODD}\n")
    run.asked.write_text(f"recipe: 'x'\n# {SCRIPT}\n")
    run.resolved.write_text(f"recipe: x\nmodel:\n  source: {json.dumps(SCRIPT)}\n# {ODD}\n".replace("\u0007", "").replace("\u001b", ""))
    verdict = made.verdict()
    verdict["sentence"] = f"Better: {SCRIPT}"
    for row in verdict["rows"]:
        row["origin"] = f"{SCRIPT} {ODD}"  # a row of a data file is named by what stands in it
    run.report.write_text(json.dumps({"run": run.id, "verdict": verdict}))
    log_steps(workspace, run, range(1, 10))
    for number in range(5):
        made.run(f"Short {number}", state="stopped", reason=Reason("stopped", "Stopped."))
    return run.id


@pytest.fixture(scope="module")
def hostile_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app over a workspace of hostile texts; what it is sent must neither end it nor make it tell how it is made."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tmp").mkdir()
    run_id = _hostile_workspace(Workspace(folder / "workspace"))
    with App(folder / "workspace", environment={"TMPDIR": str(folder / "tmp")}) as app:
        app.ids = {"hostile": run_id}
        yield app


@pytest.fixture
def ask(hostile_app: App) -> Iterator[Asking]:
    """Asks the app without a token; afterwards it must still live."""
    asking = Asking(hostile_app)
    yield asking
    assert asking.lives()
    assert "Traceback" not in hostile_app.printed


@pytest.fixture(scope="module")
def open_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app as others on the network reach it."""
    with App(tmp_path_factory.mktemp("open") / "workspace", "--host", "0.0.0.0", environment={"CODEX_UI_TOKEN": TOKEN}) as app:
        yield app


# ---- who may ask


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "10.0.0.7:{port}", ""])
def test_name_that_was_made_to_point_here_is_refused(ask: Asking, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/api/runs"), ("POST", "/api/runs"), ("GET", "/vendor/tokens.css")):
        reply = ask(method, path, b"" if method == "POST" else None, host=host.format(port=ask.app.port))
        assert reply.status == 403
        assert reply.in_words


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:{port}", "https://127.0.0.1:{port}.evil.example"])
def test_page_of_another_site_is_refused(ask: Asking, origin: str) -> None:
    run = ask.app.ids["hostile"]
    sent = json.dumps({"title": "theirs"}).encode()
    reply = ask("POST", f"/api/runs/{run}/rename", sent, origin=origin.format(port=ask.app.port), content_type="application/json")
    assert reply.status == 403
    assert "theirs" not in ask("GET", f"/api/runs/{run}").text
    assert ask("POST", "/gradio_api/upload", b"", origin=origin.format(port=ask.app.port)).status == 403


def test_app_that_others_can_reach_prints_an_address_with_a_token(open_app: App) -> None:
    assert f"Codex at http://127.0.0.1:{open_app.port}/?token={TOKEN}" in open_app.printed


@pytest.mark.parametrize(
    "path", ["/api/runs", "/api/health", "/config", "/gradio_api/info", "/theme.css", "/static/img/logo.svg", "/nonsense"]
)
@pytest.mark.parametrize("shown", ["", "Bearer wrong-token-12345", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}"])
def test_without_the_right_token_nothing_is_told(open_app: App, path: str, shown: str) -> None:
    reply = Asking(open_app)("GET", path, None, **({"authorization": shown} if shown else {}))
    assert reply.status == 401
    assert reply.text == "A token is needed. It stands in the address that `codex-ui` printed."


def test_page_without_token_is_the_login_page_and_its_cookie_opens_all(open_app: App) -> None:
    ask = Asking(open_app)
    reply = ask("GET", "/runs", accept="text/html")
    assert (reply.status, reply.headers["location"]) == (303, "/login?next=/runs")
    assert 'name="token"' in ask("GET", reply.headers["location"], accept="text/html").text
    wrong = ask("POST", "/login", b"token=nonsense-1234&next=/runs")
    assert (wrong.status, "set-cookie" in wrong.headers) == (401, False)
    right = ask("POST", "/login", f"token={TOKEN}&next=/runs".encode())
    assert (right.status, right.headers["location"]) == (303, "/runs")
    cookie = right.headers["set-cookie"].partition(";")[0]
    assert ask("GET", "/api/health", cookie=cookie).status == 200
    assert ask("GET", "/", cookie=cookie, accept="text/html").status == 200
    assert ask("GET", "/api/health", cookie=f"{cookie[:-1]}x").status == 401


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/\r\nX: y",
    ],
)
def test_login_leads_nowhere_else(open_app: App, to: str) -> None:
    ask = Asking(open_app)
    right = ask("POST", "/login", f"token={TOKEN}&next={quote(to, safe='')}".encode())
    assert (right.status, right.headers["location"]) == (303, "/")
    assert 'name="next" value="/"' in ask("GET", f"/login?next={quote(to, safe='')}").text


def test_address_with_a_token_leads_nowhere_else(open_app: App) -> None:
    reply = Asking(open_app)("GET", f"//evil.example/%5cx?token={TOKEN}", accept="text/html")
    assert reply.status == 303
    assert reply.headers["location"].startswith("/evil.example/")


# ---- paths


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/..%2f..%2f..%2fetc%2fpasswd", "/api/runs/%2e%2e", "/api/runs/%2e%2e/metrics", "/api/runs/%00", "/api/runs/%ff%fe",
        f"/api/runs/{'r' * MANY}", "/api/live/run?id=../../x", "/api/live/run?id=%00", f"/api/live/run?id={'9' * MANY}",
        "/api/live/..%2fserver", "/api/live/nonsense", "/vendor/..%2fserver.py", "/vendor/../server.py", "/vendor/%2e%2e%2fserver.py",
        "/vendor//etc/passwd", "/vendor/tokens.css%00", "/vendor/.", "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../../etc/passwd",
        "/gradio_api/file={workspace}/runs/r-0001/run.json", "/gradio_api/file=http://127.0.0.1:{port}/api/health",
        "/gradio_api/proxy=http://127.0.0.1:{port}/api/health", "/file=/etc/passwd", "/static/..%2f..%2f..%2fetc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/nonsense", "/gradio_api/component_server",
    ],
)  # fmt: skip
def test_trick_with_a_path_is_refused_in_words(ask: Asking, path: str) -> None:
    reply = ask("GET", path.format(workspace=ask.app.workspace, port=ask.app.port))
    if path.startswith("/api/live/run?"):  # the page has its shell, and says what is wrong
        assert json.loads(reply.text)["problems"][0]["what"].endswith("is unknown")
    else:
        assert 400 <= reply.status < 500
    assert "root:" not in reply.text
    assert "Traceback" not in reply.text


@pytest.mark.parametrize("since", ["-5", "0", "99999999999", "x", "9" * MANY, "", "1e3", "0x10"])
def test_absurd_since_is_answered_or_refused(ask: Asking, since: str) -> None:
    reply = ask("GET", f"/api/runs/{ask.app.ids['hostile']}/metrics?since={since}")
    assert reply.status in (200, 422)
    assert reply.in_words


@pytest.mark.parametrize(
    "query", ["seen=" + "a:b," * MANY, "seen=%00:%ff", "compare=" + "r-1," * MANY, "q=%00%ff&state=%3cb%3e&order=x", "&" * MANY]
)
def test_absurd_query_is_answered(ask: Asking, query: str) -> None:
    for page in ("home", "runs", "run", "train", "chat"):
        reply = ask("GET", f"/api/live/{page}?{query[:60_000]}")
        assert reply.status == 200
        assert reply.in_words


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"overrides": 5}', b'{"overrides": [5]}', b"[" * MANY, b'{"title": 7}', b"a=b"]
)
def test_post_without_what_is_expected_does_nothing(ask: Asking, body: bytes) -> None:
    before = ask("GET", "/api/runs").text
    for path in ("/api/runs", f"/api/runs/{ask.app.ids['hostile']}/rename"):
        for kind in ("application/json", "text/plain", "multipart/form-data"):
            reply = ask("POST", path, body, content_type=kind)
            assert reply.status in (400, 422)
            assert reply.in_words
    assert ask("GET", "/api/runs").text == before


def test_overrides_that_are_no_text_are_refused_in_words(ask: Asking) -> None:
    for override in ("title=\ud800", "\0=1", "data.source=\0", "x" * MANY, "recipe=../../etc/passwd", "model.source=" + "/" * MANY):
        reply = ask.post("/api/runs", {"overrides": [override]})
        assert reply.status == 400
        assert json.loads(reply.text)["problems"]


def test_deletes_at_the_same_time_delete_once_and_say_so(ask: Asking) -> None:
    replies: list[Reply] = []
    names = [run["id"] for run in json.loads(ask("GET", "/api/runs").text)["runs"] if run["title"].startswith("Short ")]
    assert len(names) == 5
    asking = [threading.Thread(target=lambda: replies.append(ask.post(f"/api/runs/{names[0]}/delete", {}))) for _ in range(8)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert sorted(reply.status for reply in replies) == [200] + [400] * 7
    assert all(reply.in_words for reply in replies)
    assert not (ask.app.workspace / "runs" / names[0]).exists()
    assert all((ask.app.workspace / "runs" / name).is_dir() for name in names[1:])


# ---- sizes


def _left(app: App) -> int:
    """Bytes in the app's temporary folder."""
    folder = app.workspace.parent / "tmp"
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/api/runs", "/login"])
def test_body_of_a_gibibyte_is_refused_before_it_is_read(ask: Asking, path: str) -> None:
    reply = ask("POST", path, b"", content_length=str(2**30))
    assert reply.status == 413
    assert "too large" in reply.text


def _chunked(app: App, path: str, kind: str, first: bytes, most: int) -> bytes:
    """Send a body that does not say its length until `most` bytes are sent or an answer comes; gives the answer."""
    piece = b"a" * 2**20
    with socket.create_connection(("127.0.0.1", app.port), timeout=20) as connection:
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{app.port}\r\ntransfer-encoding: chunked\r\ncontent-type: {kind}\r\n\r\n"
        connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(first), first))
        connection.settimeout(0.001)
        for _ in range(most // len(piece)):
            try:
                return connection.recv(4096)
            except TimeoutError:
                connection.settimeout(20)
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                connection.settimeout(0.001)
        connection.settimeout(20)
        return connection.recv(4096) if most > REQUEST_BYTES else b""


def test_body_that_does_not_say_its_length_is_counted(ask: Asking) -> None:
    answer = _chunked(ask.app, "/api/runs", "application/json", b'"', REQUEST_BYTES + 2**22)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_upload_that_is_broken_off_leaves_nothing(ask: Asking) -> None:
    part = b'--B\r\ncontent-disposition: form-data; name="files"; filename="../../../evil.jsonl"\r\n\r\n'
    _chunked(ask.app, "/gradio_api/upload", "multipart/form-data; boundary=B", part, 2**23)
    deadline = time.monotonic() + 10
    while _left(ask.app) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _left(ask.app) == 0


@pytest.mark.parametrize(
    "name", ["../../../evil.jsonl", "/etc/evil.jsonl", "..", "evil\\..\\x.jsonl", "x" * 400 + ".jsonl", "a\x01b.jsonl"]
)
def test_upload_is_kept_where_uploads_are_whatever_it_is_called(ask: Asking, name: str) -> None:
    body = f'--B\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n{{}}\r\n--B--\r\n'.encode()
    reply = ask("POST", "/gradio_api/upload", body, content_type="multipart/form-data; boundary=B")
    assert reply.in_words or reply.status < 500
    if reply.status == 200:
        path = Path(json.loads(reply.text)[0]).resolve()
        assert path.is_relative_to(ask.app.workspace.parent / "tmp")
        shutil.rmtree(path.parent)
    assert not (ask.app.workspace / "evil.jsonl").exists()


# ---- texts that would like to be code


def _nothing_ran(page: Page) -> None:
    """Nothing of `SCRIPT` became an element, and nothing of it ran."""
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("document.title") != "owned"


@pytest.mark.parametrize(
    "path", ["/", "/runs?compare={id},{id}&q=%3Cscript", "/run?id={id}", "/chat?run={id}", "/train?set=title%3D{script}"]
)
def test_hostile_texts_are_shown_as_text(hostile_app: App, open_page: OpenPage, path: str, seen: Seen) -> None:
    page = open_page(hostile_app.url + path.format(id=hostile_app.ids["hostile"], script=quote(SCRIPT, safe="")))
    page.on("dialog", lambda dialog: seen.errors.append(f"a dialog: {dialog.message}"))
    if not path.startswith("/chat"):
        page.get_by_text("<script>document.title=").first.wait_for()
    if path.startswith("/run?"):
        page.get_by_text("&lt;b&gt;").first.wait_for()
        for tab, words in (("Verdict", "onerror"), ("Config", "<script>"), ("Log", "<img src=x"), ("Checkpoints", "No checkpoint yet")):
            page.get_by_role("tab", name=tab, exact=True).click()
            page.locator(f"[data-part='run-{tab.lower()}']").get_by_text(words).first.wait_for()
            _nothing_ran(page)
    _nothing_ran(page)


def test_hostile_address_is_shown_as_text(hostile_app: App, open_page: OpenPage) -> None:
    page = open_page(f"{hostile_app.url}/run?id=%3Cimg%20src=x%20onerror=alert(1)%3E")
    page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
    _nothing_ran(page)
