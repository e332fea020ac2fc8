"""Hydra: what it would compose itself, its global state under threads, and files that it chokes on."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from codex.config import compose as module
from codex.config.compose import Composed, compose
from codex.config.library import Library
from codex.config.table import flat
from codex.core.errors import ConfigError
from codex.core.paths import Workspace, shipped_recipes
from tests.config.conftest import ComposeHere, Write


def _as_hydra_composes(folders: list[Path], recipe: str, choices: list[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    home = next(folder for folder in folders if (folder / f"{recipe}.yaml").exists())
    others = [module._quoted(f"file://{folder}") for folder in folders if folder != home]  # pyright: ignore[reportPrivateUsage]
    search = [f"hydra.searchpath=[{','.join(others)}]"] if others else []
    with initialize_config_dir(version_base=None, config_dir=str(home)):
        found = OmegaConf.to_container(hydra_compose(recipe, overrides=[*choices, *search]), throw_on_missing=False)
    assert isinstance(found, dict)
    return dict(flat({str(key): value for key, value in found.items()}))


CHOICES = [
    "method=lora",
    "method=qlora-bf16",
    "training=gpu-24gb",
    "data=stdlib-source",
    "evaluation=none",
    "tracking=log-only",
    "model=llama-8b",
]


@pytest.mark.parametrize(
    "recipe", ["qlora-docstrings", "lora-docstrings", "qlora-chat", "qlora-8b-24gb", "pretrain-tiny", "mine", "middle"]
)
def test_compose_values_equal_those_that_hydra_itself_composes(recipe: str, write: Write, workspace: Workspace) -> None:
    """Hydra's own composition is the oracle of ours, which takes only the order of the files from it."""
    write("training/long", "defaults: [quick-cpu, _self_]\nsteps: 900\nwarmup_steps: 7\n")
    write("middle", "defaults: [qlora-docstrings, {override training: long}, _self_]\nmethod: {rank: 64}\nmodel: {scratch: {layers: 3}}\n")
    write(
        "mine",
        "defaults: [middle, {override evaluation: none}, _self_]\nmethod: {alpha: 1}\nmodel: {scratch: null}\ntraining: {steps: 901}\n",
    )
    library = Library.of(workspace)
    for count in (0, 3, len(CHOICES)):
        chosen = dict(choice.split("=") for choice in CHOICES[:count])
        table = module._recipe_table(library, recipe, chosen, {"recipe": "test"})  # pyright: ignore[reportPrivateUsage]
        ours = {name: entry.value for name, entry in table.items() if name != "recipe"}
        theirs = _as_hydra_composes(list(library.folders), recipe, [f"{group}={option}" for group, option in chosen.items()])
        assert ours == theirs


def test_compose_eight_threads_at_once_all_agree(workspace: Workspace, write: Write) -> None:
    """Hydra's global state fails when threads share it; every composition here asks Hydra anew, and threads change places often."""
    for number in range(8):
        write(f"own{number}", f"defaults: [lora-docstrings, _self_]\ntraining: {{steps: {number + 1}}}\n")
    results: dict[int, list[int]] = {}
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        steps: list[int] = []
        for turn in range(4):
            module._merge_order.cache_clear()  # pyright: ignore[reportPrivateUsage]
            steps.append(compose(f"own{(number + turn) % 8}", workspace=workspace, environ={}).config.training.steps)
        results[number] = steps

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert results == {number: [(number + turn) % 8 + 1 for turn in range(4)] for number in range(8)}


def test_compose_inside_a_hydra_program_leaves_its_hydra_alone(composed: ComposeHere) -> None:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    module._merge_order.cache_clear()  # pyright: ignore[reportPrivateUsage]
    with initialize_config_dir(version_base=None, config_dir=str(shipped_recipes())):
        assert composed().config.method.name == "qlora"
        assert hydra_compose("lora-docstrings").method.name == "lora"


ODD = [
    text.encode()
    for text in (": ", "- ", "\n", "\t", "\0", "&a ", "*a", "!!x ", "${x}", "{", "[", "'", "#", "? ", "| ", "???", "<<: ", "  ")
]
ODD.append(b"\xff")


def test_three_hundred_mutated_recipe_files_compose_or_say_why(write: Write, workspace: Workspace) -> None:
    rng = random.Random(7)
    texts = [(shipped_recipes() / f"{name}.yaml").read_bytes() for name in ("qlora-docstrings", "lora-docstrings", "pretrain-tiny")]
    texts.append(b"defaults:\n  - qlora-docstrings\n  - override method: lora\n  - _self_\ntraining:\n  steps: 3\n")
    outcomes = {True: 0, False: 0}
    for _ in range(300):
        text = rng.choice(texts)
        start, length = rng.randrange(len(text)), rng.choice([0, 0, 1, 8])
        text = text[:start] + rng.choice([*ODD, b"", rng.choice(texts)[:60]]) + text[start + length :]
        write("own", text)
        try:
            assert isinstance(compose("own", workspace=workspace, environ={}), Composed)
            outcomes[True] += 1
        except ConfigError as error:
            outcomes[False] += 1
            for problem in error.problems:
                assert problem.what and problem.expected.startswith("expected ") and problem.fix, text
                assert "Hydra" not in problem.what, text  # our own words come first
    assert min(outcomes.values()) > 50, outcomes
