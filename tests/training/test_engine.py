"""Training is what a loop written by hand does, repeats to the bit, and goes on from where it was."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from codex.config.schema import ModelConfig, RunConfig
from codex.core.paths import Workspace
from codex.core.protocols import Encoded
from codex.models.load import load_model, load_tokenizer
from codex.runs.checkpoints import complete_checkpoints, newest_checkpoint, published_checkpoint
from codex.training.engine import StepMetrics, TrainingResult, fit
from codex.training.methods.lora import LoraSettings

# transformers asks for the new name, TRL still reads the old; a run's worker quiets it for all of its process.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

Weights = dict[str, torch.Tensor]


class Watching:
    """Hooks that keep what they are told, and ask to stop once `stop_at` steps are done."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.steps: list[int] = []
        self.metrics: list[StepMetrics] = []

    def on_step(self, step: int) -> None:
        self.steps.append(step)

    def on_metrics(self, metrics: StepMetrics) -> None:
        self.metrics.append(metrics)

    def stop_requested(self) -> bool:
        return self.stop_at is not None and self.steps[-1] >= self.stop_at


def _items(count: int, seed: int = 0) -> list[Encoded]:
    """Items of different lengths, each with a prompt that carries no loss."""
    chance = random.Random(seed)
    items = []
    for number in range(count):
        ids = tuple(chance.randrange(3, 512) for _ in range(9 + 5 * (number % 4)))
        items.append(Encoded(ids, (-100,) * 4 + ids[4:]))
    return items


def _config(seed: int = 42, adapter_dtype: str = "float32", **training: Any) -> RunConfig:
    method = LoraSettings.model_validate({"name": "lora", "rank": 4, "alpha": 8, "adapter_dtype": adapter_dtype})
    fields = {"steps": 4, "batch_size": 2, "learning_rate": 5e-3, "warmup_steps": 0, "save_every": 1000, "threads": 1, **training}
    return RunConfig.model_validate({"method": method, "seed": seed, "training": fields})


class Bench:
    """Trains new adapters on the tiny model."""

    def __init__(self, tiny_folder: Path, tmp_path: Path) -> None:
        self.asked = ModelConfig.model_validate({"source": str(tiny_folder), "device": "cpu"})
        self.workspace = Workspace(tmp_path)
        self.tokenizer = load_tokenizer(self.asked, self.workspace)

    def model(self, config: RunConfig, seed: int = 7) -> Any:
        return config.method.attach(load_model(self.asked, self.workspace), seed)

    def train(
        self,
        config: RunConfig,
        folder: Path,
        data: tuple[list[Encoded], list[Encoded]],
        hooks: Watching | None = None,
        resume_from: Path | None = None,
        adapter_seed: int = 7,
    ) -> tuple[Weights, TrainingResult]:
        model = self.model(config, adapter_seed)
        result = fit(model, self.tokenizer, data, config, folder, hooks or Watching(), resume_from=resume_from)
        return _trained(model), result


@pytest.fixture
def bench(tiny_folder: Path, tmp_path: Path) -> Bench:
    return Bench(tiny_folder, tmp_path)


def _trained(model: Any) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def _same(left: Weights, right: Weights) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


def _answer_loss(model: Any, items: list[Encoded]) -> torch.Tensor:
    """Mean negative log-likelihood of all answer tokens, one example at a time: neither padding nor batches."""
    total, tokens = torch.zeros(()), 0
    for item in items:
        logits = model(input_ids=torch.tensor([item.input_ids]), use_cache=False).logits[0]
        for position, label in enumerate(item.labels[1:]):
            if label != -100:
                total = total - logits[position].log_softmax(-1)[label]
                tokens += 1
    return total / tokens


def _by_hand(model: Any, items: list[Encoded], rates: list[float], decay: float, clip: float) -> tuple[Weights, list[float], list[float]]:
    """(weights, losses, lengths of gradients) after one step of AdamW at each rate, every step on all items."""
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=decay, betas=(0.9, 0.999), eps=1e-8)
    losses, lengths = [], []
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        loss = _answer_loss(model, items)
        loss.backward()
        lengths.append(float(torch.nn.utils.clip_grad_norm_(parameters, clip)))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return _trained(model), losses, lengths


