"""An export is there whole or not at all, and takes nobody's name."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from codex.core.errors import UserError
from codex.sessionlog.interchange.files import new_file, opened


def test_new_file_has_its_name_only_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.out"
    with new_file(path) as draft:
        draft.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole" and list(tmp_path.glob("*.out")) == [path]


def test_failure_leaves_neither_file_nor_draft(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "a.out") as sink:
        sink.write(b"half")
        raise ZeroDivisionError
    assert set(tmp_path.iterdir()) == before


def test_name_that_is_taken_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.out"
    path.write_bytes(b"mine")
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "nowhere")
    for taken in (path, dangling):
        with pytest.raises(UserError, match="is there already; expected the path of a new file"), new_file(taken):
            pytest.fail("the block ran")
    assert path.read_bytes() == b"mine"


def test_name_that_is_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.out"
    with pytest.raises(UserError, match="is there already"), new_file(path) as draft:
        draft.write_bytes(b"ours")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs" and not list(tmp_path.glob(".*.tmp"))


def test_folder_that_is_not_there_is_the_persons_to_make(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was not written"), opened(tmp_path / "no" / "a.out") as sink:
        sink.write(b"x")


def test_gz_is_packed_and_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with opened(tmp_path / name) as sink:
            sink.write(b"text" * 100)
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"text" * 100
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[3:8] == bytes(5)  # neither a name nor a time


def test_stream_stays_open_and_is_flushed() -> None:
    below = io.BytesIO()
    stream = io.BufferedWriter(below)  # pyright: ignore[reportArgumentType]
    with opened(stream) as sink:
        sink.write(b"x")
    assert below.getvalue() == b"x" and not stream.closed
