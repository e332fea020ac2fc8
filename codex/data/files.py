"""Open a file that should be text, one row a line, or say what it is instead."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from codex.core.errors import DataError

_POLARS = "Convert it: `python -c 'import polars, sys; polars.{reader}(sys.argv[1]).write_ndjson(sys.argv[2])' {name} {jsonl}`."
_OTHER_SUFFIXES = {
    ".csv": ("CSV", _POLARS.replace("{reader}", "read_csv")),
    ".tsv": ("TSV", _POLARS.replace("{reader}(sys.argv[1])", 'read_csv(sys.argv[1], separator="\\t")')),
    ".parquet": ("Parquet", _POLARS.replace("{reader}", "read_parquet")),
    ".arrow": ("Arrow", _POLARS.replace("{reader}", "read_ipc")),
    ".feather": ("Arrow", _POLARS.replace("{reader}", "read_ipc")),
    ".xlsx": ("Excel", "Save it as CSV, then convert that to JSONL."),
    ".gz": ("gzip", "Unpack it: `gunzip -k {name}`."),
    ".zip": ("zip", "Unpack it: `unzip {name}`."),
    ".zst": ("zstd", "Unpack it: `zstd -dk {name}`."),
}
_OTHER_MAGIC = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"\x1f\x8b": ".gz", b"PK\x03\x04": ".zip", b"\x28\xb5\x2f\xfd": ".zst"}
_LIST_FIX = (
    "Convert it: `python -c 'import json, sys; [print(json.dumps(row)) for row in json.load(open(sys.argv[1], encoding=\"utf-8-sig\"))]' "
    "{name} > {jsonl}`."
)


def lines_of(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, byte offset, bytes) of each line of a file that looks like text.

    Raises:
        DataError: the file is missing, is no regular file, cannot be read, or is plainly something else.
    """
    _refuse_other_kinds(path)
    try:
        with open(path, "rb") as file:
            _refuse_other_content(path, file.peek(8)[:8])
            offset = 0
            for number, raw in enumerate(file, 1):
                yield number, offset, raw
                offset += len(raw)
    except OSError as error:
        raise DataError(
            f"{str(path)!r} cannot be read ({error.strerror or error})",
            "expected a file that you may read",
            _filled("Look at it with `ls -l {name}`.", path),
        ) from error


def _refuse_other_kinds(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise missing(path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{str(path)!r} cannot be read ({reason})", "expected a JSONL file", "Name another file.") from error
    if stat.S_ISDIR(mode):
        inside = sorted(each.name for each in path.glob("*.jsonl"))
        fix = f"Name a file in it: `{path / inside[0]}`." if inside else "Name a file; there is no JSONL file in this folder."
        raise DataError(f"{str(path)!r} is a folder", "expected a JSONL file", fix)
    if not stat.S_ISREG(mode):
        raise DataError(
            f"{str(path)!r} is no regular file", "expected a JSONL file, for it is read more than once", "Write it to a file first."
        )
    suffix = path.suffix.lower()
    if suffix in _OTHER_SUFFIXES:
        raise _other(path, suffix)


def _filled(fix: str, path: Path) -> str:
    return fix.format(name=shlex.quote(str(path)), jsonl=shlex.quote(str(path.with_suffix(".jsonl"))))


def _other(path: Path, suffix: str) -> DataError:
    kind, fix = _OTHER_SUFFIXES[suffix]
    return DataError(f"{str(path)!r} is {kind}", "expected JSONL; nothing else can be read yet", _filled(fix, path))


def _refuse_other_content(path: Path, start: bytes) -> None:
    for magic, suffix in _OTHER_MAGIC.items():
        if start.startswith(magic):
            raise _other(path, suffix)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{str(path)!r} begins with {start[:2]!r} at offset 0 of line 1, the mark of UTF-16",
            "expected UTF-8",
            _filled("Convert it: `iconv -f UTF-16 -t UTF-8 {name}` into another file.", path),
        )


def _files_in(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir() if each.is_file()]
    except PermissionError:
        return []  # a folder that may be entered but not listed: there is no nearest name to tell


def missing(path: Path, also: tuple[str, ...] = ()) -> DataError:
    """The error for a file that is not there, with the nearest name in its folder or among `also`."""
    folder = path.parent
    if not folder.is_dir():
        return DataError(
            f"{str(path)!r} does not exist", f"expected a JSONL file; the folder {str(folder)!r} is missing too", "Mend the path."
        )
    near = get_close_matches(path.name, [*_files_in(folder), *also], n=1, cutoff=0.5)
    fix = f"Use {near[0] if near[0] in also else str(folder / near[0])!r}." if near else "Name a file that exists."
    names = f", or {' or '.join(repr(name) for name in also)}" if also else ""
    return DataError(f"{str(path)!r} does not exist", f"expected a JSONL file{names}", fix)


def json_list(path: Path) -> DataError:
    """The error for a file that holds one JSON list."""
    return DataError(
        f"{str(path)!r} holds one JSON list",
        "expected JSONL: one JSON object a line",
        _filled(_LIST_FIX, path),
    )
