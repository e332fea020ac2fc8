"""A workspace that cannot be written is found out without making it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from codex.core.errors import WorkspaceError
from codex.core.paths import Workspace


def test_check_writable_gives_the_folder_that_is_there_and_makes_none(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert Workspace(tmp_path / "a" / "b").check_writable() == tmp_path
    assert Workspace(tmp_path).check_writable() == tmp_path
    assert sorted(tmp_path.iterdir()) == before


def test_check_writable_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"cannot be written \(Not a directory\); expected a folder"):
        Workspace(tmp_path / "file" / "ws").check_writable()


@pytest.mark.parametrize(
    ("allowed", "flags", "blocks", "reason"),
    [(False, 0, 9, "Permission denied"), (True, os.ST_RDONLY, 9, "Read-only file system"), (True, 0, 0, "holds no files")],
)
def test_check_writable_says_why_not(
    allowed: bool, flags: int, blocks: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: allowed)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=flags, f_blocks=blocks))
    with pytest.raises(WorkspaceError, match=rf"cannot be written \(.*{reason}\)"):
        Workspace(tmp_path / "ws").check_writable()
