"""Processes beside this one: real ones, really cancelled, really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import CodexError, ConfigError, DataError, MissingExtra, ModelError, UserError
from codex.core.paths import PACKAGE, Workspace
from codex.runs.status import ProcessId
from codex.services import children
from codex.services.child_host import ORPHAN_SECONDS
from codex.services.children import OFFLINE, Birth, Child, ChildDied, ChildFailed, Life
from tests.services.child_handler import FIRST, SECOND

PATIENCE_SECONDS = 30.0
HANDLER = "tests.services.child_handler:Handler"
NAME = "The test's process"

Start = Callable[..., Child]


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.01)


def process_of(pid: int) -> ProcessId:
    """Process `pid`, which lives."""
    from codex.core.clock import process_start

    start = process_start(pid)
    assert start is not None
    return ProcessId(pid, start)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Makes children with the test's handler in a workspace `tmp_path`; keyword arguments are those of `Birth`."""
    made: list[Child] = []

    def make(**options: Any) -> Child:
        child = Child(Birth(NAME, options.pop("handler", HANDLER), Workspace(tmp_path), **options))
        made.append(child)
        return child

    yield make
    for child in made:
        child.close(patience_s=0.1)


def test_child_is_started_by_its_first_request_and_answers(start: Start) -> None:
    child = start()
    value = {"text": "ü\ud800\n", "list": [1, 2.5, None], "long": "x" * 300_000}
    assert child.call("echo", value=value) == value
    assert child.call("count", name="a", to=2) == "a made 2"


