"""Full training: every weight changes."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from codex.config.schema import MethodSettings
from codex.core.registry import register


@register("method")
class FullSettings(MethodSettings):
    """Every weight is trained; there is nothing more to set."""

    trains_all_weights: ClassVar[bool] = True

    name: str = Field("full", pattern="^full$", title="Method", description="How the weights are changed.")

    def attach(self, model: Any, seed: int) -> Any:
        """`model` itself, every weight of which trains."""
        model.requires_grad_(True)
        return model
