"""Turn a run's data into what it trains on, what it watches and what it is judged on; the same before a start as in the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codex.config.schema import RunConfig
from codex.core.errors import DataError
from codex.core.protocols import Encoded
from codex.runs.checkpoints import newest_checkpoint
from codex.runs.record import Run
from codex.services import judge

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from codex.data.load import Dataset


DATA_DIGEST = "data.sha256"
"""The file in a run's folder that holds the SHA-256 of what it began with."""


def same_data_as_before(run: Run, fingerprint: str) -> None:
    """A resumed run goes on with the data that it began with, or not at all: half of each would be no run that anyone asked for.

    Raises:
        DataError: it has a checkpoint, and that was trained on other data.
    """
    kept = run.folder / DATA_DIGEST
    began_with = kept.read_text().strip() if kept.exists() else ""
    if began_with and began_with != fingerprint and newest_checkpoint(run.folder) is not None:
        raise DataError(
            f"the data has changed since run {run.id!r} began: its SHA-256 is {fingerprint[:12]}…",
            f"expected {began_with[:12]}…",
            "Put the data back, or start a new run.",
        )


@dataclass(frozen=True)
class EncodedRun:
    """A run's examples as tokens.

    Args:
        train: what is trained on.
        watched: what the held-out loss is measured on while training.
        judged: what the verdict will be about; None when there will be none.
        audit: counts and sentences about `train`.
    """

    train: list[Encoded]
    watched: list[Encoded]
    judged: judge.Judged | None
    audit: dict[str, Any]


def encode_run(config: RunConfig, data: Dataset, tokenizer: PreTrainedTokenizerBase, context: int | None) -> EncodedRun:
    """The examples of `data` as tokens.

    Args:
        config: gives the longest example, what is judged, and the seed.
        data: loaded and split.
        tokenizer: the model's.
        context: the longest text that the model is built for, tokens; None when it does not say.

    Raises:
        DataError: an example has no answer token, or is too long for the model, or the chat template does not fit.
    """
    from codex.data.encode import blocks, encode_all

    most = config.data.max_tokens
    watches = config.training.evaluate_every > 0
    if data.whole_text:
        train = blocks(data.train, tokenizer, most, context)
        heldout = blocks(data.heldout, tokenizer, most, context) if watches else []
        audit = {"blocks": len(train), "block_tokens": most, "words": [f"{len(train):,} blocks of {most:,} tokens; all carry loss."]}
        return EncodedRun(train, judge.choose(heldout, config.evaluation.examples, config.seed), None, audit)
    encoded = encode_all(data.train, tokenizer, most, context)
    judged = judge.prepare(data.heldout, tokenizer, config, context) if config.evaluation.judge else None
    watched = list(judged.items) if judged else []
    if watches and not watched:
        chosen = judge.choose(data.heldout, config.evaluation.examples, config.seed)
        watched = encode_all(chosen, tokenizer, most, context).items
    return EncodedRun(encoded.items, watched, judged, encoded.audit())
