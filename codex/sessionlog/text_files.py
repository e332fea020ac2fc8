"""The files of a text index: how tantivy keeps them, sums them up and opens them."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from codex.sessionlog.failures import is_locked_out

_ENDINGS: Final = ("idx", "pos", "term", "store", "fast", "fieldnorm")
_MAGIC: Final = 1337
_TRIES: Final = 50


def tantivy_index(path: Path) -> Any:
    """The index in a folder, opened."""
    import tantivy

    return tantivy.Index.open(str(path))


def opened(path: Path) -> tuple[Any, bool]:
    """The index in a folder, opened, and whether it can be reloaded.

    Tantivy makes a lock file for that. Where none can be made it is opened through links from a folder where one can: what is
    open stays open without them.

    Raises:
        ValueError: it cannot be read.
        OSError: there is no folder for links.
    """
    try:
        return tantivy_index(path), True
    except ValueError as error:
        if not is_locked_out(error):
            raise
    folder = Path(tempfile.mkdtemp(prefix="codex-text-"))
    try:
        for each in path.iterdir():
            if each.suffix != ".lock":
                (folder / each.name).symlink_to(each.absolute())
        return tantivy_index(folder), False
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder of links; a thread of tantivy's may just be making a file there."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.01)


def files_of(segment: dict[str, Any]) -> Iterator[str]:
    """The names of a segment's files, as meta.json describes it."""
    stem = segment["segment_id"].replace("-", "")
    yield from (f"{stem}.{ending}" for ending in _ENDINGS)
    if segment["deletes"] is not None:
        yield f"{stem}.{segment['deletes']['opstamp']}.del"


def sums_up(path: Path) -> bool:
    """Whether a file of tantivy's has the CRC32 that it ends with: content, JSON with the sum, the JSON's length, 1337."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        length, magic = struct.unpack("<II", file.read(8).rjust(8, b"\0"))
        left = size - 8 - length
        if magic != _MAGIC or left < 0:
            return False
        file.seek(left)
        wanted = json.loads(file.read(length))["crc"]
        file.seek(0)
        crc = 0
        while left and (chunk := file.read(min(left, 2**20))):
            crc, left = zlib.crc32(chunk, crc), left - len(chunk)
        return crc == wanted
