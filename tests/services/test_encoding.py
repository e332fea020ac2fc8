"""What is watched and judged is held out, whatever the data is and whoever asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex.config.schema import ModelConfig, RunConfig
from codex.core.paths import Workspace
from codex.core.protocols import Encoded, Message
from codex.data.encode import blocks, encode_all
from codex.data.examples import Example
from codex.data.load import Dataset
from codex.models.load import load_tokenizer
from codex.services.encoding import encode_run
from codex.training.methods.lora import LoraSettings

TOKENS = 64


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Any:
    return load_tokenizer(ModelConfig.model_validate({"source": str(tiny_folder)}), Workspace(Path("unused")))


def _config(*, judge: bool = True, evaluate_every: int = 1, examples: int = 200, seed: int = 42) -> RunConfig:
    return RunConfig.model_validate(
        {
            "method": LoraSettings.model_validate({"name": "lora"}),
            "seed": seed,
            "data": {"max_tokens": TOKENS},
            "training": {"evaluate_every": evaluate_every},
            "evaluation": {"judge": judge, "examples": examples},
        }
    )


def _chats(side: str, count: int) -> list[Example]:
    turns = [(Message("user", f"{side} {number}?"), Message("assistant", f"{side} says {number * 7}.")) for number in range(count)]
    return [Example(messages=each, group=f"{side}{number // 2}", origin=f"{side}:{number}") for number, each in enumerate(turns)]


def _texts(side: str, count: int) -> list[Example]:
    return [
        Example(text=f"{side} {number} " + f"{side[::-1]} {number * 13} " * 20, group=str(number), origin=f"{side}:{number}")
        for number in range(count)
    ]


def _chat_data(train: int = 9, heldout: int = 12) -> Dataset:
    return Dataset(_chats("learnt", train), _chats("kept", heldout), "messages", "file", "0")


def _text_data() -> Dataset:
    return Dataset(_texts("learnt", 4), _texts("kept", 6), "text", "file", "0")


def _encoded(examples: list[Example], tokenizer: Any) -> list[Encoded]:
    return encode_all(examples, tokenizer, TOKENS, None).items


def test_encode_run_chats_watches_and_judges_the_held_out(tokenizer: Any) -> None:
    data = _chat_data()
    made = encode_run(_config(), data, tokenizer, None)
    assert made.train == _encoded(data.train, tokenizer)
    assert made.judged is not None
    assert list(made.judged.examples) == data.heldout
    assert list(made.judged.items) == made.watched == _encoded(data.heldout, tokenizer)
    assert not set(made.train) & set(made.watched)


def test_encode_run_chats_without_judging_still_watches_the_held_out(tokenizer: Any) -> None:
    data = _chat_data()
    made = encode_run(_config(judge=False), data, tokenizer, None)
    assert made.judged is None
    assert made.train == _encoded(data.train, tokenizer)
    assert made.watched == _encoded(data.heldout, tokenizer)


def test_encode_run_chats_neither_judged_nor_watched_needs_no_held_out(tokenizer: Any) -> None:
    data = _chat_data(heldout=0)
    made = encode_run(_config(judge=False, evaluate_every=0), data, tokenizer, None)
    assert (made.judged, made.watched) == (None, [])
    assert made.train == _encoded(data.train, tokenizer)


def test_encode_run_chats_not_watched_are_still_judged_on_the_held_out(tokenizer: Any) -> None:
    data = _chat_data()
    made = encode_run(_config(evaluate_every=0), data, tokenizer, None)
    assert made.judged is not None
    assert list(made.judged.items) == _encoded(data.heldout, tokenizer)


@pytest.mark.parametrize("judge", [True, False])
def test_encode_run_texts_watches_blocks_of_the_held_out(judge: bool, tokenizer: Any) -> None:
    data = _text_data()
    made = encode_run(_config(judge=judge), data, tokenizer, None)
    assert made.judged is None
    assert made.train == blocks(data.train, tokenizer, TOKENS)
    assert made.watched == blocks(data.heldout, tokenizer, TOKENS)
    assert not set(made.train) & set(made.watched)


@pytest.mark.parametrize("judge", [True, False])
def test_encode_run_texts_not_watched_encodes_no_held_out(judge: bool, tokenizer: Any) -> None:
    made = encode_run(_config(judge=judge, evaluate_every=0), _text_data(), tokenizer, None)
    assert (made.judged, made.watched) == (None, [])


@pytest.mark.parametrize("judge", [True, False])
def test_encode_run_more_held_out_than_asked_for_takes_as_many_by_the_seed(judge: bool, tokenizer: Any) -> None:
    data = _chat_data(heldout=20)
    whole = _encoded(data.heldout, tokenizer)
    drawn = [encode_run(_config(judge=judge, examples=5, seed=seed), data, tokenizer, None).watched for seed in (1, 1, 2)]
    places = [[whole.index(item) for item in watched] for watched in drawn]
    assert all(len(each) == 5 and each == sorted(each) for each in places)
    assert places[0] == places[1] != places[2]
    assert [0, 1, 2, 3, 4] not in places


def test_encode_run_texts_more_blocks_than_asked_for_takes_as_many_by_the_seed(tokenizer: Any) -> None:
    data = _text_data()
    whole = blocks(data.heldout, tokenizer, TOKENS)
    drawn = [encode_run(_config(examples=3, seed=seed), data, tokenizer, None).watched for seed in (1, 1, 2)]
    places = [[whole.index(item) for item in watched] for watched in drawn]
    assert all(len(each) == 3 and each == sorted(each) for each in places)
    assert places[0] == places[1] != places[2]
    assert [0, 1, 2] not in places
