"""Real programs beside Codex: started once, reached with their token, ended with whoever started them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from codex.core.errors import MissingExtra, RunError, WorkspaceError
from codex.core.paths import PACKAGE, Workspace, shipped_notebooks
from codex.runs.command import python_module
from codex.services import marimo_offline, side
from codex.services.side_program import Launch, Program, SideProgram

PATIENCE_SECONDS = 30.0

# A stand-in that starts in an instant: it answers, and has a child of its own, as servers have workers.
SERVER = """
import http.server, subprocess, sys
print("token is", sys.stdin.read(), flush=True)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(str(child.pid).encode())
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# Opens the stand-in, says where, and waits to be killed.
PARENT = """
import sys, time
from pathlib import Path
from codex.core.paths import Workspace
from tests.services.test_side import stand_in
print(stand_in(Workspace(Path(sys.argv[1]))).open(), flush=True)
time.sleep(600)
"""


def stand_in(workspace: Workspace, code: str = SERVER) -> SideProgram:
    """A side program that is no more than this test needs."""

    def launch(workspace: Workspace, port: int, token: str) -> Launch:
        return Launch([sys.executable, "-c", code, str(port)], f"http://127.0.0.1:{port}/?token={token}", "/", workspace.root, stdin=token)

    return SideProgram(Program("The stand-in", "json", "notebooks", "A test", launch), workspace)