def test_stream_gives_pieces_as_they_come_and_returns_the_value(start: Start) -> None:
    stream = start().stream("count", name="a", to=3)
    assert [next(stream)["number"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert end.value.value == "a made 3"


def test_child_stands_back_in_a_session_of_its_own_and_imports_nothing_heavy(start: Start) -> None:
    child = start(environment={"EXTRA": "1"})
    about = child.call("about")
    assert about["pid"] == about["session"] == child.life().pid
    assert (about["nice"], about["oom"]) == (os.nice(0) + 5, 1000)
    assert about["environment"]["EXTRA"] == "1"
    assert about["stdin"] == os.devnull
    assert not {"pydantic", "numpy", "torch", "transformers"} & set(about["modules"])


def test_child_is_offline_unless_it_is_to_reach_a_hub(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OFFLINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "yes")
    offline, online = (start(online=online).call("about")["environment"] for online in (False, True))
    assert [offline[name] for name in OFFLINE] == ["1"] * 4
    assert {name: online.get(name) for name in OFFLINE} == {**dict.fromkeys(OFFLINE), "HF_DATASETS_OFFLINE": "yes"}
    assert online["DO_NOT_TRACK"] == "1"


def test_what_a_handler_prints_is_never_a_reply_and_standard_input_is_empty(start: Start) -> None:
    child = start()
    stream = child.stream("babble")
    assert [next(stream)["number"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert end.value.value == ""
    until(lambda: child.life().lines()[-1].endswith("xxx"), "the last line")
    assert sum(map(len, child.life().lines())) <= children.TAIL_BYTES


@pytest.mark.parametrize(
    ("kind", "error_class", "problems"),
    [
        ("config", ConfigError, (FIRST, SECOND)),
        ("data", DataError, (FIRST, SECOND)),
        ("extra", MissingExtra, MissingExtra("mlflow", "tracking", "MLflow tracking").problems),
        ("own", ModelError, ModelError("the model 'm' is odd", "expected an even one", "Take another.").problems),
    ],
)
def test_user_error_of_a_child_arrives_with_its_class_and_all_its_problems(
    start: Start, kind: str, error_class: type[UserError], problems: tuple[Any, ...]
) -> None:
    with pytest.raises(UserError) as raised:
        start().call("mistake", kind=kind)
    assert type(raised.value) is error_class
    assert raised.value.problems == problems
    assert str(raised.value) == "\n".join(map(str, problems))


def test_child_lives_on_after_an_error_of_ours_which_is_told_with_its_last_lines(start: Start) -> None:
    child = start()
    pid = child.call("about")["pid"]
    stream = child.stream("break_down")
    assert next(stream) == {"number": 0}
    with pytest.raises(ChildFailed, match="The test's process could not do it: ZeroDivisionError: there is no tenth\n") as raised:
        next(stream)
    assert isinstance(raised.value, CodexError) and not isinstance(raised.value, UserError)
    assert raised.value.lines[-2:] == ("ZeroDivisionError: there is no tenth", "of nothing")
    for op, said in (("unsayable", "not JSON serializable"), ("no_such", "no attribute 'no_such'")):
        with pytest.raises(ChildFailed, match=said):
            child.call(op)
    assert child.call("about")["pid"] == pid


def test_handler_that_cannot_be_imported_is_told(start: Start) -> None:
    with pytest.raises(ChildFailed, match=r"No module named 'tests\.services\.no_such'"):
        start(handler="tests.services.no_such:Handler").call("echo", value=1)


def test_child_that_leaves_is_told_with_code_and_last_lines_and_started_again(start: Start) -> None:
    child = start()
    pid = child.call("about")["pid"]
    with pytest.raises(ChildDied) as raised:
        child.call("leave", code=3)
    assert str(raised.value) == "The test's process ended: exit code 3.\nabout to leave"
    assert (raised.value.why, raised.value.lines) == ("exit code 3", ("about to leave",))
    assert child.call("about")["pid"] != pid


def test_child_that_is_killed_is_told_to_everyone_who_waits(start: Start) -> None:
    child = start()
    child.call("echo", value=1)
    life = child.life()
    running = life.ask("count", name="a", to=10**6, pause=0.01).pieces()
    waiting = life.ask("echo", value=1).pieces()
    next(running)
    os.kill(life.pid, signal.SIGKILL)
    for pieces in (running, waiting):
        with pytest.raises(ChildDied, match=r"^The test's process ended: killed by signal 9 \(SIGKILL\)\.$"):
            list(pieces)
    with pytest.raises(ChildDied, match="SIGKILL"):
        life.ask("echo", value=1)
    life.close()
    assert child.call("echo", value=2) == 2


def test_child_that_the_kernel_killed_for_memory_is_told_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([4, 5])
    monkeypatch.setattr(children, "oom_kills", lambda: next(counts))
    child = start()
    running = child.stream("count", name="a", to=10**6, pause=0.01)
    next(running)
    os.kill(child.life().pid, signal.SIGKILL)
    with pytest.raises(ChildDied, match=r"ended: out of memory\.$"):
        list(running)


def test_closing_a_stream_cancels_its_work_and_the_next_request_goes_on(start: Start) -> None:
    child = start()
    stream = child.stream("count", name="a", to=10**6, pause=0.01)
    next(stream)
    stream.close()
    begins, ends = child.call("told")
    assert begins == "a begins"
    assert 1 <= int(ends.removeprefix("a ends at ")) < 1000


def test_request_that_is_cancelled_ends_in_order_for_who_reads_it(start: Start) -> None:
    request = start().life().ask("count", name="a", to=10**6, pause=0.01)
    pieces = request.pieces()
    next(pieces)
    request.cancel()
    assert children.last_of(pieces).startswith("a made ")
    request.cancel()  # once more, after its end: nothing happens


def test_request_that_is_cancelled_while_it_waits_never_begins(start: Start) -> None:
    child = start()
    first = child.life().ask("count", name="a", to=10**6, pause=0.01)
    second = child.life().ask("count", name="b", to=3)
    second.cancel()
    first.cancel()
    children.last_of(first.pieces())
    assert children.last_of(second.pieces()) is None
    assert not any(line.startswith("b ") for line in child.call("told"))


def test_threads_share_a_child_one_request_after_the_other_each_with_its_own_answers(start: Start) -> None:
    child = start()

    def ask(name: str) -> list[dict[str, Any]]:
        return list(child.stream("count", name=name, to=20, pause=0.002))

    names = ["a", "b", "c"]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(ask, names))
    assert answers == [[{"name": name, "number": number} for number in range(20)] for name in names]
    told = child.call("told")
    assert all(told[at].removesuffix(" begins") == told[at + 1].removesuffix(" ends at 20") for at in (0, 2, 4))
    assert child.call("about")["pid"] == child.life().pid


def test_idle_child_ends_in_order_and_the_next_request_starts_another(start: Start, tmp_path: Path) -> None:
    child = start(idle_s=0.2)
    child.call("count", name="a", to=1)
    life = child.life()
    process = process_of(life.pid)
    until(lambda: not process.lives(), "the idle child's end")
    assert (tmp_path / "closed").read_text() == "a begins\na ends at 1"
    until(lambda: not life.alive, "the news of it")
    with pytest.raises(ChildDied, match=r"ended: nothing was asked of it for 0\.2 s\.$"):
        life.ask("echo", value=1)
    assert child.call("told") == []


def test_requests_that_meet_an_idle_child_on_its_way_out_are_answered_by_another(start: Start) -> None:
    child = start(idle_s=0.05)
    for number in range(8):
        assert child.call("echo", value=number) == number
        time.sleep(0.05)


def test_close_ends_a_child_in_order_and_cancels_what_it_does(start: Start, tmp_path: Path) -> None:
    child = start()
    stream = child.stream("count", name="a", to=10**6, pause=0.01)
    next(stream)
    process = process_of(child.life().pid)
    child.close()
    assert not process.lives()
    assert (tmp_path / "closed").read_text().startswith("a begins\na ends at ")
    assert children.last_of(stream).startswith("a made ")
    with pytest.raises(ChildDied, match="ended: closed"):
        child.call("echo", value=1)


def test_close_kills_a_child_that_does_not_listen_and_tells_who_waits(start: Start, tmp_path: Path) -> None:
    child = start()
    mark = tmp_path / "mark"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(child.call, "hang", mark=str(mark))
        until(mark.exists, "the handler's mark")
        process = process_of(child.life().pid)
        began = time.monotonic()
        child.close("the test is over", patience_s=0.2)
        assert time.monotonic() - began < 5
        assert not process.lives()
        with pytest.raises(ChildDied, match="ended: the test is over"):
            waiting.result()


PARENT = f"""
import sys, threading
from pathlib import Path
from codex.core.paths import Workspace
from codex.services.children import Birth, Child
child = Child(Birth("Test", {HANDLER!r}, Workspace(Path(sys.argv[1]))))
threading.Thread(target=child.call, args=("hang",), kwargs={{"mark": sys.argv[1] + "/mark"}}).start()
"""


def test_child_ends_when_its_parent_is_killed_even_while_it_computes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], env=environment) as parent:
        mark = tmp_path / "mark"
        until(lambda: mark.exists() and mark.read_text(), "the handler's mark")
        process = process_of(int(mark.read_text()))
        parent.kill()
        killed = time.monotonic()
        until(lambda: not process.lives(), "the orphan's end")
        assert time.monotonic() - killed < ORPHAN_SECONDS + 5


def test_child_that_cannot_be_started_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "python_module", lambda *words: ["/no/such/python"])
    with pytest.raises(ChildDied, match=r"ended: it could not be started \(No such file or directory\)"):
        start().call("echo", value=1)


def test_ended_children_leave_no_thread_behind(start: Start) -> None:
    before = threading.active_count()
    child = start()
    child.call("echo", value=1)
    assert threading.active_count() == before + 2
    child.close()
    until(lambda: threading.active_count() == before, "the end of the threads")


@pytest.mark.parametrize("module", ["children", "child_host", "planner", "chats", "chat_child"])
def test_import_loads_no_torch_transformers_or_numpy(module: str) -> None:
    code = f"import codex.services.{module}, json, sys; print(json.dumps(list(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(answer.stdout))
    assert f"codex.services.{module}" in loaded
    assert not loaded & {"torch", "transformers", "numpy"}


def test_life_is_not_alive_once_its_process_was_killed(start: Start) -> None:
    life: Life = start().life()
    assert life.alive
    os.kill(life.pid, signal.SIGKILL)
    until(lambda: not life.alive, "the news of it")
