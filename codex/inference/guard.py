"""Forward passes through a model that others may be training, which leave no trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from codex.core.errors import ModelError


class Guard:
    """Switches a model to judging, with or without its adapter, and back.

    It flips the one flag that PEFT's layers look at. PEFT's own `disable_adapter` also turns gradients on and off and looks through
    the whole model twice, which for a small model costs more than the forward pass itself.

    Args:
        model: a transformers model, or a PEFT model around one.

    Raises:
        ModelError: the model has an adapter of a kind that cannot be switched off in this way.
    """

    def __init__(self, model: Any) -> None:
        self._modules: list[Any] = list(model.modules())
        self._adapters = [module for module in self._modules if hasattr(module, "_disable_adapters")]
        if hasattr(model, "peft_config") and not self._adapters:
            raise ModelError("the adapter's kind cannot be switched off", "expected LoRA or one of its kin", "Train a LoRA adapter.")

    @property
    def has_adapter(self) -> bool:
        """Whether there is an adapter to switch off."""
        return bool(self._adapters)

    @contextmanager
    def judging(self, adapter_on: bool) -> Iterator[None]:
        """Without gradients, in eval mode, with or without the adapter; then all as it was."""
        import torch

        training = [module for module in self._modules if module.training]
        switched = [] if adapter_on else [module for module in self._adapters if not module._disable_adapters]
        try:
            for module in training:
                module.training = False
            for module in switched:
                module._disable_adapters = True
            with torch.no_grad():
                yield
        finally:
            for module in switched:
                module._disable_adapters = False
            for module in training:
                module.training = True
