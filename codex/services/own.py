"""A person's own data and models: take a file into the workspace, and list what a form can choose by name."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from pathlib import Path

from codex.config.schema import BUILT_IN_DATA
from codex.core.errors import DataError, WorkspaceError
from codex.core.paths import Workspace, is_there, typed_path
from codex.core.publish import draft_in, publish
from codex.models.load import TINY

_LONGEST_STEM = 40
_LONGEST_SUFFIX = 12


def add_data(source: Path | bytes, name: str, workspace: Workspace) -> str:
    """Copy a file into the workspace's `datasets`; the same content under the same name is there once.

    Args:
        source: the file, or its content.
        name: what the person calls it; what cannot be part of a file's name is replaced.
        workspace: where it goes.

    Returns:
        What to put into `data.source`.

    Raises:
        DataError: the file cannot be read.
        WorkspaceError: the workspace cannot be written.
    """
    if isinstance(source, Path) and not source.is_file():
        raise DataError(f"{str(source)!r} is no regular file", "expected a file to copy", "Choose a JSONL file.")
    folder = workspace.create().datasets
    try:
        with draft_in(folder) as draft:
            _write(source, draft)
            return _called(_kept(draft, _safe(name)), workspace)
    except OSError as error:
        raise WorkspaceError(
            f"{name!r} cannot be copied to {str(folder)!r} ({error.strerror or error})",
            "expected a folder that you may write, on a disk with room",
            "Make room, or name another workspace: `--workspace DIR`.",
        ) from error


def _write(source: Path | bytes, path: Path) -> None:
    if isinstance(source, bytes):
        path.write_bytes(source)
        return
    if not os.access(source, os.R_OK):
        raise DataError(f"{str(source)!r} cannot be read", "expected a file that you may read", "Mend its rights.")
    shutil.copyfile(source, path)


def _kept(draft: Path, safe: str) -> Path:
    """The file of the draft's content beside it, called `safe` or, where another is, `safe` with a number."""
    stem, dot, suffix = safe.rpartition(".") if "." in safe else (safe, "", "")
    number = 1
    while True:
        path = draft.parent / (safe if number == 1 else f"{stem}-{number}{dot}{suffix}")
        try:
            if path.name not in BUILT_IN_DATA:
                publish(draft, path)
                return path
        except FileExistsError:
            if path.is_file() and filecmp.cmp(draft, path, shallow=False):
                return path
        number += 1


def _safe(name: str) -> str:
    """A file's name that resembles `name`: no folders, nothing hidden, no signs that a shell or a terminal would act on."""
    base = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w.-]+", "-", base).strip("-._")
    stem, dot, suffix = plain.rpartition(".") if "." in plain else (plain, "", "")
    stem = stem[:_LONGEST_STEM].rstrip("-._") or "data"
    return f"{stem}{dot}{suffix[:_LONGEST_SUFFIX]}"


def _called(path: Path, workspace: Workspace) -> str:
    """How a setting names something in the workspace: by its name, or by its whole path where that name means something else here."""
    name = path.name
    means_this = name.isprintable() and str(typed_path(name)) == name and not is_there(Path(name))
    return name if means_this and name not in (*BUILT_IN_DATA, TINY, "scratch") and path.parent.parent == workspace.root else str(path)


def data_names(workspace: Workspace) -> tuple[str, ...]:
    """What `data.source` can be chosen from: the built-in data, then the files in the workspace's `datasets`."""
    return (*BUILT_IN_DATA, *(_called(path, workspace) for path in _visible(workspace.datasets) if path.is_file()))


def model_names(workspace: Workspace) -> tuple[str, ...]:
    """What `model.source` can be chosen from: codex-tiny, then the folders in the workspace's `models`."""
    return (TINY, *(_called(path, workspace) for path in _visible(workspace.models) if path.is_dir()))


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
