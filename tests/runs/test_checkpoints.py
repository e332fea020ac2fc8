"""Checkpoints are complete or absent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.runs.checkpoints import (
    complete_checkpoints,
    newest_checkpoint,
    partial_checkpoint,
    publish,
    published_checkpoint,
    rotate,
    sweep,
)

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from codex.runs.checkpoints import complete_checkpoints, partial_checkpoint, publish, published_checkpoint, rotate
run, step = Path(sys.argv[1]), 0
while True:
    step += 1
    partial = partial_checkpoint(run, step)
    (partial / "inner").mkdir(parents=True)
    for number in range(5):
        (partial / "inner" / f"part-{number}").write_bytes(bytes([step % 256]) * 20_000)
    publish(partial, published_checkpoint(run, step))
    rotate(run, 2)
    print(step, flush=True)
"""


def write(run: Path, step: int, text: str = "weights") -> Path:
    partial = partial_checkpoint(run, step)
    (partial / "inner").mkdir(parents=True)
    (partial / "weights").write_text(text)
    (partial / "inner" / "state").write_text(text)
    return partial


def make(run: Path, *steps: int) -> None:
    for step in steps:
        publish(write(run, step), published_checkpoint(run, step))


def steps(run: Path) -> list[str]:
    return [path.name for path in complete_checkpoints(run)]


def test_checkpoints_are_listed_by_step_not_by_name(tmp_path: Path) -> None:
    assert complete_checkpoints(tmp_path) == [] and newest_checkpoint(tmp_path) is None
    make(tmp_path, 100, 20, 3)
    for name in ("checkpoint-", "checkpoint-x", "checkpoint-٣", "other", "30"):
        (tmp_path / "checkpoints" / name).mkdir()
    (tmp_path / "checkpoints" / "checkpoint-500").write_text("a file is no checkpoint")
    assert steps(tmp_path) == ["checkpoint-3", "checkpoint-20", "checkpoint-100"]
    assert newest_checkpoint(tmp_path) == published_checkpoint(tmp_path, 100)


def test_partial_checkpoint_is_absent_until_it_is_published(tmp_path: Path) -> None:
    partial = write(tmp_path, 5)
    assert complete_checkpoints(tmp_path) == []
    publish(partial, published_checkpoint(tmp_path, 5))
    assert steps(tmp_path) == ["checkpoint-5"] and not partial.exists()


def test_publish_over_an_older_one_replaces_it_whole(tmp_path: Path) -> None:
    publish(write(tmp_path, 5, "old"), published_checkpoint(tmp_path, 5))
    (published_checkpoint(tmp_path, 5) / "only-old").touch()
    publish(write(tmp_path, 5, "new"), published_checkpoint(tmp_path, 5))
    assert sorted(path.name for path in published_checkpoint(tmp_path, 5).iterdir()) == ["inner", "weights"]
    assert (published_checkpoint(tmp_path, 5) / "weights").read_text() == "new"


def test_publish_of_nothing_leaves_the_old_one(tmp_path: Path) -> None:
    make(tmp_path, 5)
    with pytest.raises(FileNotFoundError):
        publish(partial_checkpoint(tmp_path, 5), published_checkpoint(tmp_path, 5))
    assert steps(tmp_path) == ["checkpoint-5"]


def test_publish_syncs_every_file_and_folder_before_the_name(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    trace = tmp_path / "trace"
    code = f"""
from pathlib import Path
from codex.runs.checkpoints import *
run = Path({str(tmp_path)!r})
publish(partial_checkpoint(run, 1), published_checkpoint(run, 1))
"""
    write(tmp_path, 1)
    from codex.core.paths import PACKAGE

    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(trace), sys.executable, "-c", code]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if done.returncode:
        pytest.skip(f"strace cannot trace here: {done.stderr.strip()[-200:]}")
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines() if ".partial-1" in line or "fsync" in line]
    names = [call.split("<")[1].split(">")[0].rpartition("checkpoints")[2] if "fsync" in call else "rename" for call in calls]
    assert sorted(names[:-2]) == ["/.partial-1", "/.partial-1/inner", "/.partial-1/inner/state", "/.partial-1/weights"]
    assert names[-2:] == ["rename", ""]


def test_sweep_removes_partials_only(tmp_path: Path) -> None:
    assert sweep(tmp_path) == []
    make(tmp_path, 1, 2)
    write(tmp_path, 3)
    (tmp_path / "checkpoints" / ".partial-file").write_text("")
    assert sweep(tmp_path) == [".partial-3", ".partial-file"]
    assert steps(tmp_path) == ["checkpoint-1", "checkpoint-2"] and len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_rotate_keeps_the_newest(tmp_path: Path) -> None:
    make(tmp_path, 5, 10, 100, 20)
    assert rotate(tmp_path, 2) == [5, 10]
    assert steps(tmp_path) == ["checkpoint-20", "checkpoint-100"]
    assert rotate(tmp_path, 2) == []
    with pytest.raises(ValueError, match="keep is 0"):
        rotate(tmp_path, 0)


def test_rotate_that_breaks_half_way_leaves_no_half_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, 1, 2)

    def break_half_way(folder: Path) -> None:
        (Path(folder) / "weights").unlink()
        raise OSError("cut off")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="cut off"):
        patch.setattr(shutil, "rmtree", break_half_way)
        rotate(tmp_path, 1)
    assert steps(tmp_path) == ["checkpoint-2"]
    assert sweep(tmp_path) == [".partial-removed-checkpoint-1"]


def test_writer_killed_at_any_moment_leaves_only_whole_checkpoints(tmp_path: Path, python: Callable[..., subprocess.Popen[str]]) -> None:
    for kill in range(4):
        with python(WRITE_FOR_EVER, str(tmp_path), stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3 + 5 * kill):
                writer.stdout.readline()
            os.kill(writer.pid, signal.SIGKILL)
        whole = complete_checkpoints(tmp_path)
        assert 1 <= len(whole) <= 3, "two are kept, and a third while it is rotated"
        for checkpoint in whole:
            step = int(checkpoint.name.rpartition("-")[2])
            parts = sorted((checkpoint / "inner").iterdir())
            assert [part.read_bytes() for part in parts] == [bytes([step % 256]) * 20_000] * 5
        sweep(tmp_path)
        rotate(tmp_path, 1)
        for checkpoint in complete_checkpoints(tmp_path):
            checkpoint.rename(tmp_path / f"kept-{kill}")
