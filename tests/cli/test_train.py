"""`codex-ml train`: dry runs in full, and a real start that is ended at once; whole runs are tested with the services."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest
import yaml

from codex.core.errors import RunError
from codex.core.paths import Workspace
from codex.runs.store import RunStore
from tests.cli.conftest import Cli


def test_dry_run_shows_configuration_changes_model_and_data_and_makes_nothing(cli: Cli, chats: Path, surroundings: Workspace) -> None:
    answer = cli("train", "--dry-run", "recipe=qlora-chat", f"data.source={chats}", "training.steps=7")
    assert answer.code == 0
    assert yaml.safe_load(answer.out)["training"]["steps"] == 7
    assert "steps: 7  # recipe: " in answer.out
    assert "#   training.steps: 7 instead of " in answer.out
    assert "# Model: codex-tiny, LlamaForCausalLM, 4." in answer.out
    assert "context 512 tokens." in answer.out
    assert f"# Data: {chats} (prompt-completion), " in answer.out
    assert "# Disk: at least " in answer.out
    assert answer.err == "Dry run: nothing was started.\n"
    assert not surroundings.root.exists()


def test_dry_run_as_json_is_one_document(cli: Cli, chats: Path) -> None:
    found = cli("train", "--dry-run", "--json", "recipe=qlora-chat", f"data.source={chats}", "method.rank=4").json
    assert found["recipe"] == "qlora-chat"
    assert found["configuration"]["method"]["rank"] == 4
    assert {change["field"] for change in found["changes"]} == {"data.source", "method.rank"}
    assert found["data"]["train"] + found["data"]["heldout"] == 40
    assert found["model"]["context"] == 512
    assert found["needed_bytes"] > 2**20


def test_dry_run_of_the_default_needs_no_argument(cli: Cli) -> None:
    answer = cli("train", "--dry-run")
    assert answer.code == 0
    assert "# As the recipe qlora-docstrings has it." in answer.out
    assert "# Data: stdlib-docstrings (messages), " in answer.out


def test_dry_run_hears_variables_of_the_groups(cli: Cli, chats: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TRAINING__STEPS", "3")
    monkeypatch.setenv("CODEX_SEED", "9")
    found = cli("train", "--dry-run", "--json", "recipe=qlora-chat", f"data.source={chats}", "training.batch_size=2").json
    assert found["configuration"]["training"]["steps"] == 3
    assert found["configuration"]["seed"] == 42
    origins = {change["field"]: change["origin"] for change in found["changes"]}
    assert origins["training.steps"] == "variable CODEX_TRAINING__STEPS"


def test_train_in_a_pipe_starts_prints_the_id_and_lets_it_go_on(cli: Cli, chats: Path, surroundings: Workspace) -> None:
    answer = cli("train", "recipe=qlora-chat", f"data.source={chats}", "title=Mine", "tracking.mlflow=false")
    store = RunStore(surroundings)
    try:
        assert (answer.code, answer.out) == (0, "r-0001\n")
        assert "r-0001 started: Mine." in answer.err
        assert "Follow it: `codex-ml runs follow r-0001`; stop it: `codex-ml runs stop r-0001`." in answer.err
        assert store.view(store.get("1")).active
        assert "runs" in cli("runs", "delete", "1", "--yes").err
    finally:
        stopped = cli("runs", "stop", "1", "--force", "--json")
    assert stopped.code == 0
    deadline = time.monotonic() + 20
    while store.view(store.get("1")).active and time.monotonic() < deadline:
        time.sleep(0.05)
    assert store.view(store.get("1")).state == "stopped"
    assert cli("runs", "follow", "1").code == 1


def _stop_soon(store: RunStore) -> None:
    """End the run as soon as it has a worker."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(RunError):
            store.stop(store.get("1"), 10, force=True)
            return
        time.sleep(0.05)


def test_train_followed_as_json_tells_its_start_and_its_end_one_object_a_line(cli: Cli, chats: Path, surroundings: Workspace) -> None:
    stopper = threading.Thread(target=_stop_soon, args=(RunStore(surroundings),))
    stopper.start()
    answer = cli("train", "recipe=qlora-chat", f"data.source={chats}", "tracking.mlflow=false", "--follow", "--json")
    stopper.join()
    assert answer.code == 1
    assert answer.records[0]["event"] == "started"
    assert (answer.records[-1]["event"], answer.records[-1]["state"]) == ("ended", "stopped")
    resumed = cli("runs", "resume", "1", "--no-follow", "--json")
    _stop_soon(RunStore(surroundings))
    assert resumed.json["run"] == "r-0001"


def test_argument_without_equals_sign_is_refused_with_both_readings(cli: Cli) -> None:
    assert "`recipe=qlora-chat` if it is a recipe" in cli("train", "qlora-chat").err
    assert "Write `training.steps=VALUE`." in cli("train", "training.steps").err
