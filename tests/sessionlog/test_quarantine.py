"""What is damaged or does not belong into a log is named, moved out of the way and kept; notes of it may be damaged too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.sessionlog import SessionLog, manifest, quarantine
from codex.sessionlog.doctor import examine, repair
from tests.sessionlog.logs import by_key, current, files_of, flip, some_events, write_segments


@pytest.fixture
def events() -> list[Event]:
    return some_events(30, days=1)


@pytest.fixture
def compacted(log: SessionLog, events: list[Event]) -> SessionLog:
    write_segments(log.folder, events[:20], count=1)
    log.compact(grace_seconds=0)
    write_segments(log.folder, events[20:], count=1, seed=1)
    return log


NOTES = {
    "a.json": (b"{", "none"),
    "b.json": (b"[1]", "none"),
    "c.json": (None, "none"),
    "lost-events.d.json": (b"", "events lost"),
    "lost-events.e.json": (b'{"parts": 3}', "events lost"),
    "lost-events.f": (None, "none"),
}
"""Each with what a note of that name may be found to be, None for a folder, and the harm of that."""


@pytest.mark.usefixtures("no_text")
def test_note_that_cannot_be_read_is_named_and_repair_goes_on(compacted: SessionLog, events: list[Event]) -> None:
    for name, (content, _) in NOTES.items():
        path = compacted.folder / "quarantine" / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)
    found = {finding.where.removeprefix("quarantine/"): finding.harm for finding in examine(compacted.folder).findings}
    assert found == {name: harm for name, (_, harm) in NOTES.items()}
    flip(compacted.folder / manifest.NAME)
    assert repair(compacted.folder) and {path.name for path in (compacted.folder / "quarantine").iterdir()} > NOTES.keys()
    assert by_key(SessionLog(compacted.folder).scan()) == by_key(events)


def folder_for(name: str) -> Callable[[Path], Path]:
    def put(folder: Path) -> Path:
        path = folder / name
        if path.is_file():
            path.unlink()
        path.mkdir()
        (path / "a").write_bytes(b"kept")
        return path

    return put


def folder_of_a_day(folder: Path) -> Path:
    return folder_for(str(next((folder / "parts").iterdir()).relative_to(folder) / "keep"))(folder)


def file_of_a_day(folder: Path) -> Path:
    path = next((folder / "parts").iterdir()) / ".DS_Store"
    path.write_bytes(b"kept")
    return path


def file_for_text(folder: Path) -> Path:
    shutil.rmtree(folder / "text-1")
    (folder / "text-1").write_bytes(b"kept")
    return folder / "text-1"


HARMLESS = (folder_for("segments/z.v2.ndjson"), folder_of_a_day, file_of_a_day)
HINDERING = (folder_for(manifest.BEFORE), file_for_text)


def assert_moved(log: SessionLog, events: list[Event], paths: list[Path]) -> None:
    said = repair(log.folder)
    assert sum("was moved into quarantine/" in sentence for sentence in said) == len(paths)
    assert list(files_of(log.folder / "quarantine").values()).count(b"kept") == len(paths)
    log.compact()
    assert by_key(SessionLog(log.folder).scan()) == by_key(events)
    assert [finding for finding in examine(log.folder).findings if finding.harm != "none"] == []


@pytest.mark.parametrize("strays", [HARMLESS, HINDERING], ids=["harmless", "hindering"])
def test_stray_is_named_read_past_and_moved_into_quarantine(
    compacted: SessionLog, events: list[Event], strays: tuple[Callable[[Path], Path], ...]
) -> None:
    paths = [stray(compacted.folder) for stray in strays]
    assert {str(path.relative_to(compacted.folder)) for path in paths} <= {finding.where for finding in examine(compacted.folder).findings}
    log = SessionLog(compacted.folder)
    assert by_key(log.scan()) == by_key(events) and log.purge(0, dry_run=True).sessions == 0
    if strays is HINDERING:
        with pytest.raises(WorkspaceError, match="doctor --repair"):
            log.compact()
    else:
        assert log.compact().events == 10
    assert all(path.exists() for path in paths)
    assert_moved(log, events, paths)


@pytest.mark.usefixtures("no_text")
def test_folder_in_the_place_of_manifest_is_damage_like_any_other(compacted: SessionLog, events: list[Event]) -> None:
    path = folder_for(manifest.NAME)(compacted.folder)
    assert "MANIFEST" in {finding.where for finding in examine(compacted.folder).findings}
    for act in (compacted.sessions, SessionLog(compacted.folder).sessions, compacted.compact):
        with pytest.raises(WorkspaceError, match="doctor --repair"):
            act()
    assert_moved(compacted, events, [path])


@pytest.mark.usefixtures("no_text")
def test_copy_is_made_where_a_file_cannot_have_two_names(compacted: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = compacted.folder / current(compacted).parts[0].name
    monkeypatch.setattr(os, "link", refuse)
    for _ in range(2):  # a second time there is nothing to do
        quarantine.keep_copy(compacted.folder, path)
        assert list(files_of(compacted.folder / "quarantine").values()) == [path.read_bytes()]


@pytest.mark.usefixtures("no_text")
def test_missing_part_is_called_missing(compacted: SessionLog) -> None:
    (part,) = current(compacted).parts
    (compacted.folder / part.name).unlink()
    (finding,) = (finding for finding in examine(compacted.folder).findings if finding.where == part.name)
    assert finding.what == "the part is missing; its 20 events are not read"
    said, *_ = repair(compacted.folder)
    assert said.startswith("1 parts are missing, with 20 events;")
    assert not list((compacted.folder / "quarantine").glob("parts-*"))


def test_events_that_come_back_are_no_longer_called_lost(compacted: SessionLog, events: list[Event]) -> None:
    """From a backup, as the finding advises."""
    (part,) = current(compacted).parts
    path = compacted.folder / part.name
    data = path.read_bytes()
    flip(path)
    repair(compacted.folder)
    assert not examine(compacted.folder).ok
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    repair(compacted.folder)
    assert by_key(SessionLog(compacted.folder).scan()) == by_key(events)
    assert [finding for finding in examine(compacted.folder).findings if finding.harm != "none"] == []


@pytest.mark.parametrize("left", [0, 1])
def test_text_index_that_knows_more_than_the_parts_is_made_anew(compacted: SessionLog, left: int) -> None:
    compacted.compact()
    known = current(compacted)
    parts = [part.model_copy(update={"indexed": at < left}) for at, part in enumerate(known.parts)]
    manifest.publish(compacted.folder, known.model_copy(update={"parts": tuple(parts)}))
    (finding,) = examine(compacted.folder).findings
    assert "the text index knows" in finding.what and finding.harm == ("search incomplete" if left else "none")
    assert repair(compacted.folder) == ("The text index was made anew.",)
    assert examine(compacted.folder).findings == ()


def test_segment_that_a_writer_is_about_to_name_is_left_alone_and_one_that_nobody_named_goes(compacted: SessionLog) -> None:
    begun = compacted.folder / "segments" / "20261201T000000.000Z-1-aaaaaaaa.v2.new"
    begun.touch()
    assert repair(compacted.folder) == () and begun.exists()
    then = begun.stat().st_mtime - 3600
    os.utime(begun, (then, then))
    (done,) = repair(compacted.folder)
    assert begun.name in done and not begun.exists()
