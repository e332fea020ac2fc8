"""A forked child writes a segment of its own and cannot hurt its parent's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from codex.sessionlog import SessionLog

FORK = """
import os, sys, threading
from codex.core.errors import UserError
from codex.sessionlog import SessionLog
log = SessionLog.open(sys.argv[1])
session = log.session("training", id="parent")
session.append("info", "before")
hammering = threading.Event()
def hammer():
    with log.session("training", id="hammer") as other:
        for number in range(3000):
            other.append("info", str(number))
            hammering.set()
thread = threading.Thread(target=hammer)
thread.start()
hammering.wait()
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        try:
            session.append("info", "from the child")
        except UserError as error:
            with log.session("training", id=f"child-{child}") as own:
                own.append("user", str(error))
                for number in range(50):
                    own.append("info", str(number))
            session.close()
            log.close()
            os._exit(len(log.events("parent")) == 0)
        os._exit(2)
    children.append(pid)
for number in range(50):
    session.append("info", str(number))
thread.join()
print([os.waitpid(pid, 0)[1] for pid in children], os.getpid())
log.close()
"""


def test_children_write_their_own_segments_while_the_parent_writes_on(folder: Path, segments: Path, run_python: Callable[..., str]) -> None:
    statuses, _, parent = run_python(FORK, folder).strip().rpartition(" ")
    assert statuses == "[0, 0, 0, 0]"
    log = SessionLog.open(folder)
    assert log.check().ok and log.check().torn == ()
    assert Counter({info.id: info.events for info in log.sessions()}) == {
        "parent": 53,
        "hammer": 3002,
        **{f"child-{child}": 53 for child in range(4)},
    }
    assert f"'parent' belongs to process {parent}, from which this one was forked" in log.events("child-0")[1].content
    writers = [{json.loads(line)["session"] for line in path.read_bytes().splitlines()} for path in segments.iterdir()]
    assert sorted(map(sorted, writers)) == [["child-0"], ["child-1"], ["child-2"], ["child-3"], ["hammer", "parent"]]


def test_child_that_outlives_a_killed_parent_does_not_hold_its_session(
    log: SessionLog, folder: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    parent = start_python(
        """
import os, sys, time
from codex.sessionlog import SessionLog
session = SessionLog.open(sys.argv[1]).session("training", id="t")
child = os.fork()
if child == 0:
    print(os.getpid(), flush=True)
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    time.sleep(60)
    os._exit(0)
time.sleep(60)
""",
        folder,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    try:
        with log.session("training", id="t") as session:
            assert session.append("info").seq == 2
    finally:
        os.kill(child, signal.SIGKILL)


ASKED = """
import multiprocessing, os, sys
from codex.sessionlog import SessionLog
SessionLog.open(sys.argv[1]).compact(grace_seconds=0)
log = SessionLog.open(sys.argv[1])
session = log.session("training", id="known")  # asks the parts for its last seq
session.append("user", "zebra in the parent")
asked = log.sql("select count(*) from events")
def answers():
    found = [log.sql("select count(*) from events").fetchall()[0][0], len(log.search("zebra")), len(log.events("known"))]
    with log.session("chat") as own:
        own.append("user", "a zebra in the child")
    return found
expected = [asked.fetchall()[0][0], len(log.search("zebra")), len(log.events("known"))]
def work(pipe):
    pipe.send(answers())
here, there = multiprocessing.Pipe()
process = multiprocessing.get_context("fork").Process(target=work, args=(there,))
process.start()
assert here.poll(60), "the child says nothing"
assert here.recv() == expected
process.join(60)
codes = [process.exitcode]
for leave in (os._exit, sys.exit):
    pid = os.fork()
    if pid == 0:
        leave(0)
    codes.append(os.waitpid(pid, 0)[1])
print(codes, len(log.search("zebra")), len(expected))
"""


def test_child_of_a_process_that_asked_ends_well_and_can_ask_and_write_itself(folder: Path, run_python: Callable[..., str]) -> None:
    with SessionLog.open(folder) as log, log.session("training", id="known") as session:
        session.append("user", "a zebra long ago")
    assert run_python(ASKED, folder).strip() == "[0, 0, 0] 3 3"
