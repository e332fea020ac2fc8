"""A file is replaced whole, and lasts when it shall."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from codex.core import files
from codex.core.files import write_atomic

LONG, SHORT = b"a" * 400_000, b"b" * 7

REPLACE_FOR_EVER = """
import sys
from pathlib import Path
from codex.core.files import write_atomic
path = Path(sys.argv[1])
print("writing", flush=True)
while True:
    for content in (b"a" * 400_000, b"b" * 7):
        write_atomic(path, content, durable=False)
"""


def test_reader_sees_the_old_or_the_new_content_never_half(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, LONG, durable=False)
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(200):
            write_atomic(path, SHORT, durable=False)
            write_atomic(path, LONG, durable=False)
    finally:
        done.set()
        reader.join()
    assert seen <= {LONG, SHORT}


def test_reader_that_holds_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, LONG)
    with open(path, "rb") as held:
        write_atomic(path, SHORT)
        assert held.read() == LONG
    assert path.read_bytes() == SHORT


def test_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for delay in (0.0, 0.003, 0.01):
        with subprocess.Popen([sys.executable, "-c", REPLACE_FOR_EVER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"writing\n"
            while not path.exists():
                assert writer.poll() is None
            threading.Event().wait(delay)
            writer.send_signal(signal.SIGKILL)
        assert path.read_bytes() in (LONG, SHORT)
        path.unlink()


@pytest.mark.parametrize("durable", [True, False])
def test_durable_write_syncs_the_file_before_its_name_and_the_folder_after(
    durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        done.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def watched_replace(self: Path, target: Any) -> Path:
        done.append(("replace", Path(target)))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    path = tmp_path / "file"
    write_atomic(path, "text", durable=durable)
    named = [("replace", path)]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    assert done == ([("fsync", temporary), *named, ("fsync", tmp_path)] if durable else named)


def test_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "file"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in folder.iterdir()] == ["file"]
