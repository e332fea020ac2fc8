"""Whether a log has changed, and what is said of its damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex.core.paths import Workspace
from codex.services import log_state
from codex.services.log_state import Health, damage_seen, state_of
from codex.sessionlog import SessionLog
from tests.sessionlog.logs import flip, some_events


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose log has some events."""
    made = Workspace(tmp_path / "workspace").create()
    with SessionLog.open(made) as log:
        log.ingest(some_events(20))
    return made


def test_log_has_another_state_when_it_grows_or_is_compacted_and_the_same_otherwise(workspace: Workspace, tmp_path: Path) -> None:
    assert state_of(tmp_path / "nothing") == ()
    states = [state_of(workspace.log)]
    assert state_of(workspace.log) == states[0]
    with SessionLog.open(workspace) as log, log.session("chat") as chat:
        states.append(state_of(workspace.log))
        chat.append("user", "More.")
        states.append(state_of(workspace.log))
    states.append(state_of(workspace.log))
    SessionLog.open(workspace).compact()
    states.append(state_of(workspace.log))
    assert len(set(states)) == len(states)


def test_what_cannot_be_looked_at_is_a_state_of_its_own(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    known = state_of(workspace.log)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert state_of(workspace.log) not in (known, ())


def test_damage_is_told_in_the_words_of_the_command_line_and_looked_for_now_and_then(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SessionLog.open(workspace)
    log.compact()
    health = Health(log)
    assert health.damage() is None
    flip(next((workspace.log / "parts").glob("*/*")))
    assert health.damage() is None, "kept for a while"
    monkeypatch.setattr(log_state, "HEALTH_SECONDS", 0.0)
    told = health.damage()
    assert told is not None and told == damage_seen(log)
    assert told.startswith("1 compacted files are damaged, the first parts/")
