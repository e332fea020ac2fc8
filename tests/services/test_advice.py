"""What is advised after a run that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex.config.compose import compose
from codex.core.paths import Workspace
from codex.runs.status import Reason
from codex.services import runs
from codex.services.advice import fixes
from codex.services.configure import flat_values
from tests.made import Made

OUT_OF_MEMORY = Reason("out of memory", "Out of memory.")


def advised(tmp_path: Path, reason: Reason, *overrides: str) -> list[tuple[str, ...]]:
    run = Made(Workspace(tmp_path)).run(state="failed", reason=reason)
    settings = flat_values(compose(overrides=overrides, environ={}).resolved_yaml())
    return [fix.overrides for fix in fixes(runs.show(run.id, workspace=Workspace(tmp_path)), settings)]


def test_out_of_memory_offers_the_same_batch_in_halves_first(tmp_path: Path) -> None:
    found = advised(tmp_path, OUT_OF_MEMORY, "training.batch_size=8", "training.gradient_accumulation=3")
    assert found[0] == ("training.batch_size=4", "training.gradient_accumulation=6")
    assert ("training.gradient_checkpointing=true",) in found


@pytest.mark.parametrize(
    ("overrides", "absent"),
    [
        (["training.batch_size=1"], "training.batch_size"),
        (["training.gradient_checkpointing=true"], "training.gradient_checkpointing"),
        (["data.max_tokens=64"], "data.max_tokens"),
        (["method=qlora"], "method"),
    ],
)
def test_out_of_memory_offers_nothing_that_is_so_already(tmp_path: Path, overrides: list[str], absent: str) -> None:
    assert not [each for fix in advised(tmp_path, OUT_OF_MEMORY, *overrides) for each in fix if each.partition("=")[0] == absent]


@pytest.mark.parametrize("overrides", [["method=lora"], ["training.batch_size=16"], []])
def test_every_fix_is_a_valid_configuration(tmp_path: Path, overrides: list[str]) -> None:
    found: list[Any] = advised(tmp_path, OUT_OF_MEMORY, *overrides)
    assert found
    for fix in found:
        compose(overrides=[*overrides, *fix], environ={})


@pytest.mark.parametrize("kind", ["killed", "error", "machine restarted"])
def test_other_endings_have_no_setting_that_helps(tmp_path: Path, kind: Any) -> None:
    assert advised(tmp_path, Reason(kind, "It ended.")) == []
