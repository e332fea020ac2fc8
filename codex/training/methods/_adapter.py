"""The settings that LoRA and QLoRA share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from codex.config.schema import MethodSettings
from codex.config.section import basic

ModuleName = Annotated[str, Field(min_length=1)]


class AdapterSettings(MethodSettings):
    """A low-rank adapter on linear layers (https://arxiv.org/abs/2106.09685)."""

    rank: int = Field(
        16,
        ge=1,
        le=512,
        title="Rank",
        description="Width of the adapter. 8 to 64 is usual; more learns more and takes more memory.",
        json_schema_extra=basic(),
    )
    alpha: int = Field(
        32,
        ge=1,
        le=2048,
        title="Alpha",
        description="How strongly the adapter acts: its output is scaled by alpha / rank.",
        json_schema_extra=basic(),
    )
    dropout: float = Field(
        0.0, ge=0.0, lt=1.0, title="Dropout", description="Share of the adapter's inputs that are zeroed while training."
    )
    target_modules: Literal["all-linear"] | Annotated[list[ModuleName], Field(min_length=1)] = Field(
        "all-linear", title="Layers", description="`all-linear`, or a list of layer names such as `[q_proj, v_proj]`."
    )
    rank_stabilised: bool = Field(
        False,
        title="Rank-stabilised",
        description="Scales by alpha / sqrt(rank) instead (https://arxiv.org/abs/2312.03732); for high ranks.",
    )
    adapter_dtype: Literal["float32", "bfloat16"] = Field(
        "float32", title="Adapter's type", description="Type of the adapter's own weights. In bfloat16 small steps are rounded away."
    )

    def attach(self, model: Any, seed: int) -> Any:
        """`model` with a new adapter, the only weights that train."""
        from codex.training.adapters import attach_lora

        return attach_lora(model, self, seed)
