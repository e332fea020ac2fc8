"""What is put back, and what stands beside damage: nothing is removed, hidden or called lost that is still there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from codex.core import clock
from codex.core.events import Event
from codex.sessionlog import Selection, SessionBusy, SessionLog, doctor, leftovers, locks, manifest, numbers, quarantine
from codex.sessionlog.doctor import examine, repair
from tests.sessionlog.logs import compact, current, flip, harms, said, words, write_segments

pytestmark = pytest.mark.usefixtures("no_text")


def segment_of(log: SessionLog) -> Path:
    (path,) = (log.folder / "segments").iterdir()
    return path


@pytest.mark.parametrize("missing", [False, True])
def test_compaction_removes_nothing_while_a_part_is_not_what_it_was(log: SessionLog, missing: bool) -> None:
    said(log, ["one", "two"])
    log.compact()
    path = log.folder / current(log).parts[0].name
    whole = path.read_bytes()
    path.unlink() if missing else flip(path)
    compact(log)
    assert segment_of(log).exists()
    assert repair(log.folder)[0].endswith("4 events were read again, 0 events are lost.")
    assert words(log) == {"talk": ["one", "two"]} and harms(log) == []
    (part,) = current(log).parts
    assert (log.folder / part.name).read_bytes() == whole
    shutil.copy(log.folder / part.name, log.folder.parent / "copy")
    shutil.copy(log.folder.parent / "copy", log.folder / part.name)  # with another time, but the same
    compact(log)
    assert list((log.folder / "segments").iterdir()) == []


def test_parts_that_were_replaced_and_are_still_there_are_read_again_without_what_was_purged(
    log: SessionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        said(log, [f"event {number}"])
        if number == 1:
            said(log, ["private"], "gone")
        log.compact(grace_seconds=0) if number < 3 else log.compact()
    (part,) = current(log).parts
    with monkeypatch.context() as patch:  # killed before it removed what it replaced
        patch.setattr("codex.sessionlog.compactor.Compactor.remove_retired", lambda self: 0)
        with SessionLog(log.folder) as other, other.session("chat", id="talk") as talk:
            talk.append("user", "last")
            log.purge(clock.now() - 0.0)
    assert "gone" not in words(log)
    for part in current(log).parts:
        flip(log.folder / part.name)
    done = repair(log.folder)
    assert done[0].endswith(" 0 events are lost.")
    assert words(log) == {"talk": ["event 0", "event 1", "event 2", "event 3", "last"]}
    assert harms(log) == []


def test_segment_that_is_put_back_after_its_damage_was_compacted_is_taken_in(log: SessionLog) -> None:
    said(log, ["one", "two", "three"])
    path = segment_of(log)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"two"', b'"tvo"'))
    log.compact()
    path.write_bytes(whole)
    assert "this segment was put back since it was compacted, and has events that the log lacks" in harms(log)
    assert repair(log.folder) == ("1 segments that were put back are compacted again.",)
    assert words(log) == {"talk": ["one", "two", "three"]}
    assert [what[:18] for what in harms(log)] == ["1 damaged frames w"], "the note stays until it is deleted or given up"
    assert repair(log.folder) == ()


@pytest.mark.parametrize("how", ["same", "less"])
def test_segment_that_was_touched_after_it_was_compacted_is_none_that_was_put_back(log: SessionLog, how: str) -> None:
    said(log, ["one", "two", "three"])
    path = segment_of(log)
    log.compact()
    path.write_bytes(path.read_bytes() if how == "same" else path.read_bytes()[:-80])
    assert leftovers.restored(log.folder, current(log)) == [] and harms(log) == [] and repair(log.folder) == ()


def test_segment_of_a_lost_part_that_is_put_back_hides_no_gap_and_counts_as_saved(log: SessionLog) -> None:
    said(log, ["one", "two"])
    path = segment_of(log)
    whole = path.read_bytes()
    compact(log)
    (log.folder / current(log).parts[0].name).unlink()
    write_segments(log.folder, [Event(session="other", seq=3, ts=1_795_392_000.0, role="user", kind="chat", content="gap")], 1)
    path.write_bytes(whole)
    assert SessionLog(log.folder).health().missing == 3
    assert repair(log.folder)[0].endswith("4 events were read again, 0 events are lost.")
    assert [event.content for event in SessionLog(log.folder).scan(Selection(roles=("user",), sessions=("talk",)))] == ["one", "two"]
    assert harms(log) == ["3 events are missing by the numbers of their sessions"]


def test_other_live_events_of_the_time_of_a_lost_part_count_not_as_saved(log: SessionLog) -> None:
    begun = clock.now()
    said(log, ["one", "two"])
    compact(log)
    (part,) = current(log).parts
    write_segments(
        log.folder,
        [Event(session="other", seq=seq, ts=begun + (part.last - begun) / 2, role="user", kind="chat", content="x") for seq in range(9)],
        1,
    )
    flip(log.folder / part.name)
    (done,) = repair(log.folder)
    assert done.endswith("with 4 events; 0 events were read again, 4 events are lost.")


def test_different_events_under_one_number_are_told_before_and_after_compaction(log: SessionLog) -> None:
    for seed in (1, 2):
        events = [Event(session="talk", seq=n, ts=1_795_392_000.0 + seed, role="user", kind="chat", content=f"{seed}") for n in range(3)]
        write_segments(log.folder, events, 1, seed=seed)
        if seed == 1:
            said(log, ["same"], "elsewhere")
    assert SessionLog(log.folder).health().others == 3 and not log.check().ok
    assert harms(log) == ["3 events have numbers that others have in the log, and are not read"]
    compact(log)
    assert words(log) == {"talk": ["2", "2", "2"], "elsewhere": ["same"]}
    write_segments(log.folder, events[:1], 1, seed=3)  # the same event again
    write_segments(log.folder, [events[1].model_copy(update={"content": "other"})], 1, seed=4)
    report = SessionLog(log.folder).health()
    assert (report.duplicates, report.others) == (1, 1)
    compact(log)
    assert sorted(what[:12] for what in harms(log)) == ["1 events of ", "3 events of "]


def test_parts_that_were_replaced_stay_for_readers_that_began_before(log: SessionLog) -> None:
    for number in range(4):
        said(log, [f"event {number}"])
        log.compact()
    assert len(current(log).parts) == 1
    replaced = [log.folder / file.name for file in current(log).retired if file.name.startswith("parts/")]
    for _ in range(3):
        log.compact()
        assert len(replaced) == 4 and all(path.exists() for path in replaced)


def test_session_that_would_begin_while_a_repair_takes_its_events_in_waits(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    said(log, ["one"])
    compact(log)
    (part,) = current(log).parts
    shutil.copytree(log.folder / "parts", log.folder.parent / "parts")
    flip(log.folder / part.name)
    repair(log.folder)
    (log.folder / numbers.NAME).unlink()
    shutil.copytree(log.folder.parent / "parts", log.folder / "parts", dirs_exist_ok=True)
    real, refused = leftovers.taken_in, list[str]()

    def taken_in(*arguments: Any) -> leftovers.Taken:
        with pytest.raises(SessionBusy):
            said(log, ["meanwhile"])
        refused.append("talk")
        return real(*arguments)

    monkeypatch.setattr(leftovers, "taken_in", taken_in)
    monkeypatch.setattr(locks, "_PURGE_SECONDS", 0.1)
    repair(log.folder)
    said(log, ["after"])
    assert refused and words(log) == {"talk": ["one", "after"]} and harms(log) == []


def test_import_gives_numbers_of_lost_events_to_nobody_but_them(log: SessionLog) -> None:
    said(log, ["one"])
    compact(log)
    with SessionLog(log.folder) as other, other.session("chat", id="talk") as talk:
        talk.append("user", "two")
    compact(log)
    part = max(current(log).parts, key=lambda part: part.last)
    exported = list(SessionLog(log.folder).scan())
    flip(log.folder / part.name)
    repair(log.folder)
    assert numbers.given(log.folder) == {"talk": 5}
    shutil.copytree(log.folder, log.folder.parent / "copy")
    other = SessionLog(log.folder.parent / "copy")
    other.ingest(exported)
    assert [event.seq for event in other.events("talk")] == [0, 1, 2, 3, 4, 5]
    changed = [{"seq": 6 + n, "content": f"new {n}", "role": "user", "attributes": {}} for n in range(2)]
    new = [event.model_copy(update=change) for event, change in zip(exported[:2], changed, strict=True)]
    SessionLog(log.folder).ingest([*exported[:3], *new])
    assert [event.seq for event in SessionLog(log.folder).events("talk")] == [0, 1, 2, 6, 7]
    SessionLog(log.folder).ingest(exported)
    assert words(log) == {"talk": ["one", "two", "new 0", "new 1"]}


def test_parts_and_manifests_that_are_gone_are_told_by_the_rollup_and_counted_when_they_come_back(log: SessionLog) -> None:
    said(log, ["one", "two"])
    compact(log)
    said(log, ["live"])  # later events of a session do not make those that it lost fewer
    shutil.copytree(log.folder / "parts", log.folder.parent / "backup")
    shutil.rmtree(log.folder / "parts")
    for name in (manifest.NAME, manifest.BEFORE):
        (log.folder / name).unlink()
    assert harms(log) == ["MANIFEST, the list of parts, is missing"]
    assert repair(log.folder)[1] == "1 parts are missing, with 4 events; 0 events were read again, 4 events are lost."
    said(log, ["new"])
    compact(log)
    assert "4 events of 1 damaged parts are lost" in harms(log)
    shutil.copytree(log.folder.parent / "backup", log.folder / "parts", dirs_exist_ok=True)
    repair(log.folder)
    assert words(log) == {"talk": ["one", "two", "live", "new"]} and harms(log) == []


def test_part_that_cannot_be_read_without_a_manifest_is_no_loss_when_its_segments_are_there(log: SessionLog) -> None:
    said(log, ["one", "two"])
    log.compact()
    flip(log.folder / current(log).parts[0].name)
    for name in (manifest.NAME, manifest.BEFORE):
        (log.folder / name).unlink()
    repair(log.folder)
    assert words(log) == {"talk": ["one", "two"]} and harms(log) == []


def test_part_that_comes_back_after_a_repair_killed_between_its_two_manifests_is_seen(
    log: SessionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(log, ["one", "two"])
    compact(log)
    path = log.folder / current(log).parts[0].name
    shutil.copy2(path, log.folder.parent / "backup")
    flip(path)
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "_remove_unnamed", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repair(log.folder)
    shutil.copy2(log.folder.parent / "backup", path)
    repair(log.folder)
    assert words(log) == {"talk": ["one", "two"]} and harms(log) == []


def test_follower_of_a_session_that_lost_its_end_gets_nothing_twice(log: SessionLog) -> None:
    said(log, ["one"])
    compact(log)
    said(log, ["two"])
    compact(log)
    following = SessionLog(log.folder).tail(follow=True, n=1, poll_seconds=0.001)
    assert next(following).seq == 5
    flip(log.folder / max(current(log).parts, key=lambda part: part.last).name)
    repair(log.folder)
    said(log, ["elsewhere"], "other")
    assert [(event.session, event.seq) for event in (next(following) for _ in range(3))] == [("other", 0), ("other", 1), ("other", 2)]
    said(log, ["three"])
    assert [next(following).seq for _ in range(3)] == [6, 7, 8]


def test_copy_in_quarantine_stays_when_somebody_writes_over_the_file(log: SessionLog) -> None:
    (path,) = write_segments(log.folder, [], 1)
    path.write_bytes(b"first")
    copy = quarantine.keep_copy(log.folder, path)
    path.write_bytes(b"second")
    assert copy is not None and copy.read_bytes() == b"first"


@pytest.mark.parametrize(
    "note",
    [
        '{"parts": [], "rows": 1, "lost": null}',
        '{"parts": ["a"], "rows": 1, "lost": null, "spans": [[0, 1e300]]}',
        '{"parts": ["a"], "rows": 1, "lost": null, "spans": [[0, Infinity]]}',
        '{"parts": ["' + "a" * 300 + '"], "rows": 1, "lost": null}',
        "[" * 100_000,
    ],
)
def test_note_that_says_nonsense_stops_no_repair_and_is_told(log: SessionLog, note: str) -> None:
    said(log, ["one"])
    (log.folder / "quarantine").mkdir()
    for name in ("lost-events.a.json", "other-events.a.json", "frames.json"):
        (log.folder / "quarantine" / name).write_text(note)
    (log.folder / "quarantine" / "other-events.b.json").write_text('{"file": "a", "events": 1e999}')
    assert repair(log.folder) == ()
    found = {finding.where: finding.what for finding in examine(log.folder).findings}
    assert len(found) == 4 and all("cannot be read" in what or "no note" in what for what in found.values())
