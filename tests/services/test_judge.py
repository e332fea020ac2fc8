"""What is judged, on which side each score lands, and what the base is when it is scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from codex.config.schema import DataConfig, ModelConfig, RunConfig
from codex.core.paths import Workspace
from codex.core.protocols import Encoded, ItemScore, Message
from codex.data.examples import Example
from codex.data.load import Dataset, load
from codex.inference.local import LocalModel
from codex.models.load import load_model, load_tokenizer
from codex.runs.context import StopRequested
from codex.services import judge
from codex.services.encoding import encode_run
from codex.services.workers.training import UNJUDGED, Prepared, _judge, _score_base_first, _train
from codex.training.methods.full import FullSettings
from codex.training.methods.lora import LoraSettings


@pytest.fixture
def asked(tiny_folder: Path) -> ModelConfig:
    return ModelConfig.model_validate({"source": str(tiny_folder), "device": "cpu"})


@pytest.fixture
def tokenizer(asked: ModelConfig) -> Any:
    return load_tokenizer(asked, Workspace(Path("unused")))


def _config(method: str = "lora", examples: int = 200, seed: int = 42) -> RunConfig:
    settings = FullSettings.model_validate({"name": "full"}) if method == "full" else LoraSettings.model_validate({"name": "lora"})
    evaluation = {"examples": examples, "resamples": 200, "batch_size": 4}
    return RunConfig.model_validate({"method": settings, "seed": seed, "data": {"max_tokens": 64}, "evaluation": evaluation})


def _examples(count: int, groups: int) -> list[Example]:
    """Examples whose answers name their group."""
    return [
        Example(
            messages=(Message("user", f"ask {number}"), Message("assistant", f"group {number % groups} item {number}")),
            group=str(number % groups),
            origin=f"file:{number}",
        )
        for number in range(count)
    ]


def _data() -> Dataset:
    examples = _examples(18, 6)
    return Dataset(examples[:6], examples[6:], "messages", "file", "0")


def _losses(scores: Sequence[ItemScore]) -> list[float]:
    return [score.loss_sum for score in scores]


def test_choose_draws_by_the_seed_in_the_old_order() -> None:
    items = list(range(100))
    drawn = {seed: judge.choose(items, 10, seed) for seed in range(20)}
    assert all(len(set(each)) == 10 and each == sorted(each) for each in drawn.values())
    assert all(drawn[seed] == judge.choose(items, 10, seed) for seed in drawn)
    assert len({tuple(each) for each in drawn.values()}) == 20
    assert len({item for each in drawn.values() for item in each}) > 75  # 88 expected, when every item is as likely


@pytest.mark.parametrize("most", [5, 6])
def test_choose_from_no_more_than_asked_for_takes_all(most: int) -> None:
    assert judge.choose([3, 1, 2, 5, 4], most, seed=1) == [3, 1, 2, 5, 4]


def test_prepare_shuffled_items_keep_the_prompt_and_have_other_groups_answers(tokenizer: Any) -> None:
    heldout = _examples(12, 4)
    made = judge.prepare(heldout, tokenizer, _config(), None)
    assert list(made.examples) == heldout
    assert len(made.shuffled) == len(made.items) == 12
    got = []
    for example, own, swapped in zip(heldout, made.items, made.shuffled, strict=True):
        prompt = own.labels.count(-100)
        assert swapped.input_ids[: prompt - 1] == own.input_ids[: prompt - 1]
        answer = tokenizer.decode([label for label in swapped.labels if label != -100])
        [source] = [other for other in heldout if other.answers[0] in answer and answer.count(other.answers[0] + "0") == 0]
        assert source.group != example.group
        got.append(source.origin)
    assert sorted(got) == sorted(example.origin for example in heldout)  # each answer once


def test_prepare_of_mostly_one_group_has_no_shuffled_items(tokenizer: Any) -> None:
    heldout = [*_examples(3, 1), *_examples(2, 2)[1:]]
    assert judge.prepare(heldout, tokenizer, _config(), None).shuffled == ()


def test_judge_gives_each_score_to_its_side(tokenizer: Any) -> None:
    made = judge.prepare(_examples(24, 12), tokenizer, _config(), None)

    def fake(own: float, shuffled: float) -> judge.Scorer:
        """Scores of so many nats a token."""

        def score(items: Sequence[Encoded]) -> list[ItemScore]:
            nats = own if tuple(items) == made.items else shuffled
            assert tuple(items) in (made.items, made.shuffled)
            return [ItemScore(nats * item.answer_tokens, item.answer_tokens, 0) for item in items]

        return score

    verdict = judge.judge(made, fake(4.0, 5.0), fake(1.0, 4.5), _config(), "held-out rows")
    primary = verdict.primary
    assert primary is not None and verdict.style is not None and verdict.task is not None
    assert (primary.base, primary.adapter, primary.difference.value) == pytest.approx((4.0, 1.0, -3.0))
    assert (verdict.style.value, verdict.task.value) == pytest.approx((-0.5, -2.5))
    assert (verdict.word, verdict.noun, verdict.items, verdict.groups) == ("Better", "held-out rows", 24, 12)
    assert [row.origin for row in verdict.rows] == [example.origin for example in made.examples]
    assert judge.judge(made, fake(1.0, 4.5), fake(4.0, 5.0), _config(), "held-out rows").word == "Worse"


def test_judge_of_four_rows_a_hundred_times_each_claims_nothing(tokenizer: Any, tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"question {number % 4}", "completion": f"answer {number % 4}"}) + "\n" for number in range(400)]
    trained, path = tmp_path / "train.jsonl", tmp_path / "rows.jsonl"
    trained.write_text('{"prompt": "another", "completion": "one"}\n')
    path.write_text("".join(rows))
    data = load(DataConfig.model_validate({"source": str(trained), "heldout": str(path)}), 0, Workspace(tmp_path))
    made = judge.prepare(data.heldout, tokenizer, _config(examples=400), None)
    own = {(item.input_ids, item.labels) for item in made.items}
    assert len(own) == 4
    assert len(made.shuffled) == 400
    assert not [item for item in made.shuffled if (item.input_ids, item.labels) in own]

    def fake(nats: float) -> judge.Scorer:
        return lambda items: [ItemScore(nats * item.answer_tokens, item.answer_tokens, 0) for item in items]

    verdict = judge.judge(made, fake(4.0), fake(1.0), _config(), data.noun, data.group_noun)
    assert (verdict.word, verdict.items, verdict.groups) == ("No difference shown", 400, 4)
    assert "400 held-out examples of 4 prompts; no interval, because the items are of 4 groups" in verdict.sentence
    assert "at least 6" in verdict.sentence
    assert "400 held-out examples of 4 prompts." in verdict.markdown()


def _adapted(asked: ModelConfig, method: LoraSettings) -> Any:
    """The tiny model with an adapter that says other things than its base."""
    model = method.attach(load_model(asked, Workspace(Path("unused"))), 0)
    chance = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.add_(torch.randn(weight.shape, generator=chance) * 0.1)
    return model


def test_scorers_score_the_base_with_the_adapter_off_and_the_adapter_with_it_on(asked: ModelConfig, tokenizer: Any) -> None:
    config = _config()
    assert isinstance(config.method, LoraSettings)
    model = _adapted(asked, config.method)
    items = judge.prepare(_examples(6, 3), tokenizer, config, None).items
    told: list[str] = []
    base, adapter = judge.scorers(LocalModel(model, tokenizer, name="adapted"), config, told.append)
    before, after, before_again = base(items), adapter(items), base(items)
    plain = LocalModel(load_model(asked, Workspace(Path("unused"))), tokenizer, name="plain").score(items, batch_size=4)
    merged = LocalModel(model.merge_and_unload(), tokenizer, name="merged").score(items, batch_size=4)
    assert _losses(before) == _losses(before_again) == pytest.approx(_losses(plain), rel=1e-5)
    assert _losses(after) == pytest.approx(_losses(merged), rel=1e-3)
    assert all(abs(one - other) > 0.1 for one, other in zip(_losses(before), _losses(after), strict=True))
    assert told == ["judging the base", "judging the adapter", "judging the base"]


def _context() -> Any:
    """As much of a run's context as judging asks for."""
    return SimpleNamespace(progress=lambda **_: None, check_stop=lambda left="": None, run=SimpleNamespace(id="r1"))


