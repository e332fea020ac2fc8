"""Small real tokenizers, and the chat templates of many model families that TRL brings."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex.core.protocols import Message
from codex.data.examples import Example

WORDS = [
    "return",
    "the",
    "sum",
    "of",
    "two",
    "numbers,",
    "a",
    "list.",
    "It's",
    "x=1;",
    "naïve",
    "Bücher",
    "本",
    "😀",
    "{k:",
    "v}",
    "<b>",
    "</p>",
    "###",
    "ok",
]


def _fast(model: Any, pre: Any, decoder: Any, **extra: Any) -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoder
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|eos|>",
        pad_token="<|pad|>",
        clean_up_tokenization_spaces=False,
        **extra,
    )


@pytest.fixture(scope="session")
def byte_tokenizer() -> Any:
    """One token for each byte of text; a character of several bytes is several tokens."""
    from tokenizers import decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[])
    return _fast(model, pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel())


@pytest.fixture(scope="session")
def merging_tokenizer() -> Any:
    """A BPE that merges across words, line breaks and the marks of turns, as no real one would: boundaries fall inside its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre  # pyright: ignore[reportAttributeAccessIssue]
    rng = random.Random(7)
    texts = [f"<|im_start|>user\n{_words(rng)}<|im_end|>\n<|im_start|>assistant\n{_words(rng)}<|im_end|>\n" for _ in range(300)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer: Any = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False)  # pyright: ignore[reportCallIssue]
    trained.train_from_iterator(texts, trainer)
    return _fast(trained.model, pre, decoders.ByteLevel())


def _words(rng: random.Random, fewest: int = 1) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(fewest, 12)))


@pytest.fixture(scope="session")
def conversations() -> Callable[..., list[Example]]:
    """`conversations(count, seed)`: random ones, some with a system turn, of one to three answers, with odd white space here and there."""

    def make(count: int, seed: int, most_answers: int = 3, fewest_words: int = 1) -> list[Example]:
        rng = random.Random(seed)
        return [_conversation(rng, f"random.jsonl:{index + 1}", most_answers, fewest_words) for index in range(count)]

    return make


def _conversation(rng: random.Random, origin: str, most_answers: int, fewest_words: int) -> Example:
    def turn(role: str) -> Message:
        return Message(role, rng.choice(["", "", " ", "\n"]) + _words(rng, fewest_words) + rng.choice(["", "", " ", "\n\n"]))

    turns = [turn("system")] if rng.random() < 0.3 else []
    for _ in range(rng.randint(1, most_answers)):
        turns += [turn("user"), turn("assistant")]
    return Example(messages=tuple(turns), group=origin, origin=origin)


@pytest.fixture(scope="session")
def trl_templates() -> dict[str, str]:
    """Name → text of every chat template in TRL's package."""
    spec = importlib.util.find_spec("trl")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "chat_templates"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}
