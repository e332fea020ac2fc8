"""Real runs for tests: bodies that come as a plugin, a store in an empty workspace, and waiting on what happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codex.core.errors import RunError
from codex.core.paths import PACKAGE, Workspace
from codex.runs.processes import send_signal
from codex.runs.record import Run
from codex.runs.status import read_status
from codex.runs.store import RunStore
from codex.runs.views import RunView

HERE = Path(__file__).parent
BODIES = ("count", "hold", "fail", "eat", "deaf")
PATIENCE_SECONDS = 30.0


class Runs:
    """Makes real runs in one workspace, and ends what is left of them.

    Args:
        workspace: where they live.
        environment: names the plugin that brings their bodies.
    """

    def __init__(self, workspace: Workspace, environment: dict[str, str]) -> None:
        self.store = RunStore(workspace)
        self.environment = environment

    @staticmethod
    def until(condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"never came: {what}"
            time.sleep(0.02)

    def make(self, kind: str, resolved: str = "", title: str = "") -> Run:
        """A run that waits for its launch."""
        return self.store.create(kind, title or kind, {"asked.yaml": "", "resolved.yaml": resolved})

    def launch(self, run: Run, **extra: str) -> Run:
        """Launch it."""
        self.store.launch(run, {**self.environment, **extra})
        return run

    def start(self, kind: str, resolved: str = "") -> Run:
        """A run that was launched."""
        return self.launch(self.make(kind, resolved))

    def hold(self) -> Run:
        """A run that is at work until it is released."""
        run = self.start("hold")
        self.until_working(run)
        return run

    def until_working(self, run: Run) -> None:
        """Wait until its body works."""
        self.until(lambda: self.store.view(run).status.step == 1 or not self.store.view(run).active, "the body's first step")
        assert self.store.view(run).active, self.store.view(run)

    def release(self, run: Run) -> None:
        """Let its body end."""
        (run.folder / "release").touch()

    def end(self, run: Run) -> RunView:
        """How it stands once it has ended."""
        view = self.store.wait(run, PATIENCE_SECONDS)
        assert not view.active, view
        return view

    def kill(self, run: Run, *roles: str) -> None:
        """Kill its `worker`, its `supervisor`, or both, and wait until they are gone; nobody looks at the run meanwhile."""
        status = read_status(run.folder)
        processes = [getattr(status, role) for role in roles]
        for process in processes:
            assert send_signal(process, signal.SIGKILL)
        self.until(lambda: not any(process.lives() for process in processes), "the end of what was killed")

    def end_all(self) -> None:
        """End what is left."""
        for view in self.store.list():
            if view.active:
                with contextlib.suppress(RunError):
                    self.store.stop(view.run, PATIENCE_SECONDS, force=True)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the test bodies are installed like a stranger's plugin."""
    folder = tmp_path_factory.mktemp("plugin")
    information = folder / "run_bodies-1.0.dist-info"
    information.mkdir()
    points = "".join(f"run.{name} = run_bodies.{name}\n" for name in BODIES)
    (information / "entry_points.txt").write_text(f"[codex_ml.plugins]\n{points}")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: run-bodies\nVersion: 1.0\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(HERE)))}


@pytest.fixture
def runs(tmp_path: Path, plugin: dict[str, str]) -> Iterator[Runs]:
    """Runs in an empty workspace."""
    made = Runs(Workspace(tmp_path / "workspace"), plugin)
    yield made
    made.end_all()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small file system cannot be made here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A memory cgroup below our own, of 96 MiB; whoever writes its pid to `cgroup.procs` is in it, with its children."""
    folder = _make_cgroup()
    yield folder
    Runs.until(lambda: not (folder / "cgroup.procs").read_text(), "the end of all in the cgroup")
    folder.rmdir()


def _make_cgroup() -> Path:
    from codex.runs.oom import cgroup_files

    for file, limit in ((file, name) for file in cgroup_files() for name in ("memory.max", "memory.limit_in_bytes")):
        folder = file.parent / f"codex-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(96 * 2**20))
        except OSError:
            folder.rmdir()
            continue
        return folder
    pytest.skip("no memory cgroup can be made below our own")


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[str]]:
    """Starts another Python that finds `codex`."""

    def start(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, text=True, **options)  # type: ignore[call-overload]

    return start
