"""What is replaced goes after the grace, and not before two MANIFESTs can do without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex.core import clock
from codex.sessionlog import SessionLog, manifest
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.doctor import repair
from tests.sessionlog.logs import by_key, current, flip, some_events, write_segments

pytestmark = pytest.mark.usefixtures("no_text")


@pytest.mark.parametrize(("ahead", "stays"), [(365 * 86_400, False), (60, True)])
def test_segment_done_by_a_clock_that_ran_ahead_goes_when_the_clock_is_right(
    log: SessionLog, monkeypatch: pytest.MonkeyPatch, ahead: int, stays: bool
) -> None:
    (path,) = write_segments(log.folder, some_events(20), count=1)
    now = clock.now()
    with monkeypatch.context() as patching:
        patching.setattr(clock, "now", lambda: now + ahead)
        log.compact()
    Compactor(log.folder).publish()
    assert path.exists()
    log.compact()
    assert path.exists() == stays


def test_segment_stays_until_a_second_manifest_calls_it_done(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    events = some_events(20)
    (path,) = write_segments(log.folder, events, count=1)
    real, called_done = Path.unlink, list[list[bool]]()

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self == path:
            both = current(log), manifest.read_before(log.folder)
            called_done.append([known is not None and path.name in {each.name for each in known.done} for known in both])
        real(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    log.compact(grace_seconds=0)
    assert called_done == [[True, True]]
    flip(log.folder / manifest.NAME)
    repair(log.folder)
    assert by_key(SessionLog(log.folder).scan()) == by_key(events)


def test_files_of_the_manifest_before_are_no_leftovers(log: SessionLog) -> None:
    write_segments(log.folder, some_events(20), count=1)
    log.compact()
    known = current(log)
    assert known.sessions is not None
    manifest.publish(log.folder, known.model_copy(update={"sessions": None, "retired": ()}))
    Compactor(log.folder).clear_leftovers()
    assert (log.folder / known.sessions.name).exists()
    manifest.publish(log.folder, current(log))
    Compactor(log.folder).clear_leftovers()
    assert not (log.folder / known.sessions.name).exists()
