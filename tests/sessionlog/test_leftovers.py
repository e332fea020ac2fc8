"""A part that MANIFEST does not name goes only when all of its events stand elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.sessionlog import SessionLog, compactor, leftovers, manifest
from codex.sessionlog.doctor import examine, repair
from codex.sessionlog.parts import workbench
from tests.sessionlog.logs import by_key, current, files_of, flip, some_events, write_segments

pytestmark = pytest.mark.usefixtures("no_text")


@pytest.fixture
def events() -> list[Event]:
    return some_events(40, days=1, sessions=4)


def compact_in_steps(log: SessionLog, events: list[Event]) -> None:
    """Two compactions, each with its segments gone; copies of the MANIFESTs of the first are beside the log."""
    for number in range(2):
        write_segments(log.folder, events[number * 20 : number * 20 + 20], count=1, seed=number)
        log.compact(grace_seconds=0)
        compactor.Compactor(log.folder).publish()
        log.compact(grace_seconds=0)
        if number == 0:
            for name in (manifest.NAME, manifest.BEFORE):
                shutil.copy(log.folder / name, log.folder.parent / name)


def restore(log: SessionLog, *names: str) -> None:
    """What a backup, or a program that synchronises folders, may do."""
    for name in names:
        shutil.copy(log.folder.parent / name, log.folder / name)


def parts_of(log: SessionLog) -> set[str]:
    return {name for name in files_of(log.folder) if name.startswith("parts/")}


def assert_mended(log: SessionLog, events: list[Event]) -> None:
    assert repair(log.folder)
    mended = SessionLog(log.folder)
    assert by_key(mended.scan()) == by_key(events)
    assert sum(info.events for info in mended.sessions()) == len(events)
    assert [finding for finding in examine(log.folder).findings if finding.harm != "none"] == []


def test_manifest_older_than_the_one_before_is_told_and_mended(log: SessionLog, events: list[Event]) -> None:
    compact_in_steps(log, events)
    parts = parts_of(log)
    restore(log, manifest.NAME)
    for act in (log.sessions, SessionLog(log.folder).sessions, lambda: log.compact(grace_seconds=0)):
        with pytest.raises(WorkspaceError, match=r"older than the one before.*doctor --repair"):
            act()
    assert parts_of(log) == parts
    (finding,) = examine(log.folder).findings
    assert (finding.where, finding.harm) == (manifest.NAME, "events lost") and "older" in finding.what
    assert_mended(log, events)


def test_manifest_as_old_as_the_one_before_must_be_the_same(log: SessionLog, events: list[Event]) -> None:
    compact_in_steps(log, events)
    known = current(log)
    shutil.copy(log.folder / manifest.NAME, log.folder / manifest.BEFORE)  # a publication that was cut short
    assert manifest.read(log.folder) == known and examine(log.folder).ok
    (log.folder / manifest.NAME).write_bytes(manifest.encode(known.model_copy(update={"parts": known.parts[:1]})))
    assert manifest.read(log.folder) is None
    assert_mended(log, events)


def test_parts_that_an_old_pair_of_manifests_does_not_know_are_kept_and_taken_in(log: SessionLog, events: list[Event]) -> None:
    compact_in_steps(log, events)
    parts = parts_of(log)
    restore(log, manifest.NAME, manifest.BEFORE)
    for _ in range(2):
        with pytest.raises(WorkspaceError, match=r"20 events that its MANIFEST does not know of.*doctor --repair"):
            log.compact(grace_seconds=0)
    assert parts_of(log) == parts
    found = examine(log.folder)
    assert not found.ok and [finding.what.split()[0] for finding in found.findings if "does not know" in finding.what] == ["20"]
    assert_mended(log, events)


def test_old_pair_of_manifests_whose_parts_were_merged_since_loses_nothing(
    log: SessionLog, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compactor, "MERGE_AT", 2)
    compact_in_steps(log, events)
    compactor.Compactor(log.folder).publish()
    log.compact(grace_seconds=0)
    assert len(current(log).parts) == len(parts_of(log)) == 1
    restore(log, manifest.NAME, manifest.BEFORE)
    with pytest.raises(WorkspaceError, match="doctor"):
        log.compact(grace_seconds=0)
    assert_mended(log, events)
    assert not list((log.folder / "quarantine").glob("lost-events.*"))


def test_leftovers_go_and_what_is_no_whole_part_is_set_aside(log: SessionLog, events: list[Event]) -> None:
    compact_in_steps(log, events)
    part = log.folder / current(log).parts[0].name
    whole, begun, cut = (part.with_name(name) for name in ("aaaa.parquet", "tmp_bbbb.parquet", "cccc.parquet"))
    shutil.copy(part, whole)
    begun.write_bytes(part.read_bytes()[:99])
    cut.write_bytes(part.read_bytes()[:99])
    (unreadable,) = (finding for finding in examine(log.folder).findings if finding.where == f"parts/{part.parent.name}/cccc.parquet")
    assert unreadable.harm == "none"
    log.compact(grace_seconds=0)
    assert parts_of(log) == {each.name for each in current(log).parts}
    (kept,) = (log.folder / "quarantine").iterdir()
    assert "cccc" in kept.name and kept.stat().st_size == 99
    assert by_key(log.scan()) == by_key(events) and examine(log.folder).ok


def lose_both_manifests(log: SessionLog) -> None:
    (log.folder / manifest.NAME).unlink()
    (log.folder / manifest.BEFORE).unlink()


def name_as_before(log: SessionLog) -> Path:
    """Give the oldest part a name without a sum, as parts had it."""
    path = log.folder / current(log).parts[0].name
    return path.rename(path.with_name("0123456789abcdef.parquet"))


def test_no_flipped_bit_of_a_part_passes_when_there_is_no_manifest(log: SessionLog, events: list[Event]) -> None:
    compact_in_steps(log, events)
    path = log.folder / current(log).parts[0].name
    data = path.read_bytes()
    with workbench(log.folder) as connection:
        assert leftovers.part_in(connection, log.folder, path) is not None
        for at in range(4, len(data), len(data) // 40):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert leftovers.part_in(connection, log.folder, path) is None, at


def test_part_named_as_before_is_read_and_not_called_compared(log: SessionLog, events: list[Event]) -> None:
    compact_in_steps(log, events)
    name_as_before(log)
    lose_both_manifests(log)
    said, *_ = repair(log.folder)
    assert "40 events were read" in said and said.endswith("1 of these, of an earlier form, have no sum to compare them with.")
    assert by_key(SessionLog(log.folder).scan()) == by_key(events)


@pytest.mark.parametrize("cut", [flip, lambda path: path.write_bytes(path.read_bytes()[:99])], ids=["flip", "cut"])
@pytest.mark.parametrize("rollup", [True, False])
def test_unreadable_part_without_a_manifest_is_kept_and_its_events_are_called_lost(
    log: SessionLog, events: list[Event], cut: Callable[[Path], None], rollup: bool
) -> None:
    compact_in_steps(log, events)
    path = log.folder / current(log).parts[0].name
    cut(path)
    damaged = path.read_bytes()
    lose_both_manifests(log)
    for file in () if rollup else log.folder.glob("sessions-*.parquet"):
        file.unlink()
    repair(log.folder)
    assert by_key(SessionLog(log.folder).scan()) == by_key(events[20:])
    (lost,) = (finding.what for finding in examine(log.folder).findings if finding.where.startswith("quarantine/lost-events."))
    unknown = "events of 1 damaged parts may be lost, " + ("20 at most" if cut is flip else "nobody knows how many")
    assert lost == ("20 events of 1 damaged parts are lost" if rollup else unknown)
    assert damaged in files_of(log.folder / "quarantine").values() and not path.exists()


def test_part_named_as_before_is_read_whole_before_it_is_trusted(log: SessionLog, events: list[Event]) -> None:
    """A file whose end is as it should be says how many rows it has, whatever they are."""
    compact_in_steps(log, events)
    path = name_as_before(log)
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(len(data) // 3) + data[4 + len(data) // 3 :])
    lose_both_manifests(log)
    repair(log.folder)
    log = SessionLog(log.folder)
    assert by_key(log.scan()) == by_key(events[20:])
    assert any("20 events of 1 damaged parts are lost" in finding.what for finding in examine(log.folder).findings)


def test_part_of_a_newer_version_is_refused_and_stays(log: SessionLog, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patching:
        patching.setattr("codex.sessionlog.schema.VERSION", 99)
        compact_in_steps(log, events)
    lose_both_manifests(log)
    before = files_of(log.folder)
    with pytest.raises(WorkspaceError, match="newer Codex"):
        repair(log.folder)
    assert files_of(log.folder) == before
