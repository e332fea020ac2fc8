"""Speak with and judge a model that is loaded in this process."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from codex.core.errors import DataError, ModelError
from codex.core.protocols import Encoded, ItemScore, Message
from codex.data.encoder import Encoder
from codex.inference.guard import Guard
from codex.inference.text import TextStream, prompt_ids, stop_tokens

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # label of a token without loss


@dataclass(frozen=True)
class Finish:
    """How an answer ended; what `stream` returns after its last piece.

    Args:
        reason: `end` (the model ended it), `length` (max_new_tokens), `context` (the model's context is full), `stopped` (the person).
        tokens_in: of the prompt.
        tokens_out: of the answer, the one that ended it included.
    """

    reason: Literal["end", "length", "context", "stopped"]
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class _Ask:
    """One answer to be made."""

    prompt: tuple[int, ...]
    most: int
    temperature: float
    seed: int
    adapter_on: bool
    cut_by_context: bool
    should_stop: Callable[[], bool]


class LocalModel:
    """A loaded model and its tokenizer as a `LanguageModel`.

    With a PEFT model, `with_adapter` chooses whether the adapter counts, so that base and adapter are judged on the same weights.
    Threads may share one: forward passes take turns, and each thread has its own choice of adapter.

    Args:
        model: with all its weights on one device; its training mode and gradients are left as they are found.
        tokenizer: the model's own.
        name: what it is called in logs and answers.
        plain: it was trained on plain prompts and completions: the last message is its prompt as it stands, without the chat template.

    Raises:
        ModelError: the tokenizer has more tokens than the model.
    """

    def __init__(self, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, name: str, *, plain: bool = False) -> None:
        self.name = name
        self.plain = plain
        self._model: Any = model
        self._tokenizer = tokenizer
        self._lock = threading.RLock()
        self._choice = threading.local()
        self._context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        base = self._model.get_base_model() if hasattr(model, "peft_config") else self._model
        self._picks_positions = "logits_to_keep" in inspect.signature(base.forward).parameters
        rows = self._model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > rows:
            raise ModelError(
                f"the tokenizer of {name!r} has {len(tokenizer)} tokens, its model {rows}",
                "expected a tokenizer made for it",
                "Use the model's own tokenizer.",
            )

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter is on the model that can be switched off."""
        return Guard(self._model).has_adapter

    @contextmanager
    def with_adapter(self, on: bool) -> Iterator[LocalModel]:
        """Answers asked for and scores made inside count the adapter, or do not; for this thread.

        An answer keeps the choice that held when `stream` was called, so two can be read side by side. Where `has_adapter` is
        false, both choices mean the model as it is.
        """
        before = self._adapter_on
        self._choice.on = on
        try:
            yield self
        finally:
            self._choice.on = before

    @property
    def _adapter_on(self) -> bool:
        return getattr(self._choice, "on", True)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[str, None, Finish]:
        """Pieces of one answer, as they are made; greedy at temperature 0.

        The same seed draws the same random numbers on every device and for every model, so that answers of base and adapter differ
        by what they learned and not by luck. A piece never ends inside a character.

        Args:
            messages: the conversation so far.
            max_new_tokens: longest answer.
            temperature: 0 for the likeliest token each time; 1 samples as the model believes.
            seed: of the sampling.
            should_stop: asked before each token.

        Returns:
            How it ended, as the generator's return value.

        Raises:
            ModelError: the prompt does not fit, there is no chat template, or the model gives numbers that are not finite.
        """
        if max_new_tokens < 1 or not temperature >= 0:
            raise ValueError(f"max_new_tokens={max_new_tokens}, temperature={temperature}; expected at least 1 and at least 0")
        tokenizer = self._tokenizer
        prompt = Encoder(tokenizer).prompt(messages[-1].content) if self.plain else prompt_ids(tokenizer, messages, self.name)
        room = max_new_tokens if self._context is None else self._context - len(prompt)
        if room < 1:
            raise ModelError(
                f"the conversation is {len(prompt)} tokens long",
                f"expected fewer than the {self._context} of {self.name!r}",
                "Shorten it, or start a new one.",
            )
        most = min(max_new_tokens, room)
        return self._generate(_Ask(prompt, most, temperature, seed, self._adapter_on, most < max_new_tokens, should_stop))

    def _generate(self, ask: _Ask) -> Generator[str, None, Finish]:
        import torch

        guard, noise = Guard(self._model), torch.Generator().manual_seed(ask.seed)
        ends = stop_tokens(self._tokenizer, self._model.generation_config)
        text = TextStream(self._tokenizer)
        fed, cache = list(ask.prompt), None
        reason: Literal["end", "length", "context", "stopped"] = "context" if ask.cut_by_context else "length"
        made = 0
        for _ in range(ask.most):
            if ask.should_stop():
                reason = "stopped"
                break
            logits, cache = self._next(guard, fed, cache, ask.adapter_on)
            token = self._choose(logits, ask.temperature, noise)
            made += 1
            if token in ends:
                reason = "end"
                break
            fed = [token]
            if piece := text.add(token):
                yield piece
        if rest := text.rest():
            yield rest
        return Finish(reason, len(ask.prompt), made)

    def _next(self, guard: Guard, fed: list[int], cache: Any, adapter_on: bool) -> tuple[torch.Tensor, Any]:
        """Logits after the last of `fed`, shape (V,), in float32 on the CPU, and the cache that holds all before."""
        import torch

        with self._lock, guard.judging(adapter_on):
            only_last = {"logits_to_keep": 1} if self._picks_positions else {}
            output = self._model(
                input_ids=torch.tensor([fed], device=self._model.device), past_key_values=cache, use_cache=True, **only_last
            )
            logits = output.logits[0, -1].float().cpu()
        if torch.isnan(logits).any() or torch.isposinf(logits).any():
            raise ModelError(
                f"the model {self.name!r} gives numbers that are not finite",
                "expected finite scores for each token",
                "Its training diverged, or its type is too narrow: lower the learning rate, or load it with `model.dtype=float32`.",
            )
        return logits, output.past_key_values

    def _choose(self, logits: torch.Tensor, temperature: float, noise: torch.Generator) -> int:
        import torch

        if temperature == 0:
            return int(logits.argmax())
        # Sampling as an argmax over exponential noise ("Gumbel-max"): models that believe nearly the same choose the same token.
        draw = torch.empty(logits.shape).exponential_(generator=noise)
        return int(((logits - logits.max()) / temperature - draw.log()).argmax())

    def count_tokens(self, text: str) -> int:
        """How many tokens `text` is."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def score(self, items: Sequence[Encoded], *, batch_size: int, check_stop: Callable[[], None] = lambda: None) -> list[ItemScore]:
        """Scores of the items' answers, in their order, whatever the batch size.

        Args:
            items: encoded, each with an answer.
            batch_size: items that go through the model at once.
            check_stop: called before each batch; what it raises ends the scoring.

        Raises:
            DataError: an item has no answer token, or is longer than the model's context.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; expected at least 1")
        self._check(items)
        guard = Guard(self._model)
        order = sorted(range(len(items)), key=lambda index: -len(items[index].input_ids))
        scores: dict[int, ItemScore] = {}
        for start in range(0, len(order), batch_size):
            check_stop()
            chosen = order[start : start + batch_size]
            scores.update(zip(chosen, self._score_batch(guard, [items[index] for index in chosen]), strict=True))
        return [scores[index] for index in range(len(items))]

    def _check(self, items: Sequence[Encoded]) -> None:
        for number, item in enumerate(items, 1):
            if item.answer_tokens == 0:
                raise DataError(f"example {number} has no answer token", "expected at least one to judge", "Raise `data.max_tokens`.")
            if self._context is not None and len(item.input_ids) > self._context:
                raise DataError(
                    f"example {number} is {len(item.input_ids)} tokens long",
                    f"expected at most the {self._context} of {self.name!r}",
                    f"Set `data.max_tokens={self._context}`.",
                )

    def _score_batch(self, guard: Guard, items: list[Encoded]) -> list[ItemScore]:
        import torch

        width = max(len(item.input_ids) for item in items)
        ids = torch.zeros((len(items), width), dtype=torch.long)  # (B, T)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, IGNORED)
        for row, item in enumerate(items):
            length = len(item.input_ids)
            ids[row, :length] = torch.tensor(item.input_ids)
            mask[row, :length] = 1
            labels[row, :length] = torch.tensor(item.labels)
        targets = labels[:, 1:]  # position t predicts token t + 1
        # Only positions that some item of the batch is judged at go through the vocabulary, which is most of the work and memory.
        positions = (targets != IGNORED).any(dim=0).nonzero().flatten()
        device = self._model.device
        kept = {"logits_to_keep": positions.to(device)} if self._picks_positions else {}
        with self._lock, guard.judging(self._adapter_on):
            logits = self._model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False, **kept).logits
            logits = logits if kept else logits[:, positions]
            return [_score_row(row, target.to(device)) for row, target in zip(logits, targets[:, positions], strict=True)]


def _score_row(logits: torch.Tensor, targets: torch.Tensor) -> ItemScore:
    """`logits` of shape (P, V) against `targets` of shape (P,), of which -100 does not count."""
    counted = targets != IGNORED
    logits, targets = logits[counted].float(), targets[counted]
    losses = -logits.log_softmax(dim=-1).gather(1, targets[:, None])
    return ItemScore(
        loss_sum=float(losses.double().sum()),
        tokens=int(targets.numel()),
        correct=int((logits.argmax(dim=-1) == targets).sum()),
    )
