"""MANIFEST: what is no MANIFEST of ours is told, never guessed at."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import pytest

from codex.core.errors import WorkspaceError
from codex.sessionlog import SessionLog, manifest
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.doctor import examine, repair
from tests.sessionlog.logs import by_key, current, files_of, flip, some_events, write_segments

pytestmark = pytest.mark.usefixtures("no_text")


def of_version(version: int, *, more: bytes = b"") -> bytes:
    """A MANIFEST as a Codex of another version may write it."""
    body = manifest.Manifest(version=version, generation=9).model_dump_json().encode().removesuffix(b"}") + more
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))


@pytest.mark.parametrize(
    ("name", "more"), [(manifest.NAME, b""), (manifest.NAME, b',"tombstones":[]'), (manifest.BEFORE, b',"tombstones":[]')]
)
def test_manifest_of_a_newer_codex_is_refused_and_stays(log: SessionLog, name: str, more: bytes) -> None:
    write_segments(log.folder, some_events(10), count=1)
    log.compact()
    (log.folder / name).write_bytes(of_version(2, more=more))
    (log.folder / "segments" / "stray").write_bytes(b"")
    before = files_of(log.folder)
    for act in (repair, examine, lambda folder: SessionLog(folder).sessions(), lambda folder: SessionLog(folder).compact()):
        with pytest.raises(WorkspaceError, match=r"newer Codex; expected version 1 or older. Update Codex"):
            act(log.folder)
    assert files_of(log.folder) == before


def test_manifest_that_is_gone_is_missed_though_there_is_no_part(log: SessionLog) -> None:
    write_segments(log.folder, some_events(10), count=1)
    log.compact()
    shutil.rmtree(log.folder / "parts")
    (log.folder / manifest.NAME).unlink()
    assert manifest.read(log.folder) is None and not examine(log.folder).ok
    with pytest.raises(WorkspaceError, match="missing"):
        SessionLog(log.folder).sessions()


def test_damaged_manifest_is_kept_in_quarantine(log: SessionLog) -> None:
    events = some_events(10)
    write_segments(log.folder, events, count=1)
    log.compact()
    flip(log.folder / manifest.NAME)
    damaged = (log.folder / manifest.NAME).read_bytes()
    repair(log.folder)
    assert damaged in files_of(log.folder / "quarantine").values()
    assert by_key(SessionLog(log.folder).scan()) == by_key(events)


def test_manifest_before_with_a_missing_part_says_what_was_lost(log: SessionLog) -> None:
    """It is put in MANIFEST's place all the same: nothing knows better which parts there were."""
    events = some_events(20, days=1)
    for number in range(2):
        write_segments(log.folder, events[number * 10 : number * 10 + 10], count=1, seed=number)
        for _ in range(2):
            Compactor(log.folder).publish()
            log.compact(grace_seconds=0)
    (log.folder / current(log).parts[0].name).unlink()
    flip(log.folder / manifest.NAME)
    _, said, *_ = repair(log.folder)
    assert said == "1 parts are missing, with 10 events; 0 events were read again, 10 events are lost."
    assert by_key(SessionLog(log.folder).scan()) == by_key(events[10:])
    assert not examine(log.folder).ok


def test_empty_folder_has_no_manifest_to_miss(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) == manifest.Manifest() and manifest.read_before(tmp_path) is None


def test_half_written_manifests_of_killed_processes_go_with_the_next_one(folder: Path) -> None:
    for name in (manifest.NAME, manifest.BEFORE):
        (folder / f".{name}.4711.tmp").write_bytes(b"half")
    manifest.publish(folder, manifest.Manifest())
    assert [path.name for path in folder.iterdir()] == [manifest.NAME]
