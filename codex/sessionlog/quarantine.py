"""`quarantine/`: what is damaged or does not belong into a log, kept there for whoever wants to look, and notes of what was lost."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codex.core import clock, files
from codex.core.events import Count, Seconds
from codex.sessionlog import manifest as manifests
from codex.sessionlog.parts import FOLDER as PARTS
from codex.sessionlog.parts import SUFFIX as PART
from codex.sessionlog.segment import BEGUN
from codex.sessionlog.segment import SUFFIX as SEGMENT
from codex.sessionlog.text import FOLDER as TEXT
from codex.sessionlog.writer import make_folder

NAME: Final = "quarantine"
_BEGUN_SECONDS: Final = 60.0
_LONGEST_NAME: Final = 200
OTHERS: Final = "other-events."  # how the names of notes begin that say how many events have numbers of others
LOST: Final = "lost-events."  # how the names of notes begin that say which events were lost
GIVEN_UP: Final = "given-up."  # what is put before the name of a note of events that a person has given up


class Note(BaseModel):
    """What a repair says of parts that could not be read.

    Args:
        parts: their names.
        missing: how many of them were not there at all.
        rows: how many events they held; None when nobody knows.
        lost: how many of those are nowhere else; None when nobody has counted yet.
        spans: from when to when each held events, seconds since the epoch; none when nobody knows.
        others: how many other events of these spans the log had: what is there beyond them was saved.
    """

    model_config = ConfigDict(frozen=True)

    parts: Annotated[tuple[Annotated[str, Field(max_length=_LONGEST_NAME)], ...], Field(min_length=1)]
    missing: Count = 0
    rows: Count | None
    lost: Count | None
    spans: tuple[tuple[Seconds, Seconds], ...] = ()
    others: Count = 0


def path_of(folder: Path, part: str) -> Path:
    """Where it says what was lost with parts, of which `part` is the first."""
    return folder / NAME / f"{LOST}{Path(part).stem}.json"


def write(folder: Path, note: Note) -> None:
    """Keep a note, in the place of the one of the same parts."""
    make_folder(folder / NAME)
    files.write_atomic(path_of(folder, note.parts[0]), note.model_dump_json())


def read(path: Path) -> Note | None:
    """The note in a file; None when it is none that can be read."""
    try:
        return Note.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def notes(folder: Path) -> Iterator[tuple[Path, Note]]:
    """The notes that can be read, each with where it stands."""
    for path in sorted((folder / NAME).glob(f"{LOST}*")):
        note = read(path)
        if note is not None:
            yield path, note


def is_note(path: Path) -> bool:
    """Whether a file here is a note, which holds nothing that was said."""
    return path.name.removeprefix(GIVEN_UP).startswith((LOST, OTHERS))


def give_up(folder: Path) -> Iterator[Path]:
    """Have no note of lost events tell of them as an alarm any more; gives each, under the name that it had."""
    for path in sorted((folder / NAME).glob("*.json")):
        if not path.name.startswith(GIVEN_UP):
            path.rename(path.with_name(f"{GIVEN_UP}{path.name}"))
            files.fsync_folder(path.parent)
            yield path


def copy_of(folder: Path, path: Path) -> Path | None:
    """The copy of a file that is here, under a name that `keep_copy` gives; None when there is none."""
    copies = sorted((folder / NAME).glob(f"{_flat(folder, path)}.*"))
    return next((other for other in copies if other.is_file() and filecmp.cmp(path, other, shallow=False)), None)


def keep_copy(folder: Path, path: Path) -> Path | None:
    """Put a copy of a file here, under a name that says where it is and when that was, and leave the file; gives the copy.

    One that is here already, for whoever did this before was killed, stays the only one. None when there is no file.
    """
    if not path.is_file():
        return None
    home = folder / NAME
    make_folder(home)
    copy = copy_of(folder, path)
    if copy is None:
        copy = _free(home, _flat(folder, path))
        try:
            _copied(path, copy)
        except OSError:  # a second name needs no room, but changes with the file when somebody writes over it
            os.link(path, copy)
        files.fsync_folder(home)
    return copy


def _copied(path: Path, copy: Path) -> None:
    begun = copy.with_name(f".{copy.name}.tmp")
    try:
        shutil.copyfile(path, begun)
        with open(begun, "rb") as file:
            os.fsync(file.fileno())
        begun.rename(copy)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise


def keep_others(folder: Path, path: Path, events: int) -> None:
    """Keep a copy of a segment or part some of whose events have numbers that others have in the log, and how many they are."""
    copy = keep_copy(folder, path)
    if copy is not None:
        files.write_atomic(folder / NAME / f"{OTHERS}{copy.name}.json", json.dumps({"file": copy.name, "events": events}))


def set_aside(folder: Path, path: Path) -> None:
    """Move a file or a folder here, under a name that says where it was and when that was."""
    home = folder / NAME
    make_folder(home)
    path.rename(_free(home, _flat(folder, path)))
    files.fsync_folder(home)
    files.fsync_folder(path.parent)


def _flat(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)).replace("/", "-")


def _free(home: Path, name: str) -> Path:
    at = round(clock.now())
    while (home / f"{name}.{at}").exists():
        at += 1
    return home / f"{name}.{at}"


def strays(folder: Path) -> list[tuple[Path, str]]:
    """What stands where the log has a file or a folder of its own and is none, each with what is wrong with it."""
    found = [(folder / name, "a folder") for name in (manifests.NAME, manifests.BEFORE) if (folder / name).is_dir()]
    found += [(path, "a folder") for path in folder.glob("sessions-*.parquet") if path.is_dir()]
    homes = [folder / name for name in ("segments", PARTS, TEXT, "scratch")]
    found += [(path, "no folder") for path in homes if path.exists() and not path.is_dir()]
    found += _not_of(folder / "segments", SEGMENT, "segment")
    for path in _in(folder / PARTS):
        found += _not_of(path, PART, "part") if path.is_dir() else [(path, "no folder")]
    return found


def _in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _not_of(folder: Path, suffix: str, name: str) -> list[tuple[Path, str]]:
    wrong = [path for path in _in(folder) if path.is_dir() or not path.name.endswith(suffix)]
    return [(path, "a folder" if path.is_dir() else f"no {name}") for path in wrong if not _is_begun(path)]


def _is_begun(path: Path) -> bool:
    """Whether a file is a segment that some writer is just about to name."""
    try:
        return path.suffix == BEGUN and path.is_file() and abs(clock.now() - path.stat().st_mtime) < _BEGUN_SECONDS
    except FileNotFoundError:
        return True
