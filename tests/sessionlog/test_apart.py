"""Numbers whose events were lost are given again, and then what had them comes back: nothing of either is dropped."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from codex.core.events import Event
from codex.sessionlog import SessionLog, manifest, quarantine
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
def test_part_that_comes_back_after_its_session_went_on_loses_nothing(log: SessionLog, texts: Sequence[str], compacted: bool) -> None:
    path, old = lose_part(log), ["old 1", "old 2", "old 3"]
    if texts:
        said(log, texts)
    if compacted:
        compact(log)
    for turn in range(2 if texts else 1):  # a second time it brings nothing new
        shutil.copy2(log.folder.parent / "backup", path)
        assert "5 events stand in a part that MANIFEST does not know of, as if it were an old one" in harms(log)
        assert f"MANIFEST did not know of 1 parts: {0 if turn else 5} events were taken in." in repair(log.folder)
        SessionLog(log.folder).compact(grace_seconds=0)
        told = words(log)
        apart = {name for name in told if name.startswith("talk-restored-")}
        assert told == {"talk": list(texts) or old, **dict.fromkeys(apart, old)}
        assert len(apart) == bool(texts)
        assert harms(log) == []


def test_part_that_both_manifests_forgot_is_kept_apart_from_what_was_said_since(log: SessionLog) -> None:
    said(log, ["first"])
    compact(log)
    names = (manifest.NAME, manifest.BEFORE)
    for name in names:
        shutil.copy(log.folder / name, log.folder.parent / name)
    said(log, ["old 1", "old 2", "old 3"])
    compact(log)
    for name in names:
        shutil.copy(log.folder.parent / name, log.folder / name)
    said(log, ["new 1", "new 2"])
    assert any("took them in" in each or "taken in" in each for each in repair(log.folder))
    told = words(log)
    (apart,) = told.keys() - {"talk"}
    assert told == {"talk": ["first", "new 1", "new 2"], apart: ["old 1", "old 2", "old 3"]}
    assert harms(log) == []


def _talk(texts: Sequence[str], ts: float) -> list[Event]:
    return [
        Event(session="talk", seq=seq, ts=ts + seq / 1e4, role="user", kind="chat", content=text)
        for seq, text in enumerate(texts)
    ]  # fmt: skip


@pytest.mark.parametrize("between", [False, True], ids=["in one compaction", "after it"])
def test_segment_that_comes_back_after_its_numbers_were_given_again_loses_nothing(log: SessionLog, between: bool) -> None:
    old, new = _talk([f"old {n}" for n in range(5)], 1_795_392_000.0), _talk([f"new {n}" for n in range(9)], 1_795_392_100.0)
    for seed, events in enumerate((new[:3], [*new[3:7], *new[:1]], new[7:]), 2):  # the last has no number that the old one has
        write_segments(log.folder, events, 1, seed=seed)
    if between:
        compact(log)
    write_segments(log.folder, [*old, *old[2:]], 1, seed=1)
    compact(log)
    told = words(log)
    (apart,) = told.keys() - {"talk"}
    assert told == {"talk": [event.content for event in new], apart: [event.content for event in old]}


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