@pytest.mark.parametrize(
    ("batch", "accumulation", "padding_free"), [(2, 1, False), (1, 2, False), (2, 1, True)], ids=["padded", "accumulated", "padding-free"]
)
def test_fit_equals_a_loop_written_by_hand(batch: int, accumulation: int, padding_free: bool, bench: Bench, tmp_path: Path) -> None:
    items, peak, hooks = _items(2), 2e-3, Watching()
    assert len(items[0].input_ids) != len(items[1].input_ids)
    config = _config(
        batch_size=batch,
        gradient_accumulation=accumulation,
        padding_free=padding_free,
        learning_rate=peak,
        schedule="cosine",
        warmup_steps=2,
        weight_decay=0.5,
        max_grad_norm=0.05,
        steps=6,
    )
    weights, _ = bench.train(config, tmp_path, (items, []), hooks)
    rates = [0.0, peak / 2, *(peak * (1 + math.cos(math.pi * done / 4)) / 2 for done in range(4))]
    expected, losses, lengths = _by_hand(bench.model(config), items, rates, decay=0.5, clip=0.05)
    assert min(lengths) > 0.05  # clipping has work to do
    assert [metric.learning_rate for metric in hooks.metrics] == pytest.approx(rates)
    assert [metric.loss for metric in hooks.metrics] == pytest.approx(losses, abs=1e-4)
    assert [metric.grad_norm for metric in hooks.metrics] == pytest.approx(lengths, rel=1e-3)
    assert weights.keys() == expected.keys()
    assert max(float((weights[name] - expected[name]).abs().max()) for name in expected) < 5e-5


def test_fit_same_seed_repeats_and_another_does_not(bench: Bench, tmp_path: Path) -> None:
    data = (_items(12), [])
    once, again, other = (bench.train(_config(seed=seed), tmp_path / str(number), data)[0] for number, seed in enumerate((1, 1, 2)))
    assert _same(once, again)
    assert not _same(once, other)


def test_fit_metrics_come_once_a_step_and_count_tokens_without_padding(bench: Bench, tmp_path: Path) -> None:
    items, hooks = _items(2), Watching()
    _, result = bench.train(_config(steps=5), tmp_path, (items, []), hooks)
    assert hooks.steps == [1, 2, 3, 4, 5]
    assert [metric.step for metric in hooks.metrics] == [1, 2, 3, 4, 5]
    a_step = sum(len(item.input_ids) for item in items)
    assert [metric.tokens for metric in hooks.metrics] == [a_step * step for step in range(1, 6)]
    assert all(metric.heldout_loss is None for metric in hooks.metrics)
    assert (result.step, result.stopped, result.tokens) == (5, False, 5 * a_step)
    assert all(earlier.cpu_seconds < later.cpu_seconds for earlier, later in itertools.pairwise(hooks.metrics))
    assert hooks.metrics[-1].cpu_seconds <= result.cpu_seconds


def test_fit_log_every_two_tells_the_first_and_every_second_step(bench: Bench, tmp_path: Path) -> None:
    hooks = Watching()
    bench.train(_config(steps=4, log_every=2), tmp_path, (_items(2), []), hooks)
    assert [metric.step for metric in hooks.metrics] == [1, 2, 4]


@pytest.mark.parametrize("padding_free", [False, True], ids=["padded", "padding-free"])
def test_fit_heldout_loss_is_that_of_the_heldout_answers_token_by_token(padding_free: bool, bench: Bench, tmp_path: Path) -> None:
    train, hooks = _items(2), Watching()
    heldout = [*_items(4, seed=9)[2:], *train]  # long answers never seen, then short ones that were learnt
    config = _config(steps=4, batch_size=2, evaluate_every=2, padding_free=padding_free)
    model = bench.model(config)
    fit(model, bench.tokenizer, (train, heldout), config, tmp_path, hooks)
    measured = [metric for metric in hooks.metrics if metric.heldout_loss is not None]
    assert [metric.step for metric in measured] == [2, 4]
    assert [metric.step for metric in hooks.metrics if metric.loss is not None] == [1, 2, 3, 4]
    model.eval()
    with torch.no_grad():
        by_token = float(_answer_loss(model, heldout))
        by_batch = [float(_answer_loss(model, batch)) for batch in (heldout[:2], train)]
    assert abs(sum(by_batch) / 2 - by_token) > 1e-2  # a mean of the batches would be another number
    assert measured[-1].heldout_loss == pytest.approx(by_token, abs=1e-4)


