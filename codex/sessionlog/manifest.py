"""MANIFEST: which files make up the compacted log; the only door by which a part becomes visible.

It is one line of JSON with a checksum, replaced in one step. A file that it no longer names stays for a while, because a
reader may still be at it, and at least until the next MANIFEST, so that the one before remains whole: `MANIFEST.before`
is what a damaged MANIFEST is mended with. A MANIFEST that is older than the one before it was put there by somebody else, from
a backup or by a program that synchronises folders: it is damage like any other.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from codex.core import files
from codex.core.errors import WorkspaceError
from codex.sessionlog.forks import forget_after_fork
from codex.sessionlog.schema import newer

NAME: Final = "MANIFEST"
BEFORE: Final = "MANIFEST.before"
VERSION: Final = 1
GRACE_SECONDS: Final = 600.0
"""How long files that were replaced stay, for readers that began before."""
Problem = Literal["missing", "damaged", "older than the one before it"]
_EXPECTED: Final[dict[Problem, str]] = {
    "missing": "expected it beside the parts that it names",
    "damaged": "expected the checksum that it was written with",
    "older than the one before it": "expected the one that was written last; a backup or another program put this one there",
}
_CRC_KEY = b',"crc":"'
_TAIL = len(_CRC_KEY) + 8 + len(b'"}\n')


class StoredFile(BaseModel):
    """A file of the compacted log.

    `name` is its path below the log's folder; `size` in bytes. `modified` (its mtime, nanoseconds) and `size` tell cheaply that
    nobody has touched it since `sha256` was taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    size: int
    modified: int
    sha256: str


class Part(StoredFile):
    """Rows of one day; `day` as `2026-11-25`, `first` and `last` in seconds since the epoch.

    `indexed` says whether the text index has its rows.
    """

    day: str
    rows: int
    first: float
    last: float
    schema_version: int
    indexed: bool = False


class Retired(BaseModel):
    """A file that is no longer part of the log, and since when (seconds since the epoch).

    `size` and `modified` are a segment's when it was compacted, in bytes and nanoseconds; None in what earlier versions wrote.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    since: float
    size: int | None = None
    modified: int | None = None


class Manifest(BaseModel):
    """What is compacted.

    `done` are the segments whose events are in the parts, each with the time since when; `sessions` is the rollup of all
    sessions in the parts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = VERSION
    generation: int = 0
    parts: tuple[Part, ...] = ()
    sessions: StoredFile | None = None
    done: tuple[Retired, ...] = ()
    retired: tuple[Retired, ...] = ()

    @property
    def rows(self) -> int:
        """How many events the parts hold."""
        return sum(part.rows for part in self.parts)


class _Head(BaseModel):
    """What a manifest of every version has."""

    version: int
    generation: int


def stored(folder: Path, name: str) -> StoredFile:
    """What MANIFEST says of the file `name` below `folder`, as it is now."""
    path = folder / name
    state = path.stat()
    return StoredFile(name=name, size=state.st_size, modified=state.st_mtime_ns, sha256=sha256(path))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def looks_intact(folder: Path, file: StoredFile) -> bool:
    """Whether a file has the size and time that it was published with."""
    try:
        state = (folder / file.name).stat()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) == (file.size, file.modified)


def is_intact(folder: Path, file: StoredFile) -> bool:
    """Whether a file has the content that it was published with."""
    try:
        return sha256(folder / file.name) == file.sha256
    except OSError:
        return False


def encode(manifest: Manifest) -> bytes:
    """`manifest` as the content of its file."""
    body = manifest.model_dump_json().encode().removesuffix(b"}")
    return b'%b%b%08x"}\n' % (body, _CRC_KEY, zlib.crc32(body))


def decode(data: bytes) -> Manifest | None:
    """The manifest of a file's content; None when it is damaged.

    Raises:
        WorkspaceError: a newer Codex wrote it.
    """
    if _head(data) is None:
        return None
    try:
        return Manifest.model_validate_json(data[:-_TAIL] + b"}")
    except ValidationError:
        return None


def _head(data: bytes) -> _Head | None:
    body, tail = data[:-_TAIL], data[-_TAIL:]
    if not body or tail != b'%b%08x"}\n' % (_CRC_KEY, zlib.crc32(body)):
        return None
    try:
        head = _Head.model_validate_json(body + b"}")
    except ValidationError:
        return None
    if head.version > VERSION:
        raise newer(NAME, VERSION)
    return head