def test_score_base_first_of_full_training_is_the_base_before_it(asked: ModelConfig, tokenizer: Any) -> None:
    config, data = _config("full"), _data()
    model = config.method.attach(load_model(asked, Workspace(Path("unused"))), 0)
    prepared = Prepared(data, encode_run(config, data, tokenizer, None), model, tokenizer)
    judged = prepared.encoded.judged
    assert judged is not None
    plain = LocalModel(load_model(asked, Workspace(Path("unused"))), tokenizer, name="plain")
    kept = _score_base_first(_context(), config, prepared)
    assert kept is not None
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.9)  # what training does to them
    changed = LocalModel(model, tokenizer, name="changed")
    for items in (judged.items, judged.shuffled):
        assert kept(items) == plain.score(items, batch_size=4) != changed.score(items, batch_size=4)
    verdict = _judge(_context(), config, prepared, kept)
    assert verdict is not None and verdict.primary is not None and verdict.style is not None
    before, after = (model.score(judged.items, batch_size=4) for model in (plain, changed))
    tokens = sum(score.tokens for score in before)
    assert verdict.primary.base == pytest.approx(sum(_losses(before)) / tokens)
    assert verdict.primary.adapter == pytest.approx(sum(_losses(after)) / tokens)
    assert verdict.primary.base != pytest.approx(verdict.primary.adapter)


