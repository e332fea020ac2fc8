"""A file gets its name whole, and never another file's."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from codex.core.publish import draft_in, publish


@pytest.fixture(params=["hard links", "none"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with hard links, and one without."""

    def refuse(self: Path, target: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "none":
        monkeypatch.setattr(Path, "hardlink_to", refuse)


@pytest.mark.usefixtures("links")
def test_publish_names_a_file_once_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with draft_in(tmp_path) as draft:
        draft.write_text("whole")
        publish(draft, path)
    with draft_in(tmp_path) as draft:
        draft.write_text("other")
        with pytest.raises(FileExistsError):
            publish(draft, path)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["a"]
    assert path.read_text() == "whole"


@pytest.mark.usefixtures("links")
def test_publish_that_fails_leaves_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with draft_in(tmp_path) as draft, pytest.raises(OSError, match="No space left"):
        draft.write_text("whole")
        publish(draft, tmp_path / "a")
    assert [each for each in tmp_path.iterdir() if each.is_file()] == []