def read(folder: Path) -> Manifest | None:
    """The manifest of the log in `folder`: an empty one when it never had one; None when it is damaged, outdated, or gone.

    Raises:
        WorkspaceError: a newer Codex wrote it.
    """
    path = folder / NAME
    while True:
        try:
            data = path.read_bytes()
            known = decode(data)
            if known is None or not _outdated(folder, data, known):
                return known
            if path.read_bytes() == data:  # else another one was published while we looked
                return None
        except IsADirectoryError:
            return None
        except FileNotFoundError:
            if not _had_one(folder):
                return Manifest()
            if not path.exists():  # else the first one was published while we looked
                return None


def _outdated(folder: Path, data: bytes, known: Manifest) -> bool:
    """Whether a MANIFEST is older than the one before it, or as old and another; the same one twice is a publication cut short."""
    before = _read_before(folder)
    found = _head(before)
    return found is not None and found.generation >= known.generation and before != data


def _had_one(folder: Path) -> bool:
    """Whether there is what no log has before its first MANIFEST: that one is published before the first part is written."""
    made = (path for pattern in ("parts/*/*.parquet", "sessions-*.parquet") for path in folder.glob(pattern))
    return (folder / BEFORE).exists() or next(made, None) is not None


def read_before(folder: Path) -> Manifest | None:
    """The manifest before the present one; None when there is none, or it is damaged.

    Raises:
        WorkspaceError: a newer Codex wrote it.
    """
    return decode(_read_before(folder))


def _read_before(folder: Path) -> bytes:
    try:
        return (folder / BEFORE).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return b""


def publish(folder: Path, manifest: Manifest) -> Manifest:
    """Make `manifest`, whose files are all synced, the one that readers see; survives a power loss at any moment.

    For the one compactor only: a half-written MANIFEST that is there already is of one that was killed, and goes.

    Returns:
        It, under the next generation.
    """
    following = manifest.model_copy(update={"generation": manifest.generation + 1})
    path = folder / NAME
    for left in folder.glob(f".{NAME}*.tmp"):
        left.unlink(missing_ok=True)
    data = path.read_bytes() if path.exists() else b""
    if decode(data) is not None:  # a damaged one mends nothing
        files.write_atomic(folder / BEFORE, data)
    files.write_atomic(path, encode(following))
    return following


class Manifests:
    """Reads the manifest of a log again only when it has changed. Safe across threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._known: tuple[object, Manifest] = (None, Manifest())
        forget_after_fork(self)

    def _state(self) -> object:
        try:
            state = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return state.st_ino, state.st_mtime_ns, state.st_size

    def current(self) -> Manifest:
        """The manifest as it is now; the same object as long as it has not changed.

        Raises:
            WorkspaceError: it is damaged, or cannot be read.
        """
        with self._lock:
            try:
                while (state := self._state()) != self._known[0] or (state is None and _had_one(self._folder)):
                    manifest = read(self._folder)
                    if self._state() != state:
                        continue
                    if manifest is None:
                        raise damaged(self._folder)
                    self._known = state, manifest
            except OSError as error:
                raise cannot_read(self._folder, error) from error
            return self._known[1]

    def forget_parent(self) -> None:
        """In a forked child: a lock held by one of the parent's threads would never be released."""
        self._lock = threading.Lock()


def cannot_read(folder: Path, error: OSError) -> WorkspaceError:
    """`error` in words that a person can act on."""
    return WorkspaceError(
        f"the session log in {str(folder)!r} cannot be read ({error.strerror or error})",
        "expected a folder that you may read",
        "Make it readable, or name another workspace: `--workspace DIR`.",
    )


def damaged(folder: Path) -> WorkspaceError:
    """What a manifest that is damaged, outdated, or gone, is called."""
    state = problem(folder)
    return WorkspaceError(
        f"the session log's list of parts, {str(folder / NAME)!r}, is {state}",
        _EXPECTED[state],
        "Mend it: `codex-ml logs doctor --repair`. No event is lost by that.",
    )


def problem(folder: Path) -> Problem:
    """What is wrong with a MANIFEST that `read` gives None for."""
    path = folder / NAME
    if not path.exists():
        return "missing"
    return "damaged" if not path.is_file() or decode(path.read_bytes()) is None else "older than the one before it"
