"""In which form a run is asked: as it learnt, told by its own files, and by its data only where that is still the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex.core.errors import RunError
from codex.core.paths import Workspace
from codex.services import configure
from codex.services.encoding import DATA_DIGEST
from codex.services.learnt_form import DATA_FORM, learnt_form, told_form
from tests.made import Made


def test_form_that_was_kept_before_training_counts_more_than_the_report(tmp_path: Path) -> None:
    run = Made(Workspace(tmp_path / "workspace")).run()
    assert told_form(run) is None
    run.report.write_text(json.dumps({"data": {"form": "messages"}}))
    assert told_form(run) == "messages"
    (run.folder / DATA_FORM).write_text("prompt-completion\n")
    assert told_form(run) == "prompt-completion"
    (run.folder / DATA_FORM).write_text("nonsense")
    assert told_form(run) == "messages"


def test_form_of_other_data_in_the_same_place_is_not_taken_for_what_was_learnt(tmp_path: Path) -> None:
    made = Made(Workspace(tmp_path / "workspace"))
    run, data = made.run(), tmp_path / "own.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"{number} ", "completion": f"{number + 1}"}) + "\n" for number in range(20)))
    config = configure.compose(["recipe=qlora-chat", f"data.source={data}"], workspace=made.workspace).config
    assert learnt_form(run, config, made.workspace) == "prompt-completion"
    (run.folder / DATA_DIGEST).write_text("of what was there before")
    (run.checkpoints / "checkpoint-2").mkdir(parents=True)
    with pytest.raises(RunError, match=r"the form of what run 'r-0001' learnt is unknown"):
        learnt_form(run, config, made.workspace)
