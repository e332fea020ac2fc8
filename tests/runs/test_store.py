"""Making, finding, stopping, renaming and deleting runs, with several processes at it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codex.core.errors import RunError, UserError
from codex.core.paths import Workspace
from codex.runs.launching import start_supervisor
from codex.runs.locks import RunLock
from codex.runs.record import Run
from codex.runs.store import RunStore

if TYPE_CHECKING:
    from tests.runs.conftest import Runs

PythonStarter = Callable[..., subprocess.Popen[str]]

CREATE = """
import os, signal, sys
from pathlib import Path
from codex.core.paths import Workspace
from codex.runs.store import RunStore

class Deadly(dict):
    def items(self):
        yield "asked.yaml", "a: 1"
        os.kill(os.getpid(), signal.SIGKILL)

store = RunStore(Workspace(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    print(store.create("count", "raced", {"asked.yaml": "a: 1"}).id, flush=True)
if sys.argv[3] == "die":
    store.create("count", "never", Deadly())
"""


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(Workspace(tmp_path / "workspace"))


def create(store: RunStore, title: str = "a title") -> Run:
    return store.create("count", title, {"asked.yaml": "asked: 1\n", "resolved.yaml": "whole: ü\n"})


def test_create_makes_a_whole_folder(store: RunStore) -> None:
    run = create(store)
    assert (run.id, run.kind, run.title, run.number) == ("r-0001", "count", "a title", 1)
    assert run.asked.read_text() == "asked: 1\n" and run.resolved.read_text(encoding="utf-8") == "whole: ü\n"
    assert run.checkpoints.is_dir() and run.folder == store.workspace.runs / "r-0001"
    assert run.argv[-2:] == ("codex.runs.worker", str(run.folder))
    [view] = store.list()
    assert view.run == run and view.state == "queued" and not view.active and view.problem is None
    assert view.to_json()["title"] == "a title" and view.to_json()["state"] == "queued"


def test_create_in_eight_processes_gives_every_run_its_own_id(store: RunStore, python: PythonStarter) -> None:
    makers = [python(CREATE, str(store.workspace.root), "5", "", stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(8)]
    for maker in makers:
        assert maker.stdout is not None and maker.stdout.readline() == "ready\n"
    said = [line for lines in ThreadPoolExecutor(8).map(lambda maker: maker.communicate("go\n")[0].split(), makers) for line in lines]
    assert sorted(said) == [f"r-{number:04d}" for number in range(1, 41)]
    assert [view.id for view in store.list()] == sorted(said)
    assert all(view.run.asked.read_text() == "a: 1" and not view.problem for view in store.list())
    assert not list(store.workspace.runs.glob(".new-*"))


def test_create_killed_half_way_shows_no_run_and_is_swept(store: RunStore, python: PythonStarter) -> None:
    with python(CREATE, str(store.workspace.root), "0", "die", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        maker.communicate("go\n")
    assert maker.returncode == -signal.SIGKILL
    assert store.list() == []
    [leftover] = store.workspace.runs.glob(".new-*")
    assert (leftover / "asked.yaml").exists()
    assert create(store).id == "r-0001" and leftover.exists(), "its maker could still be about to lock it"
    an_hour_ago = time.time() - 3600
    os.utime(leftover, (an_hour_ago, an_hour_ago))
    lock = RunLock.take(leftover)
    assert lock is not None
    with lock:
        create(store)
        assert leftover.exists(), "its maker lives"
    create(store)
    assert not leftover.exists()


@pytest.mark.parametrize("name", ["n" * 300, "\0"])
def test_create_fails_half_way_leaves_nothing(store: RunStore, name: str) -> None:
    class Files(Mapping[str, str]):
        """Says a good name first, so that something was written when the bad one comes."""

        def __getitem__(self, key: str) -> str:
            return "text"

        def __iter__(self) -> Iterator[str]:
            return iter(("asked.yaml", name))

        def __len__(self) -> int:
            return 2

    with pytest.raises((RunError, ValueError)):
        store.create("count", "title", Files())
    assert list(store.workspace.runs.iterdir()) == [] and store.list() == []


def test_create_on_a_full_disk_says_so_and_leaves_nothing(small_disk: Path) -> None:
    store = RunStore(Workspace(small_disk / "workspace"))
    store.workspace.create()
    with pytest.raises(RunError, match=r"a run titled 'big' cannot be made .*No space left on device"):
        store.create("count", "big", {"resolved.yaml": "x" * 2**20})
    assert list(store.workspace.runs.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "run.json", "status.json"])
def test_create_with_a_file_of_its_own_name_is_a_mistake_of_the_caller(store: RunStore, name: str) -> None:
    with pytest.raises(ValueError, match="no name for a file"):
        store.create("count", "title", {name: ""})


@pytest.mark.parametrize("title", ["", "   ", "two\nlines", "x" * 201, "bell\a", "\udcff"])
def test_title_that_cannot_be_shown_is_refused(store: RunStore, title: str) -> None:
    run = create(store)
    for use in (lambda: create(store, title), lambda: store.rename(run, title)):
        with pytest.raises(RunError, match=r"the title .* cannot be used; expected 1 to 200 printable characters"):
            use()
    assert [view.run.title for view in store.list()] == ["a title"]


def test_get_finds_by_id_number_last_title_and_beginning(store: RunStore) -> None:
    runs = [create(store, title) for title in ("Alpha one", "Alpha two", "beta", "7")]
    for name, expected in {
        "r-0002": 1, "2": 1, "last": 3, "Alpha two": 1, "alpha ONE": 0, "be": 2, "r-0003": 2, "7": 3, " 0003 ": 2,
    }.items():  # fmt: skip
        assert store.get(name) == runs[expected], name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "r-0009",
            r"run 'r-0009' is unknown; expected an id or a title, or `last`; the latest are r-0001, r-0002. Did you mean 'r-000\d'\?",
        ),
        ("alpah one", r"Did you mean 'Alpha one'\?"),
        ("9", "run '9' is unknown"),
        ("zzz", "List the runs: `codex-ml runs list`."),
        ("", "run '' is unknown"),
        ("alpha", r"'alpha' names 2 runs: r-0001 \(Alpha one\), r-0002 \(Alpha two\); expected one. Use its id"),
        ("1" * 5000, "is unknown"),
        ("../r-0001", "is unknown"),
    ],
)
def test_get_what_is_not_there_names_the_nearest(store: RunStore, name: str, message: str) -> None:
    create(store, "Alpha one")
    create(store, "Alpha two")
    with pytest.raises(RunError, match=message):
        store.get(name)


def test_get_in_an_empty_workspace_says_how_to_start_one(store: RunStore) -> None:
    with pytest.raises(RunError, match=r"run 'last' is unknown; there are no runs yet. Start one"):
        store.get("last")
    assert not store.workspace.root.exists(), "reading makes nothing"


def test_rename_stays_while_the_run_runs(runs: Runs) -> None:
    run = runs.hold()
    assert runs.store.rename(run, "  better name ").title == "better name"
    runs.release(run)
    assert runs.end(run).run.title == "better name"
    assert runs.store.get("better name").id == run.id


def test_delete_frees_what_it_said_and_the_id_is_not_used_again(store: RunStore) -> None:
    kept, run = create(store), create(store)
    (run.checkpoints / "checkpoint-5").mkdir()
    (run.checkpoints / "checkpoint-5" / "weights").write_bytes(b"x" * 100_000)
    preview = store.preview_delete(run)
    assert preview.bytes >= 100_000 and (preview.checkpoints, preview.adapter) == (1, False)
    assert store.delete(run) == preview.bytes
    assert [view.id for view in store.list()] == [kept.id]
    assert create(store).id == "r-0003"
    with pytest.raises(RunError, match=r"is gone|is no run"):
        store.delete(run)
    assert not list(store.workspace.runs.glob(".deleted-*"))


def test_running_run_is_neither_deleted_nor_resumed(runs: Runs) -> None:
    run = runs.hold()
    for act, message in (
        (runs.store.delete, "run 'r-0001' runs; expected one that does not. Stop it first"),
        (runs.launch, "run 'r-0001' runs already; expected one that does not run"),
    ):
        with pytest.raises(RunError, match=message):
            act(run)
    runs.kill(run, "supervisor")
    with pytest.raises(RunError, match="runs already"):
        runs.launch(run)
    with pytest.raises(RunError, match="runs; expected"):
        runs.store.delete(run)
    assert runs.store.view(run).state == "running" and run.resolved.exists()


def test_launch_by_six_at_once_one_wins(runs: Runs) -> None:
    run = runs.make("hold")

    def launch(_: int) -> str:
        try:
            runs.launch(run)
        except RunError as error:
            return error.problems[0].what
        return "launched"

    said = sorted(ThreadPoolExecutor(6).map(launch, range(6)))
    assert said == ["launched", *["run 'r-0001' runs already"] * 5]
    runs.until_working(run)
    assert runs.store.view(run).status.attempt == 1


def test_launch_while_somebody_looks_waits_for_the_lock(runs: Runs) -> None:
    run = runs.make("count", "1")
    lock = RunLock.take(run.folder)
    assert lock is not None
    with ThreadPoolExecutor(1) as pool:
        launched = pool.submit(runs.launch, run)
        with pytest.raises(TimeoutError):
            launched.result(timeout=1)
        lock.release()
        launched.result()
    assert runs.end(run).state == "finished"


def test_finished_run_is_not_launched_again(runs: Runs) -> None:
    run = runs.start("count", "1")
    runs.end(run)
    with pytest.raises(RunError, match=r"run 'r-0001' has finished; expected one that has not. Start a new run"):
        runs.launch(run)
    with pytest.raises(RunError, match="run 'r-0001' does not run: it is finished"):
        runs.store.stop(run)
    assert runs.store.view(run).status.attempt == 1


def test_launch_without_room_or_folder_says_why(runs: Runs, small_disk: Path) -> None:
    small = RunStore(Workspace(small_disk / "workspace"))
    run = create(small)
    (small_disk / "filler").write_bytes(b"")
    with pytest.raises(OSError, match="No space"), open(small_disk / "filler", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(RunError, match=r"(cannot|not) be? ?(started|started:).*No space left on device"):
        small.launch(run)
    assert small.view(run).state == "queued"
    gone = runs.make("count", "1")
    runs.store.delete(gone)
    with pytest.raises(RunError, match="run 'r-0001' was not started: No such file or directory"):
        runs.launch(gone)


def test_start_without_room_for_more_files_leaves_nothing(small_disk: Path) -> None:
    small = RunStore(Workspace(small_disk / "workspace").create())
    begun, said = False, list[str]()
    while not begun:
        disk = os.statvfs(small_disk)
        files = disk.f_files - disk.f_ffree + len(said) + 1
        subprocess.run(["mount", "-o", f"remount,nr_inodes={files}", str(small_disk)], check=True)
        try:
            small.start(kind="count", title="t", files={"asked.yaml": ""})
            begun = True
        except UserError as error:
            said.append(str(error))
            assert small.list() == []
    assert any("nothing was left behind" in text for text in said), "the launch itself failed at least once"


def test_start_whose_supervisor_breaks_leaves_nothing_and_says_so(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "argparse.py").write_text("raise ImportError('a broken module')")
    monkeypatch.setattr(RunStore, "launch", lambda self, run: start_supervisor(run, {"PYTHONPATH": str(tmp_path)}))
    with pytest.raises(RunError, match=r"a broken module.*nothing was left behind"):
        runs.store.start(kind="count", title="t", files={"asked.yaml": ""})
    assert runs.store.list() == []


def test_launch_that_breaks_before_it_begins_shows_the_last_line(runs: Runs, tmp_path: Path) -> None:
    run = runs.make("count", "1")
    (tmp_path / "argparse.py").write_text("raise ImportError('a broken module')")
    with pytest.raises(RunError, match="was not started: ImportError: a broken module; expected its supervisor to begin"):
        runs.launch(run, PYTHONPATH=str(tmp_path))
    assert runs.store.view(run).state == "queued"


def test_stop_of_a_run_that_waits_is_refused(store: RunStore) -> None:
    run = create(store)
    with pytest.raises(RunError, match="run 'r-0001' does not run: it is queued; expected a running one"):
        store.stop(run)