@pytest.mark.parametrize("padding_free", [False, True], ids=["padded", "padding-free"])
def test_fit_heldout_loss_of_whole_texts_leaves_their_first_tokens_out(padding_free: bool, bench: Bench, tmp_path: Path) -> None:
    train, hooks = _items(2), Watching()
    heldout = [Encoded(ids, ids) for ids in (item.input_ids for item in [*_items(4, seed=9)[2:], *[_items(1, seed=3)[0]] * 2])]
    assert len(heldout[0].labels) > 2 * len(heldout[2].labels), "the first tokens are another share of each batch"
    config = _config(steps=2, batch_size=2, evaluate_every=2, padding_free=padding_free)
    model = bench.model(config)
    fit(model, bench.tokenizer, (train, heldout), config, tmp_path, hooks)
    model.eval()
    with torch.no_grad():
        by_token, *batches = (float(_answer_loss(model, items)) for items in (heldout, heldout[:2], heldout[2:]))
    lengths = [sum(len(item.labels) for item in items) for items in (heldout[:2], heldout[2:])]
    with_first = sum(loss * length for loss, length in zip(batches, lengths, strict=True)) / sum(lengths)
    assert abs(with_first - by_token) > 1e-3, "the first tokens' weight would be seen"
    assert hooks.metrics[-1].heldout_loss == pytest.approx(by_token, abs=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fit_stopped_saves_and_goes_on_to_the_same_bits(dtype: str, bench: Bench, tmp_path: Path) -> None:
    data, config = (_items(12), []), _config(adapter_dtype=dtype, steps=6)
    straight, _ = bench.train(config, tmp_path / "straight", data)
    first = Watching(stop_at=3)
    partway, result = bench.train(config, tmp_path / "cut", data, first)
    assert (result.step, result.stopped, first.steps) == (3, True, [1, 2, 3])
    assert complete_checkpoints(tmp_path / "cut") == [published_checkpoint(tmp_path / "cut", 3)]
    second = Watching()
    resumed, result = bench.train(config, tmp_path / "cut", data, second, newest_checkpoint(tmp_path / "cut"), adapter_seed=8)
    assert (result.step, result.stopped, second.steps) == (6, False, [4, 5, 6])
    assert {weight.dtype for weight in resumed.values()} == {getattr(torch, dtype)}
    assert _same(resumed, straight)
    assert not _same(partway, straight)


@pytest.mark.parametrize("stop_at", [5, 7])
def test_fit_resumed_between_two_logged_steps_logs_the_same_losses(stop_at: int, bench: Bench, tmp_path: Path) -> None:
    data, config = (_items(12), []), _config(steps=9, log_every=3, save_every=5)
    straight, first, second = Watching(), Watching(stop_at=stop_at), Watching()
    bench.train(config, tmp_path / "straight", data, straight)
    bench.train(config, tmp_path / "cut", data, first)
    bench.train(config, tmp_path / "cut", data, second, newest_checkpoint(tmp_path / "cut"), adapter_seed=8)
    expected = {metric.step: metric.loss for metric in straight.metrics}
    seen = {metric.step: metric.loss for metric in (*first.metrics, *second.metrics)}
    assert list(expected) == [1, 3, 6, 9]
    assert seen == expected
    assert len(first.metrics) + len(second.metrics) == 4


def test_fit_stop_asked_for_at_the_last_step_is_finished_not_stopped(bench: Bench, tmp_path: Path) -> None:
    _, result = bench.train(_config(steps=2), tmp_path, (_items(2), []), Watching(stop_at=2))
    assert (result.step, result.stopped) == (2, False)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fit_from_the_last_steps_checkpoint_has_its_weights_and_trains_nothing(dtype: str, bench: Bench, tmp_path: Path) -> None:
    data, config = (_items(4), []), _config(adapter_dtype=dtype, steps=3, save_every=3)
    trained, _ = bench.train(config, tmp_path, data)
    hooks = Watching()
    loaded, result = bench.train(config, tmp_path, data, hooks, newest_checkpoint(tmp_path), adapter_seed=8)
    assert _same(loaded, trained)
    assert (result.step, result.stopped, hooks.steps) == (3, False, [])


def test_tokens_of_every_step_count_and_the_last_step_is_logged(bench: Bench, tmp_path: Path) -> None:
    data = (_items(6), [])
    each, every_second, stopped = Watching(), Watching(), Watching(stop_at=3)
    _, all_logged = bench.train(_config(steps=5, log_every=1), tmp_path / "each", data, each)
    _, some_logged = bench.train(_config(steps=5, log_every=2), tmp_path / "second", data, every_second)
    assert some_logged.tokens == all_logged.tokens == each.metrics[-1].tokens
    assert [one.step for one in every_second.metrics] == [1, 2, 4, 5]
    assert every_second.metrics[-1].loss == each.metrics[-1].loss
    _, early = bench.train(_config(steps=9, log_every=2), tmp_path / "stopped", data, stopped)
    assert early.tokens == each.metrics[2].tokens
    assert [one.step for one in stopped.metrics] == [1, 2]  # the sum goes on after a resume
