"""Turn a finished `pretrain-tiny` run into the shipped codex-tiny: bf16 weights, tokenizer, and the numbers for its card.

    codex-ml train recipe=pretrain-tiny
    python -m codex.models.release ~/.codex-ml/runs/r-0001/adapter

`python -m tests.benchmarks.tiny_bits --json` then measures what is shipped.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from codex.core.paths import tiny_model_folder

LARGEST_BYTES = 10_000_000


def release(trained: Path, shipped: Path) -> int:
    """Write the model of `trained` to `shipped` in bf16; the card beside it stays.

    Returns:
        Bytes of the weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.bfloat16, local_files_only=True)
    model.config.use_cache = True  # switched off for training only
    tokenizer = AutoTokenizer.from_pretrained(trained, local_files_only=True)
    partial = shipped.with_name(".partial-codex_tiny")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    settings = partial / "tokenizer_config.json"
    kept = {key: value for key, value in json.loads(settings.read_text()).items() if key not in ("is_local", "local_files_only")}
    settings.write_text(json.dumps(kept, indent=2) + "\n")
    shipped.mkdir(parents=True, exist_ok=True)
    for file in partial.iterdir():
        file.chmod(0o644)
        file.replace(shipped / file.name)
    partial.rmdir()
    return (shipped / "model.safetensors").stat().st_size


if __name__ == "__main__":
    size = release(Path(sys.argv[1]), tiny_model_folder())
    print(f"{size:,} bytes")  # noqa: T201 - a program for whoever releases
    if size > LARGEST_BYTES:
        sys.exit(f"expected at most {LARGEST_BYTES:,}")