def get(url: str, path: str | None = None) -> tuple[int, str]:
    """Status and body of `url`, or of another path of the same program."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
    connection.request("GET", path or f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, body


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


def processes_of(url: str) -> list[psutil.Process]:
    """The leash of the program at `url`, the program, and all that they started."""
    leashes = [each for each in psutil.process_iter() if "codex.services.leash" in _words(each) and str(urlsplit(url).port) in _words(each)]
    (leash,) = leashes
    return [leash, *leash.children(recursive=True)]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_program_goes_from_absent_to_ready_to_ended_and_hides_its_token(here: Workspace) -> None:
    program = stand_in(here)
    assert program.status.state == "absent"
    url = program.open()
    assert get(url)[0] == 200
    assert (program.status.state, program.status.url) == ("ready", url)
    assert program.status.lines == ("token is …",)
    assert program.open() == url
    living = processes_of(url)
    assert len(living) == 3
    program.close()
    program.close()
    assert gone(living)
    assert (program.status.state, program.status.url, program.status.reason) == ("ended", None, "It was closed.")


def test_program_that_died_says_so_and_is_started_again(here: Workspace) -> None:
    with stand_in(here) as program:
        first = program.open()
        living = processes_of(first)
        living[1].kill()
        until(lambda: program.status.state == "ended", "the end of what was killed")
        assert program.status.reason == "It ended by itself with exit code 137."
        until(lambda: gone(living), "the end of its child")
        second = program.open()
        assert second != first
        assert get(second)[0] == 200


def test_program_ends_when_its_parent_is_killed(here: Workspace) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-c", PARENT, str(here.root)]
    with subprocess.Popen(command, env=environment, cwd=PACKAGE.parent, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        living = processes_of(parent.stdout.readline().strip())
        assert len(living) == 3
        parent.kill()
    until(lambda: gone(living), "the end of a program whose parent is dead")


def test_program_ends_when_its_leash_is_killed(here: Workspace) -> None:
    program = stand_in(here)
    living = processes_of(program.open())
    living[0].kill()
    until(lambda: gone(living[1:2]), "the end of a program whose leash is dead")
    living[2].kill()
    program.close()


def test_program_that_ends_at_once_says_its_last_line(here: Workspace) -> None:
    program = stand_in(here, "import sys; sys.exit('there is no sun')")
    with pytest.raises(
        RunError, match=r"The stand-in ended before it answered; it wrote: there is no sun; expected it at http://127\.0\.0\.1:"
    ):
        program.open()
    assert (program.status.state, program.status.reason) == ("ended", "It ended by itself with exit code 1.")
    program.close()


def test_program_that_is_closed_while_it_starts_ends_at_once_and_whoever_opens_it_hears_so(here: Workspace) -> None:
    program = stand_in(here, "import time; time.sleep(600)")
    with ThreadPoolExecutor(2) as pool:
        opening = pool.submit(program.open)
        until(lambda: program.status.state == "starting", "its start")
        began = time.monotonic()
        program.close()
        with pytest.raises(RunError, match=r"The stand-in (was closed while it started|ended before it answered)"):
            opening.result()
        assert time.monotonic() - began < 5
    assert program.status.state == "ended"


def test_program_that_does_not_end_is_waited_for_no_longer_than_asked_and_ends_by_its_leash(here: Workspace) -> None:
    program = stand_in(here, SERVER.replace("import http.server", "import signal; signal.signal(15, signal.SIG_IGN); import http.server"))
    living = processes_of(program.open())
    began = time.monotonic()
    program.close(0.2)
    assert time.monotonic() - began < 1
    assert not gone(living)
    until(lambda: gone(living), "what its leash kills")
    program.close()


def test_program_that_does_not_answer_is_ended(here: Workspace) -> None:
    program = stand_in(here, "import time; time.sleep(600)")
    with pytest.raises(RunError, match="did not answer in time"):
        program.open(patience_s=0.3)
    assert (program.status.state, program.status.reason) == ("ended", "It did not answer in time.")


@pytest.mark.parametrize(("make", "extra"), [(side.notebooks, "notebooks"), (side.lab, "notebooks"), (side.tracker, "tracking")])
def test_program_that_is_not_installed_names_its_extra(
    make: Callable[[Workspace], SideProgram], extra: str, here: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=rf"codex-ml\[{extra}\]"):
        make(here).open()
    assert make(here).status.state == "absent"
    assert make(here) is make(here)


def test_notebooks_are_copied_once_and_never_written_over(here: Workspace) -> None:
    folder = side.copy_notebooks(here)
    names = {f"{name}{ending}" for name in ("quickstart", "session_logs") for ending in side.NOTEBOOKS}
    assert {path.name for path in folder.iterdir()} == names
    assert all((folder / name).read_bytes() == (shipped_notebooks() / name).read_bytes() for name in names)
    (folder / "quickstart.py").write_text("mine")
    (folder / "quickstart.ipynb").unlink()
    side.copy_notebooks(here)
    assert (folder / "quickstart.py").read_text() == "mine"
    assert (folder / "quickstart.ipynb").is_file()


def test_notebooks_that_cannot_be_copied_are_an_error(here: Workspace) -> None:
    here.root.mkdir()
    (here.root / "notebooks").write_text("in the way")
    with pytest.raises(WorkspaceError, match="notebooks' cannot be written"):
        side.copy_notebooks(here)


def test_marimo_edits_the_copies_behind_its_token(here: Workspace) -> None:
    with side.notebooks(here) as program:
        url = program.open()
        command = " ".join(word for process in processes_of(url) for word in process.cmdline())
        token = url.rpartition("access_token=")[2]
        assert len(token) > 30
        assert token not in command
        assert not any(token in line for line in program.status.lines)
        assert get(url, "/?file=quickstart.py")[0] in (303, 401)
        status, _ = get(url)
        assert status in (200, 303)
        assert processes_of(url)[1].environ()["CODEX_WORKSPACE"] == str(here.root)


def test_jupyterlab_asks_for_its_token(here: Workspace) -> None:
    with side.lab(here) as program:
        url = program.open()
        assert get(url, "/api/contents/quickstart.ipynb")[0] == 403
        status, body = get(url, f"/api/contents/quickstart.ipynb?content=0&{urlsplit(url).query}")
        assert (status, '"quickstart.ipynb"' in body) == (200, True)


def test_mlflow_shows_the_workspace_and_dies_with_its_parent(here: Workspace) -> None:
    code = "import sys, time\nfrom pathlib import Path\nfrom codex.core.paths import Workspace\nfrom codex.services import side\n"
    code += "print(side.tracker(Workspace(Path(sys.argv[1]))).open(), flush=True)\ntime.sleep(600)\n"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen([sys.executable, "-c", code, str(here.root)], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        living = processes_of(url)
        assert get(url)[0] == 200
        assert here.mlflow_db.is_file()
        assert {each.environ()["MLFLOW_DISABLE_TELEMETRY"] for each in living} == {"true"}
        assert len(living) == 3
        parent.send_signal(signal.SIGKILL)
    until(lambda: gone(living), "MLflow's end")


def test_leash_passes_on_the_exit_code() -> None:
    ours, theirs = os.pipe()
    command = python_module("codex.services.leash", str(ours), sys.executable, "-c", "raise SystemExit(7)")
    assert subprocess.run(command, pass_fds=(ours,), env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}, check=False).returncode == 7
    os.close(ours)
    os.close(theirs)


def test_marimos_page_may_reach_its_own_server_only(here: Workspace) -> None:
    with side.notebooks(here) as program:
        parts = urlsplit(program.open())
        connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
        connection.request("GET", f"{parts.path}?{parts.query}")
        policy = connection.getresponse().headers["content-security-policy"]
        connection.close()
    assert policy == marimo_offline.POLICY
    assert "http:" not in policy
    assert "https:" not in policy
