"""The torch side of the methods: put the weights that will train onto a loaded model, and save them as one complete folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from codex.core.files import fsync_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from codex.training.methods._adapter import AdapterSettings


def attach_lora(model: PreTrainedModel, settings: AdapterSettings, seed: int) -> PreTrainedModel:
    """`model` with a new LoRA adapter (https://arxiv.org/abs/2106.09685), its weights drawn by `seed`.

    Args:
        model: the base, quantised or not; its weights stop training.
        settings: rank, alpha, dropout, target_modules, rank_stabilised.
        seed: of the adapter's first weights.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    wanted = settings.target_modules
    adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=wanted if isinstance(wanted, str) else list(wanted),
        use_rslora=settings.rank_stabilised,
        bias="none",
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, adapter)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(getattr(torch, settings.adapter_dtype))
    return adapted  # pyright: ignore[reportReturnType]


def save_whole(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save adapter or model, and tokenizer, into `folder`, which is complete or absent."""
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(str(partial), safe_serialization=True)
    tokenizer.save_pretrained(str(partial))
    readme = partial / "README.md"
    readme.unlink(missing_ok=True)  # PEFT's template says nothing that report.json does not
    for file in partial.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    fsync_folder(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    fsync_folder(folder.parent)
