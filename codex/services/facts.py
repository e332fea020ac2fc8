"""What was found out about a run's model and data before it starts, in sentences; the same in every face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex.core import numbers

if TYPE_CHECKING:
    from codex.services.train import Plan


def model_facts(planned: Plan) -> list[str]:
    """What is known of the model before its weights are loaded."""
    info, asked = planned.model, planned.composed.config.model
    if info is None:
        return ["Model: a new one, built from nothing."]
    stored = f", stored in {info.dtype}{f' ({info.quantized})' if info.quantized else ''}"
    context = f", context {numbers.count(info.context)} tokens" if info.context else ""
    return [f"Model: {asked.source}, {info.architecture}, {numbers.count(info.parameters)} parameters{stored}{context}."]


def data_facts(planned: Plan) -> list[str]:
    """What was read and how it is split."""
    data = planned.data
    counts = f"{numbers.count(len(data.train))} to train on, {numbers.count(len(data.heldout))} held out"
    return [f"Data: {data.source} ({data.format}), {counts}.", *planned.audit, *(f"Note: {each}" for each in data.notes)]
