"""No number is given twice, and where two events have one all the same, one of them is kept aside and told."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from codex.core import clock
from codex.core.events import Event
from codex.sessionlog import SessionLog, doctor, manifest, quarantine
from codex.sessionlog.doctor import examine, repair
from tests.sessionlog.logs import by_key, current, flip, write_segments

pytestmark = pytest.mark.usefixtures("no_text")


def said(log: SessionLog, texts: Sequence[str], session: str = "talk") -> None:
    """Go on with a session, as another process does."""
    with SessionLog(log.folder) as other, other.session("chat", id=session) as talk:
        for text in texts:
            talk.append("user", text)


def compact(log: SessionLog) -> None:
    """Compact, and have everything go that is not needed any more."""
    for _ in range(3):
        SessionLog(log.folder).compact(grace_seconds=0)


def words(log: SessionLog) -> dict[str, list[str]]:
    """What users said, by session; every event counts once and no number is missing."""
    fresh = SessionLog(log.folder)
    found = by_key(fresh.scan())
    told: dict[str, list[str]] = {}
    for event in fresh.scan():
        if event.role == "user":
            told.setdefault(event.session, []).append(event.content)
    assert sum(info.events for info in fresh.sessions()) == len(found)
    assert fresh.health().missing == 0
    return told


def harms(log: SessionLog) -> list[str]:
    return [finding.what for finding in examine(log.folder).findings if finding.harm != "none"]


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
        patch.setattr(doctor, "_count_lost", lambda folder: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repair(log.folder)
    assert repair(log.folder)[0].endswith("5 events were read again, 0 events are lost.")
    assert harms(log) == []


def test_part_that_both_manifests_forgot_is_kept_aside_when_others_have_its_numbers(log: SessionLog) -> None:
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
        assert any(each.startswith("7 events have numbers that others have") for each in repair(log.folder))
        assert words(log) == {"talk": ["first", "new"]}
        found = [what for what in harms(log) if "have numbers that others have in the log" in what]
        assert [what.split()[0] for what in sorted(found)] == ["3", "4"] and len(found) == len(harms(log))
        for each in parts[1:]:
            shutil.copy2(log.folder.parent / each.name, each)
    kept = [path for path in (log.folder / "quarantine").iterdir() if not path.name.endswith(".json")]
    assert {path.read_bytes() for path in kept} == {(log.folder.parent / each.name).read_bytes() for each in parts[1:]}


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
        assert words(log) == {"talk": [event.content for event in new]}
        found = [what for what in harms(log) if "have numbers that others have in the log" in what]
        assert [what.split()[0] for what in sorted(found)] == ["5", "7"]


def test_old_segment_of_free_numbers_goes_with_the_one_of_taken_numbers(log: SessionLog) -> None:
    old, new = _talk([f"old {n}" for n in range(12)], 1_795_392_000.0), _talk(["new 0", "new 1"], 1_795_392_100.0)
    for seed, events in enumerate((old[:5], old[5:], new), 1):
        write_segments(log.folder, events, 1, seed=seed)
    compact(log)
    assert words(log) == {"talk": ["new 0", "new 1"]}


def test_segment_that_was_never_gone_stays_when_the_next_one_comes_back(log: SessionLog) -> None:
    old, new = _talk([f"old {n}" for n in range(6)], 1_795_392_000.0), _talk(["new 3", "new 4"], 1_795_392_100.0, 3)
    for seed, events in enumerate((old[:3], old[3:], new), 1):
        write_segments(log.folder, events, 1, seed=seed)
    compact(log)
    assert words(log) == {"talk": ["old 0", "old 1", "old 2", "new 3", "new 4"]}


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
