"""Files that are no JSONL at all, or are not there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from codex.core.errors import DataError
from codex.data.files import lines_of
from codex.data.jsonl import read_file


def message_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(lines_of(path))
    (problem,) = caught.value.problems
    assert repr(str(path)) in problem.what
    assert problem.expected.startswith("expected")
    assert problem.fix
    return str(caught.value)


def test_lines_carry_number_offset_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xc3\xa4\nb\n\nc")
    assert list(lines_of(path)) == [(1, 0, b"\xc3\xa4\n"), (2, 3, b"b\n"), (3, 5, b"\n"), (4, 6, b"c")]


def test_missing_file_names_the_nearest_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "training.jsonl").touch()
    (tmp_path / "other.txt").touch()
    assert message_of(tmp_path / "trainig.jsonl").endswith(f"Use {str(tmp_path / 'training.jsonl')!r}.")
    assert message_of(tmp_path / "zzz").endswith("Name a file that exists.")


def test_missing_folder_is_said(tmp_path: Path) -> None:
    assert f"the folder {str(tmp_path / 'no')!r} is missing too" in message_of(tmp_path / "no" / "train.jsonl")


def test_path_through_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "does not exist" in message_of(tmp_path / "file" / "train.jsonl")


def test_folder_names_a_file_in_it(tmp_path: Path) -> None:
    assert "is a folder" in message_of(tmp_path)
    (tmp_path / "b.jsonl").touch()
    assert f"Name a file in it: `{tmp_path / 'b.jsonl'}`" in message_of(tmp_path)


def test_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is no regular file" in message_of(tmp_path / "pipe.jsonl")


def test_link_to_itself_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    assert "cannot be read (Too many levels of symbolic links)" in message_of(tmp_path / "loop.jsonl")


def test_name_that_no_file_can_have_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read (File name too long)" in message_of(tmp_path / ("x" * 300))
    assert "cannot be read (embedded null byte)" in message_of(tmp_path / "a\0b")


def test_file_without_permission_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.jsonl"
    path.write_text('{"text": "a"}')
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything: ask as nobody
        program = (
            "import os, sys; from pathlib import Path; from codex.core.errors import DataError; from codex.data.files import lines_of\n"
            "os.setuid(65534)\ntry: list(lines_of(Path(sys.argv[1])))\nexcept DataError as error: print(error)"
        )
        open_up(tmp_path)
        made = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
        message = made.stdout
    else:
        message = message_of(path)
    assert "secret.jsonl' cannot be read (Permission denied); expected a file that you may read" in message


def open_up(folder: Path) -> None:
    while folder != folder.parent and folder.stat().st_uid == os.getuid() and "pytest" in str(folder):
        folder.chmod(0o755)
        folder = folder.parent


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "CSV"), ("a.TSV", "TSV"), ("a.parquet", "Parquet"), ("a.xlsx", "Excel"), ("a.jsonl.gz", "gzip"), ("a.zip", "zip")],
)
def test_other_kind_of_file_is_named_by_its_suffix(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"whatever")
    assert f"is {kind}; expected JSONL; nothing else can be read yet" in message_of(tmp_path / name)


@pytest.mark.parametrize(
    ("start", "kind"), [(b"PAR1", "Parquet"), (b"\x1f\x8b\x08", "gzip"), (b"PK\x03\x04", "zip"), (b"\x28\xb5\x2f\xfd", "zstd")]
)
def test_other_kind_of_file_is_known_by_its_first_bytes(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "train.jsonl").write_bytes(start + b"\0" * 20)
    assert f"is {kind};" in message_of(tmp_path / "train.jsonl")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes('\ufeff{"text": "a"}'.encode(encoding))
    assert "the mark of UTF-16; expected UTF-8" in message_of(path)


@pytest.mark.parametrize(
    ("name", "write"), [("my data.csv", "write_csv"), ("a.tsv", "write_csv"), ("it's.parquet", "write_parquet"), ("a.arrow", "write_ipc")]
)
def test_conversion_that_the_message_gives_works(tmp_path: Path, name: str, write: str) -> None:
    import polars

    path = tmp_path / name
    frame = polars.DataFrame({"prompt": ["a", "b, c"], "completion": ['d "e"', "f"]})
    getattr(frame, write)(path, **({"separator": "\t"} if name.endswith("tsv") else {}))
    words = shlex.split(message_of(path).split("`")[1])
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], check=True)
    assert [(each.prompt, each.completion) for each in read_file(path.with_suffix(".jsonl")).examples] == list(frame.iter_rows())
