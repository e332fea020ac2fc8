"""What is said of a plan's model and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex.core.paths import Workspace
from codex.services.facts import data_facts, model_facts
from codex.services.train import Plan, plan


def planned(workspace: Workspace, *overrides: str, **values: Any) -> Plan:
    return plan(overrides=overrides, workspace=workspace, values={name.replace("__", "."): value for name, value in values.items()})


@pytest.fixture
def sums(workspace: Workspace, tiny_folder: Path, small_data: Path) -> Plan:
    """A plan of 60 examples for the tiny model."""
    return planned(workspace, model__source=str(tiny_folder), data__source=str(small_data), data__heldout_share=0.3, data__max_tokens=64)


def test_model_facts_name_model_size_type_and_context(sums: Plan, tiny_folder: Path) -> None:
    (fact,) = model_facts(sums)
    assert fact.startswith(f"Model: {tiny_folder}, LlamaForCausalLM, ")
    assert fact.endswith(" parameters, stored in F32, context 256 tokens.")


def test_model_facts_of_a_model_from_nothing_say_so(workspace: Workspace, small_data: Path) -> None:
    scratch = planned(workspace, "recipe=pretrain-tiny", f"data.source={small_data}", tracking__mlflow=False)
    assert model_facts(scratch) == ["Model: a new one, built from nothing."]


def test_data_facts_name_source_counts_and_what_carries_loss(sums: Plan, small_data: Path) -> None:
    first, *audit = data_facts(sums)
    train, heldout = len(sums.data.train), len(sums.data.heldout)
    assert first == f"Data: {small_data} (prompt-completion), {train} to train on, {heldout} held out."
    assert audit[: len(sums.audit)] == list(sums.audit)
    assert "carry loss" in audit[0]
