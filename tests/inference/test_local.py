"""A loaded model speaks as transformers' own loop does, and judges as its own loss does."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import DataError, ModelError
from codex.core.protocols import Encoded, ItemScore, Message
from codex.inference.local import Finish, LocalModel

ASK = [Message("user", "Return the sum of two numbers.")]


def _load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def local(tiny_folder: Path) -> LocalModel:
    return LocalModel(*_load(tiny_folder), name="tiny")


@pytest.fixture
def adapted(tiny_folder: Path) -> LocalModel:
    """A model with an adapter that says other things than its base."""
    import torch
    from peft import LoraConfig, get_peft_model

    model, tokenizer = _load(tiny_folder)
    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    return LocalModel(get_peft_model(model, config), tokenizer, name="adapted")


def _run(stream: Generator[str, None, Finish]) -> tuple[str, Finish]:
    pieces: list[str] = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return "".join(pieces), end.value


def _answer(model: LocalModel, seed: int = 0, temperature: float = 0.0, most: int = 24) -> str:
    return _run(model.stream(ASK, max_new_tokens=most, temperature=temperature, seed=seed))[0]


def _items(count: int = 13, seed: int = 0) -> list[Encoded]:
    """Items of many lengths; some with loss in the middle only, some from the first token on."""
    import random

    chance = random.Random(seed)
    items = []
    for number in range(count):
        ids = tuple(chance.randrange(5, 512) for _ in range(chance.randrange(3, 60)))
        start = 0 if number % 5 == 0 else chance.randrange(1, len(ids))
        end = len(ids) if number % 3 else chance.randrange(max(start, 1) + 1, len(ids) + 1)
        items.append(Encoded(ids, tuple(token if start <= place < end else -100 for place, token in enumerate(ids))))
    return items


def _prompt(tokenizer: Any, text: str) -> list[int]:
    return tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True)["input_ids"]


def _greedy(model: Any, prompt: list[int], length: int) -> list[int]:
    import torch

    ids = torch.tensor([prompt])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False, pad_token_id=0)
    return output[0, len(prompt) :].tolist()


# stream


@pytest.mark.parametrize("text", ["Return the sum.", "def add(a):", "本"])
def test_greedy_answer_equals_that_of_generate(local: LocalModel, tiny_folder: Path, text: str) -> None:
    model, tokenizer = _load(tiny_folder)
    prompt = _prompt(tokenizer, text)
    made = _greedy(model, prompt, 40)
    answer, finish = _run(local.stream([Message("user", text)], max_new_tokens=40, temperature=0, seed=1))
    assert answer == tokenizer.decode(made, skip_special_tokens=True)
    assert (finish.tokens_in, finish.tokens_out) == (len(prompt), len(made))
    assert finish.reason == ("end" if made[-1] == tokenizer.eos_token_id else "length")


def test_answer_ends_at_an_end_token_and_does_not_show_it(tiny_folder: Path) -> None:
    import torch

    model, tokenizer = _load(tiny_folder)
    plain = LocalModel(model, tokenizer, name="tiny")
    answer, finish = _run(plain.stream(ASK, max_new_tokens=20, temperature=0, seed=0))
    assert finish.reason == "length"
    prompt = _prompt(tokenizer, ASK[0].content)
    made = _greedy(model, prompt, 20)
    stop_at = next(place for place, token in enumerate(made) if place > 2 and token not in made[:place])
    model.generation_config.eos_token_id = [made[stop_at]]
    ended, finish = _run(plain.stream(ASK, max_new_tokens=20, temperature=0, seed=0))
    assert ended == tokenizer.decode(made[:stop_at])
    assert answer.startswith(ended)
    assert finish == Finish("end", len(prompt), stop_at + 1)
    assert torch.is_grad_enabled()


def test_same_seed_gives_the_same_answer_and_another_seed_another(local: LocalModel) -> None:
    import torch

    first = _answer(local, seed=3, temperature=1.0)
    torch.manual_seed(999)
    assert _answer(local, seed=3, temperature=1.0) == first
    assert len({_answer(local, seed=seed, temperature=1.0) for seed in range(5)}) == 5


def test_sampling_leaves_the_programs_own_random_numbers_alone(local: LocalModel) -> None:
    import torch

    before = torch.get_rng_state()
    _answer(local, temperature=1.0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampled_tokens_follow_the_models_probabilities(local: LocalModel, temperature: float) -> None:
    import torch
    from scipy.stats import chisquare

    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5])
    noise = torch.Generator().manual_seed(7)
    draws = torch.tensor([local._choose(logits, temperature, noise) for _ in range(4000)])
    expected = 4000 * torch.softmax(logits / temperature, 0)
    assert chisquare(torch.bincount(draws, minlength=5).double().numpy(), expected.double().numpy(), sum_check=False).pvalue > 1e-3


def test_tiny_temperature_is_greedy(local: LocalModel) -> None:
    assert _answer(local, temperature=1e-30, seed=5) == _answer(local)


def test_person_can_stop_an_answer(local: LocalModel) -> None:
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    answer, finish = _run(local.stream(ASK, max_new_tokens=24, temperature=0, seed=0, should_stop=should_stop))
    assert (finish.reason, finish.tokens_out) == ("stopped", 4)
    assert _answer(local).startswith(answer)


def test_answer_stops_where_the_context_is_full(local: LocalModel) -> None:
    long = [Message("user", "a" * 240)]
    _, finish = _run(local.stream(long, max_new_tokens=200, temperature=0, seed=0))
    assert finish.reason == "context"
    assert finish.tokens_in + finish.tokens_out == 256


def test_prompt_longer_than_the_context_is_refused_at_once(local: LocalModel) -> None:
    with pytest.raises(ModelError, match="fewer than the 256"):
        local.stream([Message("user", "a" * 300)], max_new_tokens=5, temperature=0, seed=0)


@pytest.mark.parametrize(("most", "temperature"), [(0, 0.0), (5, -1.0), (5, float("nan"))])
def test_settings_out_of_bounds_are_refused(local: LocalModel, most: int, temperature: float) -> None:
    with pytest.raises(ValueError, match="expected at least"):
        local.stream(ASK, max_new_tokens=most, temperature=temperature, seed=0)


def test_broken_weights_are_said_instead_of_sampled(tiny_folder: Path) -> None:
    import torch

    model, tokenizer = _load(tiny_folder)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    broken = LocalModel(model, tokenizer, name="broken")
    with pytest.raises(ModelError, match="not finite"):
        _answer(broken)
    assert all(score.loss_sum != score.loss_sum for score in broken.score(_items(3), batch_size=2))


def test_tokenizer_of_another_model_is_refused(tiny_folder: Path) -> None:
    model, tokenizer = _load(tiny_folder)
    tokenizer.add_tokens(["<one more>"])
    with pytest.raises(ModelError, match="has 513 tokens, its model 512"):
        LocalModel(model, tokenizer, name="x")


# score


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_scores_equal_the_models_own_loss_item_by_item(local: LocalModel, tiny_folder: Path, batch_size: int) -> None:
    import torch

    model, _ = _load(tiny_folder)
    items = _items()
    for item, score in zip(items, local.score(items, batch_size=batch_size), strict=True):
        ids, labels = torch.tensor([item.input_ids]), torch.tensor([item.labels])
        with torch.no_grad():
            output = model(input_ids=ids, labels=labels)
        right = (output.logits[0, :-1].argmax(-1) == labels[0, 1:]) & (labels[0, 1:] != -100)
        assert score.tokens == item.answer_tokens
        assert score.loss_sum == pytest.approx(output.loss.item() * item.answer_tokens, abs=1e-4)
        assert score.correct == int(right.sum())


def test_scores_do_not_depend_on_company(local: LocalModel) -> None:
    items = _items(20, seed=1)
    alone = [local.score([item], batch_size=1)[0] for item in items]
    for together in (local.score(items, batch_size=7), local.score(items[::-1], batch_size=20)[::-1]):
        assert [score.tokens for score in together] == [score.tokens for score in alone]
        assert [score.loss_sum for score in together] == pytest.approx([score.loss_sum for score in alone], abs=1e-4)


def test_scores_are_the_same_when_a_model_cannot_pick_positions(local: LocalModel, tiny_folder: Path) -> None:
    whole = LocalModel(*_load(tiny_folder), name="whole")
    whole._picks_positions = False
    assert local._picks_positions
    found, expected = local.score(_items(), batch_size=4), whole.score(_items(), batch_size=4)
    assert [score.loss_sum for score in found] == pytest.approx([score.loss_sum for score in expected], abs=1e-4)
    assert _answer(whole) == _answer(local)


def test_exact_is_what_greedy_generation_gives(local: LocalModel, tiny_folder: Path) -> None:
    model, _ = _load(tiny_folder)
    exact = []
    for seed in range(6):
        prompt = list(_items(1, seed=seed)[0].input_ids)
        answer = _greedy(model, prompt, 6)
        for changed in (answer, [*answer[:-1], (answer[-1] + 1) % 512], [(answer[0] + 1) % 512, *answer[1:]]):
            item = Encoded((*prompt, *changed), (*[-100] * len(prompt), *changed))
            exact.append((local.score([item], batch_size=1)[0].exact, changed == answer))
    assert all(found == expected for found, expected in exact)
    assert sum(expected for _, expected in exact) == 6


def test_scoring_asks_before_each_batch_and_ends_when_told_to(local: LocalModel) -> None:
    asked: list[int] = []

    def stop_at_the_third() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        local.score(_items(13), batch_size=2, check_stop=stop_at_the_third)
    assert len(asked) == 3


def test_no_items_have_no_scores(local: LocalModel) -> None:
    assert local.score([], batch_size=4) == []


def test_item_without_answer_is_refused_not_scored_as_exact(local: LocalModel) -> None:
    assert ItemScore(0.0, 0, 0).exact  # why it must not come so far
    with pytest.raises(DataError, match="example 2 has no answer token"):
        local.score([*_items(1), Encoded((5, 6), (5, -100))], batch_size=1)


def test_item_longer_than_the_context_is_refused(local: LocalModel) -> None:
    with pytest.raises(DataError, match=r"257 tokens long.*256.*data.max_tokens=256"):
        local.score([Encoded((5,) * 257, (5,) * 257)], batch_size=1)


# adapter


def test_adapter_off_is_the_base_and_on_is_not(adapted: LocalModel, local: LocalModel) -> None:
    items = _items()
    base = local.score(items, batch_size=4)
    with adapted.with_adapter(False):
        assert adapted.score(items, batch_size=4) == base
        assert _answer(adapted) == _answer(local)
        with adapted.with_adapter(True):
            assert adapted.score(items, batch_size=4) != base
        assert adapted.score(items, batch_size=4) == base
    assert adapted.score(items, batch_size=4) != base
    assert _answer(adapted) != _answer(local)


def test_answers_of_base_and_adapter_can_be_read_side_by_side(adapted: LocalModel) -> None:
    with adapted.with_adapter(False):
        base, off = _answer(adapted), adapted.stream(ASK, max_new_tokens=24, temperature=0, seed=0)
    on = adapted.stream(ASK, max_new_tokens=24, temperature=0, seed=0)
    expected, texts, open_streams = _answer(adapted), {0: "", 1: ""}, {0: off, 1: on}
    while open_streams:
        for number, stream in list(open_streams.items()):
            try:
                texts[number] += next(stream)
            except StopIteration:
                del open_streams[number]
    assert texts == {0: base, 1: expected}


def test_choice_of_adapter_is_each_threads_own(adapted: LocalModel) -> None:
    items, found = _items(3), {}
    on = adapted.score(items, batch_size=4)
    with adapted.with_adapter(False):
        thread = threading.Thread(target=lambda: found.update(on=adapted.score(items, batch_size=4)))
        thread.start()
        thread.join()
        assert adapted.score(items, batch_size=4) != on
    assert found["on"] == on


def test_choice_of_adapter_is_restored_after_an_error(adapted: LocalModel) -> None:
    items = _items(3)
    on = adapted.score(items, batch_size=4)
    with pytest.raises(DataError), adapted.with_adapter(False):
        adapted.score([Encoded((5, 6), (-100, -100))], batch_size=1)
    assert adapted.score(items, batch_size=4) == on


@pytest.mark.parametrize("frozen", [True, False])
def test_judging_leaves_training_mode_and_gradients_as_they_were(adapted: LocalModel, frozen: bool) -> None:
    model = adapted._model
    model.train()
    model.base_model.model.model.norm.eval()
    for parameter in model.parameters():
        if frozen:
            parameter.requires_grad_(False)
    modes = {name: module.training for name, module in model.named_modules()}
    gradients = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert any(gradients.values()) is not frozen
    for on in (False, True):
        with adapted.with_adapter(on):
            adapted.score(_items(2), batch_size=2)
            _answer(adapted, most=2)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == gradients


def test_dropout_does_not_touch_a_score_made_while_training(tiny_folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model, tokenizer = _load(tiny_folder)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], lora_dropout=0.5, init_lora_weights=False)
    training = LocalModel(get_peft_model(model, config).train(), tokenizer, name="x")
    assert training.score(_items(4), batch_size=2) == training.score(_items(4), batch_size=2)


def test_model_without_adapter_is_itself_either_way(local: LocalModel) -> None:
    assert not local.has_adapter
    expected = local.score(_items(3), batch_size=2)
    for on in (True, False):
        with local.with_adapter(on):
            assert local.score(_items(3), batch_size=2) == expected


def test_tokens_of_a_text_are_counted(local: LocalModel) -> None:
    assert local.count_tokens("") == 0
    assert local.count_tokens("😀") == 4
