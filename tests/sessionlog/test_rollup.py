"""The list of sessions is made from the parts, and only from sound ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codex.core.errors import WorkspaceError
from codex.sessionlog import SessionLog, manifest
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.manifest import StoredFile
from tests.sessionlog.logs import by_key, flip, some_events, write_segments


@pytest.fixture
def compacted(log: SessionLog) -> SessionLog:
    write_segments(log.folder, some_events(60, days=1), count=1)
    log.compact()
    return log


def damage(folder: Path, file: StoredFile, *, modified: int) -> None:
    """Change a byte at which DuckDB does not look."""
    path = folder / file.name
    path.write_bytes(b"Q" + path.read_bytes()[1:])
    os.utime(path, ns=(modified, modified))


def test_list_that_changed_under_its_old_time_is_made_anew_by_compaction(compacted: SessionLog) -> None:
    file, sessions = Compactor(compacted.folder).manifest.sessions, compacted.sessions()
    assert file is not None
    damage(compacted.folder, file, modified=file.modified)
    compacted.compact()
    made = Compactor(compacted.folder).manifest.sessions
    assert made is not None and made.name != file.name and manifest.is_intact(compacted.folder, made)
    assert SessionLog(compacted.folder).sessions() == sessions


def test_list_is_not_made_from_a_damaged_part(compacted: SessionLog) -> None:
    before = Compactor(compacted.folder).manifest
    (part,), file = before.parts, before.sessions
    assert file is not None
    damage(compacted.folder, part, modified=1)
    (compacted.folder / file.name).unlink()
    late = [event.model_copy(update={"session": "late"}) for event in some_events(1)]
    write_segments(compacted.folder, late, count=1, seed=9)
    with pytest.raises(WorkspaceError, match=f"the part '{part.name}' of the session log is damaged"):
        compacted.compact()
    assert Compactor(compacted.folder).manifest == before
    assert by_key(SessionLog(compacted.folder).events("late")) == by_key(late)


def test_session_of_which_every_part_is_damaged_is_listed_and_numbered_on(log: SessionLog) -> None:
    with log.session("chat", "Lost", id="lost") as session:
        session.append("user", "hello")
    log.close()
    log.compact()
    for part in (log.folder / "parts").glob("*/*"):
        flip(part)
    with SessionLog(log.folder) as again:
        assert [(info.title, info.events) for info in again.sessions()] == [("Lost", 3)]
        assert again.session("chat", id="lost").append("user", "again").seq == 4
