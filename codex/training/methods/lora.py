"""LoRA: train a low-rank adapter beside frozen weights."""

from __future__ import annotations

from pydantic import Field

from codex.core.registry import register
from codex.training.methods._adapter import AdapterSettings


@register("method")
class LoraSettings(AdapterSettings):
    """A low-rank adapter beside weights that keep their precision."""

    name: str = Field("lora", pattern="^lora$", title="Method", description="How the weights are changed.")
