"""QLoRA: train a low-rank adapter beside frozen weights that are held in 4 bits (https://arxiv.org/abs/2305.14314)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from codex.core.registry import register
from codex.training.methods._adapter import AdapterSettings

if TYPE_CHECKING:
    from codex.models.load import Quantization


@register("method")
class QloraSettings(AdapterSettings):
    """A low-rank adapter beside weights that are held in 4 bits."""

    name: str = Field("qlora", pattern="^qlora$", title="Method", description="How the weights are changed.")
    quantization_type: Literal["nf4", "fp4"] = Field(
        "nf4",
        title="4-bit type",
        description="`nf4` spaces its 16 values as normally distributed weights need them; `fp4` is a 4-bit float.",
    )
    double_quantization: bool = Field(
        True, title="Double quantisation", description="Quantises the scales as well: 0.37 bits a weight less, for almost no loss."
    )
    compute_dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        title="Compute type",
        description="Type that 4-bit weights are multiplied in. bfloat16 on GPUs that have it; float32 on CPU.",
    )

    def quantization(self) -> Quantization:
        """4-bit weights as these settings say."""
        from codex.models.load import Quantization

        return Quantization(kind=self.quantization_type, double=self.double_quantization, compute_dtype=self.compute_dtype)
