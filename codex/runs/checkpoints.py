"""Checkpoints that are complete or absent: written under a hidden name, then renamed into place in one step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from codex.core.files import fsync_folder

PUBLISHED = "checkpoint-"
PARTIAL = ".partial-"


def checkpoints_folder(run_folder: Path) -> Path:
    """Where the run in `run_folder` keeps its checkpoints."""
    return run_folder / "checkpoints"


def partial_checkpoint(run_folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it is published."""
    return checkpoints_folder(run_folder) / f"{PARTIAL}{step}"


def published_checkpoint(run_folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` stands once it is complete."""
    return checkpoints_folder(run_folder) / f"{PUBLISHED}{step}"


def checkpoint_step(folder: Path) -> int | None:
    """60 of `checkpoint-60`; None when `folder` is not named like a published checkpoint."""
    digits = folder.name.removeprefix(PUBLISHED)
    if folder.name == digits or not digits.isdecimal() or not digits.isascii():
        return None
    return int(digits)


def complete_checkpoints(run_folder: Path) -> list[Path]:
    """The complete checkpoints of the run in `run_folder`, by step."""
    parent = checkpoints_folder(run_folder)
    if not parent.is_dir():
        return []
    found = [(step, path) for path in parent.iterdir() if (step := checkpoint_step(path)) is not None and path.is_dir()]
    return [path for _, path in sorted(found)]


def newest_checkpoint(run_folder: Path) -> Path | None:
    """The complete checkpoint with the highest step; None when there is none."""
    complete = complete_checkpoints(run_folder)
    return complete[-1] if complete else None


def publish(partial: Path, final: Path) -> None:
    """Make the checkpoint written in `partial` appear as `final`, whole even after a power loss.

    A checkpoint that stands at `final` already is replaced; a crash between leaves neither half, only the older ones.

    Raises:
        OSError: a file cannot be written to the disk; `final` is then as it was.
    """
    for parent, folders, files in os.walk(partial):
        for name in files:
            _fsync_file(Path(parent, name))
        for name in folders:
            fsync_folder(Path(parent, name))
    fsync_folder(partial)
    if final.exists():
        _remove(final)
    partial.rename(final)
    fsync_folder(final.parent)


def sweep(run_folder: Path) -> list[str]:
    """Remove what unfinished writes and removals left behind.

    Call it only where no worker runs.

    Returns:
        The names that were removed.
    """
    parent = checkpoints_folder(run_folder)
    left = sorted(parent.glob(f"{PARTIAL}*")) if parent.is_dir() else []
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return [path.name for path in left]


def rotate(run_folder: Path, keep: int) -> list[int]:
    """Remove all complete checkpoints but the newest `keep`.

    Returns:
        The steps whose checkpoints were removed.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}; at least the newest checkpoint stays")
    old = complete_checkpoints(run_folder)[:-keep]
    for path in old:
        _remove(path)
    return [step for path in old if (step := checkpoint_step(path)) is not None]


def _remove(checkpoint: Path) -> None:
    # Hidden first: a removal that is cut off must not leave half a checkpoint under a name that means complete.
    doomed = checkpoint.with_name(f"{PARTIAL}removed-{checkpoint.name}")
    if doomed.exists():
        shutil.rmtree(doomed)
    checkpoint.rename(doomed)
    fsync_folder(checkpoint.parent)
    shutil.rmtree(doomed)


def _fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
