"""`codex-ml doctor` on this machine."""

from __future__ import annotations

import pytest

from codex.services import doctor
from codex.services.doctor import Check
from tests.cli.conftest import Cli


def test_doctor_looks_at_system_packages_model_and_workspace(cli: Cli) -> None:
    found = {check["name"]: check for check in cli("doctor", "--json").json}
    assert {"System", "Python", "Memory", "torch", "codex-tiny", "Workspace"} <= found.keys()
    assert found["torch"]["state"] == "ok"
    assert "Memory" in cli("doctor").out


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("missing", 1)])
def test_doctor_ends_with_1_only_when_something_is_missing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, state: doctor.State, code: int
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda workspace: [Check("Thing", state, "what was found", "`apt install thing`")])
    answer = cli("doctor")
    assert answer.code == code
    assert state in answer.out
    assert "`apt install thing`" in answer.out
    assert ("Missing: Thing." in answer.err) == (state == "missing")
    assert cli("doctor", "--json").code == code