def test_score_base_first_of_an_adapter_waits_until_it_is_trained(asked: ModelConfig, tokenizer: Any) -> None:
    config, data = _config(), _data()
    model = config.method.attach(load_model(asked, Workspace(Path("unused"))), 0)
    prepared = Prepared(data, encode_run(config, data, tokenizer, None), model, tokenizer)
    assert _score_base_first(_context(), config, prepared) is None


class StopsAt:
    """As much of a run's context as judging and training ask for; the `batch`-th look whether to stop ends it."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.looks: list[str] = []
        self.notes: list[str] = []
        self.run = SimpleNamespace(id="r1", folder=Path("unused"))

    def progress(self, note: str) -> None:
        self.notes.append(note)

    def check_stop(self, left: str = "") -> None:
        self.looks.append(left)
        if len(self.looks) == self.batch:
            raise StopRequested(left)


def _prepared(config: Any, asked: ModelConfig, tokenizer: Any) -> Prepared:
    data, model = _data(), config.method.attach(load_model(asked, Workspace(Path("unused"))), 0)
    prepared = Prepared(data, encode_run(config, data, tokenizer, None), model, tokenizer)
    assert prepared.encoded.judged is not None
    assert len(prepared.encoded.judged.items) > 2 * config.evaluation.batch_size
    return prepared


def test_judge_of_a_run_that_is_asked_to_stop_ends_before_the_next_batch(asked: ModelConfig, tokenizer: Any) -> None:
    config, context = _config(), StopsAt(2)
    with pytest.raises(StopRequested) as stop:
        _judge(cast(Any, context), config, _prepared(config, asked, tokenizer), None)
    assert (stop.value.left, len(context.looks)) == (UNJUDGED, 2)


def test_score_base_first_of_a_run_that_is_asked_to_stop_ends_before_the_next_batch(asked: ModelConfig, tokenizer: Any) -> None:
    config, context = _config("full"), StopsAt(2)
    with pytest.raises(StopRequested) as stop:
        _score_base_first(cast(Any, context), config, _prepared(config, asked, tokenizer))
    assert (stop.value.left, context.looks) == ("", ["", ""]), "nothing is trained yet that could be unjudged"


def test_train_of_a_run_that_was_asked_to_stop_before_it_begins_none(asked: ModelConfig, tokenizer: Any) -> None:
    config, context = _config(), StopsAt(1)
    with pytest.raises(StopRequested):
        _train(cast(Any, context), config, _prepared(config, asked, tokenizer), cast(Any, None))
    assert not context.notes
