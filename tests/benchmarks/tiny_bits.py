"""Held-out bits per character of the shipped codex-tiny, on standard-library modules that no version of its data holds.

    python -m tests.benchmarks.tiny_bits --json

Every character of every held-out file counts. Text is fed in windows of the model's context of which the second half is scored, so
that each token but a file's first is predicted from at least half a context, as far back as its file goes. The peer is a
general-purpose compressor (LZMA, preset 9 extreme) that may look at all of the training text first.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import random
import time

from codex.config.schema import ModelConfig
from codex.core.paths import Workspace
from codex.data.load import source_prompt
from codex.data.stdlib import SourceFile, source_files
from codex.models.load import load_model, load_tokenizer


def _nats(file: SourceFile, model: object, tokenizer: object) -> tuple[float, int]:
    """(negative log-likelihood of the file's text, its tokens), given the prompt that it follows in the training text."""
    import torch

    prompt = tokenizer.apply_chat_template(  # pyright: ignore[reportAttributeAccessIssue]
        [{"role": "user", "content": source_prompt(file.module)}], tokenize=False, add_generation_prompt=True
    )
    head = tokenizer(prompt, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportCallIssue]
    body = tokenizer(file.text, add_special_tokens=False, verbose=False)["input_ids"]  # pyright: ignore[reportCallIssue]
    ids = head + body
    context = model.config.max_position_embeddings  # pyright: ignore[reportAttributeAccessIssue]
    total, done = 0.0, len(head)
    while done < len(ids):
        first = 0 if done + context // 2 <= context else done - context // 2
        last = min(first + context, len(ids))
        with torch.no_grad():
            logits = model(torch.tensor([ids[first:last]])).logits[0].float()  # pyright: ignore[reportCallIssue]
        targets = torch.tensor(ids[done:last])
        total += torch.nn.functional.cross_entropy(logits[done - first - 1 : last - first - 1], targets, reduction="sum").item()
        done = last
    return total, len(body)


def _lzma_bits(trained: list[SourceFile], heldout: list[SourceFile]) -> float:
    """Bits a character of the held-out text, given all of the training text."""

    def size(text: str) -> int:
        return len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))

    before = "".join(file.text for file in trained)
    after = "".join(file.text for file in heldout)
    return 8 * (size(before + after) - size(before)) / len(after)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--share", type=float, default=1.0, help="of the held-out files, chosen by a fixed seed; 1 for all")
    asked = parser.parse_args()
    import torch

    started = time.monotonic()
    torch.set_num_threads(1)
    source = ModelConfig.model_validate({"source": "codex-tiny", "device": "cpu"})
    workspace = Workspace.locate()
    model, tokenizer = load_model(source, workspace).eval(), load_tokenizer(source, workspace)
    files = list(source_files())
    heldout = [file for file in files if file.split == "heldout"]
    chosen = heldout if asked.share >= 1 else random.Random(0).sample(heldout, max(1, round(asked.share * len(heldout))))
    sums = [_nats(file, model, tokenizer) for file in chosen]
    characters = sum(len(file.text) for file in chosen)
    figures = {
        "heldout_bits_per_character": sum(nats for nats, _ in sums) / math.log(2) / characters,
        "lzma_bits_per_character": _lzma_bits([file for file in files if file.split == "train"], chosen),
        "heldout_characters": characters,
        "heldout_tokens": sum(tokens for _, tokens in sums),
        "heldout_files": len(chosen),
    }
    settings = {"share": asked.share, "context": model.config.max_position_embeddings, "threads": 1}
    print(json.dumps({"benchmark": "tiny_bits", "figures": figures, "settings": settings, "seconds": round(time.monotonic() - started, 1)}))


if __name__ == "__main__":
    main()
