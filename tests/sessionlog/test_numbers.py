"""No number is given twice, and where two events have one all the same, one of them is kept aside and told."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from codex.core import clock
from codex.core.events import Event
from codex.sessionlog import SessionLog, doctor, losses, manifest, numbers, quarantine
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.doctor import examine, repair
from tests.sessionlog.logs import compact, current, flip, harms, said, words, write_segments

pytestmark = pytest.mark.usefixtures("no_text")


def lose_part(log: SessionLog) -> Path:
    """The first part is damaged and set aside, and its segments are gone; a copy of it is beside the log, its path is given."""
    said(log, ["old 1", "old 2", "old 3"])
    compact(log)
    path = log.folder / current(log).parts[0].name
    shutil.copy2(path, log.folder.parent / "backup")
    flip(path)
    assert repair(log.folder)[0].endswith("5 events are lost.")
    return path


@pytest.mark.parametrize(
    ("texts", "compacted"),
    [((), False), (("new 1",), False), (("new 1", "new 2", "new 3", "new 4"), True)],
    ids=["at once", "fewer, live", "more, compacted"],
)
def test_part_that_comes_back_after_its_session_went_on_finds_its_place(log: SessionLog, texts: Sequence[str], compacted: bool) -> None:
    path, old = lose_part(log), ["old 1", "old 2", "old 3"]
    if texts:
        said(log, texts)
    if compacted:
        compact(log)
    shutil.copy2(log.folder.parent / "backup", path)
    assert "5 events stand in a part that MANIFEST does not know of, as if it were an old one" in harms(log)
    assert "MANIFEST did not know of 1 parts: 5 events were taken in." in repair(log.folder)
    compact(log)
    assert words(log) == {"talk": [*old, *texts]}
    assert harms(log) == []


def test_numbers_of_lost_events_stay_theirs_until_their_session_is_purged(log: SessionLog) -> None:
    lose_part(log)
    said(log, ["new"])
    assert [event.seq for event in SessionLog(log.folder).events("talk")] == [5, 6, 7]
    compact(log)
    SessionLog(log.folder).purge(clock.now() + 60)
    said(log, ["anew"])
    assert [event.seq for event in SessionLog(log.folder).events("talk")] == [0, 1, 2]


def test_events_that_a_killed_repair_took_in_are_counted_by_the_next(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lose_part(log)
    shutil.copy2(log.folder.parent / "backup", path)
    with monkeypatch.context() as patch:
        patch.setattr(losses, "count_lost", lambda folder: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repair(log.folder)
    assert repair(log.folder)[0].endswith("5 events were read again, 0 events are lost.")
    assert harms(log) == []


def test_part_that_both_manifests_forgot_fills_the_numbers_that_are_free_and_is_kept_aside_for_the_rest(log: SessionLog) -> None:
    said(log, ["first"])
    compact(log)
    names = (manifest.NAME, manifest.BEFORE)
    for name in names:
        shutil.copy(log.folder / name, log.folder.parent / name)
    for texts in (["old 1", "old 2"], ["old 3"]):  # the second part has only numbers that are free
        said(log, texts)
        SessionLog(log.folder).compact()
    parts = [log.folder / part.name for part in current(log).parts]
    for each in parts:
        shutil.copy2(each, log.folder.parent / each.name)
    compact(log)
    for name in names:
        shutil.copy(log.folder.parent / name, log.folder / name)
    said(log, ["new"])
    for _ in range(2):  # when it comes back a second time, it is as before
        done = repair(log.folder)
        assert any(each.startswith("3 events have numbers that others have") for each in done)
        assert words(log) == {"talk": ["first", "new", "old 3"]}
        (found,) = harms(log)
        assert found.startswith("3 events of ") and "have numbers that others have in the log" in found
        for each in parts[1:]:
            shutil.copy2(log.folder.parent / each.name, each)
    (kept,) = (path for path in (log.folder / "quarantine").iterdir() if not path.name.endswith(".json"))
    assert kept.read_bytes() == (log.folder.parent / parts[1].name).read_bytes()


def _talk(texts: Sequence[str], ts: float, first: int = 0) -> list[Event]:
    return [
        Event(session="talk", seq=seq, ts=ts + seq / 1e4, role="user", kind="chat", content=text) for seq, text in enumerate(texts, first)
    ]


@pytest.mark.parametrize("between", [False, True], ids=["in one compaction", "after it"])
def test_segment_that_comes_back_after_its_numbers_were_given_again_is_kept_aside(log: SessionLog, between: bool) -> None:
    old, new = _talk([f"old {n}" for n in range(12)], 1_795_392_000.0), _talk([f"new {n}" for n in range(9)], 1_795_392_100.0)
    for seed, events in enumerate((new[:3], [*new[3:7], *new[:1]], new[7:]), 3):
        write_segments(log.folder, events, 1, seed=seed)
    if between:
        compact(log)
    for _ in range(2):  # when they come back a second time, it is as before
        for seed, events in enumerate(([*old[:5], *old[2:4]], old[5:]), 1):
            write_segments(log.folder, events, 1, seed=seed)
        compact(log)
        assert words(log) == {"talk": [event.content for event in (*new, *old[9:])]}
        found = [what for what in harms(log) if "have numbers that others have in the log" in what]
        assert [what.split()[0] for what in sorted(found)] == ["4", "5"]


def test_healed_frame_takes_no_other_event_with_it(log: SessionLog) -> None:
    old, new = _talk(["old 0", "old 1", "old 2"], 1_795_392_000.0), _talk(["new 2", "new 3"], 1_795_392_100.0, 2)
    for seed, events in enumerate((old, new), 1):
        write_segments(log.folder, events, 1, seed=seed)
    compact(log)
    assert words(log) == {"talk": ["old 0", "old 1", "new 2", "new 3"]}
    (found,) = harms(log)
    assert found.startswith("1 events of ")


@pytest.mark.parametrize("lost", [False, True], ids=["found together", "without any MANIFEST"])
def test_of_two_parts_that_are_found_the_newer_has_its_numbers_and_the_other_is_kept(log: SessionLog, lost: bool) -> None:
    old, new = _talk([f"old {n}" for n in range(9)], 1_795_392_000.0), _talk([f"new {n}" for n in range(3)], 1_795_392_100.0)
    parts: list[Path] = []
    for name, events in (("one", old), ("two", new)):
        other = SessionLog(log.folder.parent / name)
        write_segments(other.folder, events, 1)
        compact(other)
        parts += [other.folder / part.name for part in current(other).parts]
    said(log, ["elsewhere"], "another")
    compact(log)
    for part, name in zip(parts, ("one", "two"), strict=True):
        target = log.folder / part.relative_to(log.folder.parent / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(part, target)
    if lost:
        (log.folder / manifest.NAME).unlink()
        (log.folder / manifest.BEFORE).unlink()
    done = repair(log.folder)
    if not lost:
        assert "MANIFEST did not know of 2 parts: 9 events were taken in." in done
    assert words(log) == {"another": ["elsewhere"], "talk": [*(event.content for event in (*new, *old[3:]))]}
    assert [what.split()[0] for what in harms(log)] == ["3"]
    (kept,) = (path for path in (log.folder / "quarantine").iterdir() if path.read_bytes() == parts[0].read_bytes())
    assert kept.name.startswith("parts-")


def test_numbers_that_are_kept_stay_beside_lower_and_other_ones(log: SessionLog) -> None:
    log.folder.mkdir(parents=True)
    for kept in ({"a": 5, "b": 1}, {"a": 3}, {"c": 2**60}, {"c": 7}):
        numbers.keep(log.folder, kept)
    assert numbers.given(log.folder) == {"a": 5, "b": 1, "c": 7}


def test_other_events_of_the_time_of_lost_ones_do_not_make_them_fewer(log: SessionLog, tmp_path: Path) -> None:
    lose_part(log)
    (note,) = (log.folder / "quarantine").glob("lost-events.*")
    elsewhere = SessionLog(tmp_path / "elsewhere")
    (((first, _),),) = [found.spans for _, found in quarantine.notes(log.folder)]
    write_segments(elsewhere.folder, [event.model_copy(update={"session": "other"}) for event in _talk(["x"] * 12, first)])
    log.ingest(elsewhere.scan())
    assert repair(log.folder) == ()
    assert note.exists() and "5 events of 1 damaged parts are lost" in harms(log)


def test_damaged_part_that_a_killed_repair_left_beside_its_copy_is_no_new_loss(log: SessionLog) -> None:
    said(log, ["old 1", "old 2", "old 3"])
    log.compact()
    path = log.folder / current(log).parts[0].name
    flip(path)
    damaged = path.read_bytes()
    assert "5 events were read again, 0 events are lost" in repair(log.folder)[0]
    path.write_bytes(damaged)
    (done,) = repair(log.folder)
    assert done == f"{str(path.relative_to(log.folder))!r}, of which quarantine/ has a copy, was removed."
    assert words(log) == {"talk": ["old 1", "old 2", "old 3"]}
    assert harms(log) == []


def test_note_of_others_of_another_file_of_the_same_name_takes_no_place_of_the_first(log: SessionLog) -> None:
    home = log.folder / "segments"
    write_segments(log.folder, _talk(["new 0", "new 1"], 1_795_392_100.0), 1, seed=9)
    compact(log)
    for count in (1, 2):
        (path,) = write_segments(log.folder, _talk([f"old {count}"] * count, 1_795_392_000.0), 1, seed=1)
        assert path.parent == home
        compact(log)
    told = [what.split()[0] for what in harms(log) if "have numbers that others have in the log" in what]
    assert sorted(told) == ["1", "2"]


@pytest.mark.parametrize("noise", [b"{", b"[1]", b'{"talk": "5"}', b'{"talk": -1}', b'{"talk": true}', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", [numbers.NAME, numbers.GIVEN_UP])
def test_damaged_numbers_block_nothing_are_told_and_set_aside(log: SessionLog, name: str, noise: bytes) -> None:
    said(log, ["old"])
    (log.folder / name).write_bytes(noise)
    said(log, ["new"])
    (found,) = [finding for finding in examine(log.folder).findings if finding.where == name]
    assert "cannot be read" in found.what and found.harm == "none"
    assert repair(log.folder) == (f"{name!r}, which could not be read, was moved into quarantine/.",)
    (kept,) = (log.folder / "quarantine").glob(f"{name}.*")
    assert kept.read_bytes() == noise
    assert repair(log.folder) == ()
    assert words(log) == {"talk": ["old", "new"]}


def test_purge_that_is_killed_leaves_no_gap_to_who_begins_anew(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_part(log)
    said(log, ["new"])
    doctor.give_up(log.folder)
    compact(log)
    with monkeypatch.context() as patch:
        patch.setattr(Compactor, "bring_text_up_to_date", lambda self: 1 / 0 if not self.manifest.parts else None)
        with pytest.raises(ZeroDivisionError):
            SessionLog(log.folder).purge(clock.now() + 60)
    said(log, ["anew"])
    assert words(log) == {"talk": ["anew"]}
    assert SessionLog(log.folder).check().given_up == 0


def test_purge_does_not_take_notes_for_old_text(log: SessionLog) -> None:
    lose_part(log)
    (copy,) = (path for path in (log.folder / "quarantine").iterdir() if not quarantine.is_note(path))
    quarantine.keep_others(log.folder, copy, 3)
    for _ in range(2):
        assert log.purge(0.0, dry_run=True).quarantined == 2, "the damaged part, and the copy of it"
        doctor.give_up(log.folder)


# --- given up ---


def test_what_is_given_up_is_told_and_no_alarm_until_more_is_lost(log: SessionLog) -> None:
    lose_part(log)
    said(log, ["new"])
    assert len(harms(log)) == 2
    done = doctor.give_up(log.folder)
    assert done[0] == "5 events that are missing by the numbers of their sessions were given up." and len(done) == 2
    assert doctor.give_up(log.folder) == ()
    assert harms(log) == [] and log.check().ok and log.check().given_up == 5
    found = examine(log.folder)
    assert found.ok and next(finding.where for finding in found.findings if finding.harm == "given up") == numbers.GIVEN_UP
    write_segments(log.folder, [event.model_copy(update={"session": "other"}) for event in _talk(["late"], 1_795_392_000.0, 4)])
    assert harms(log) == ["4 events are missing by the numbers of their sessions"]


def test_what_was_given_up_and_came_back_is_told_when_it_is_lost_again(log: SessionLog) -> None:
    path = lose_part(log)
    said(log, ["new"])
    doctor.give_up(log.folder)
    shutil.copy2(log.folder.parent / "backup", path)
    assert "MANIFEST did not know of 1 parts: 5 events were taken in." in repair(log.folder)
    compact(log)
    assert words(log) == {"talk": ["old 1", "old 2", "old 3", "new"]}
    (back,) = (part for part in current(log).parts if part.rows == 5)
    flip(log.folder / back.name)
    repair(log.folder)
    assert "5 events are missing by the numbers of their sessions" in harms(log)


def test_damaged_frames_are_given_up(log: SessionLog) -> None:
    (path,) = write_segments(log.folder, _talk(["one", "two", "three"], 1_795_392_000.0), 1)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"two"', b'"tvo"'))
    compact(log)
    assert len(harms(log)) == 2
    assert len(doctor.give_up(log.folder)) == 2
    assert harms(log) == []
    assert log.purge(0.0, dry_run=True).quarantined == 1, "the note has what was said"
