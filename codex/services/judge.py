"""Judge a trained model against its base: the same held-out items, the same loaded weights, the adapter off and on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from codex.config.schema import RunConfig
from codex.core.protocols import Encoded, ItemScore
from codex.data.encode import encode_all
from codex.data.examples import Example, with_answer_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from codex.evaluation.verdict import Verdict
    from codex.inference.local import LocalModel

Scorer = Callable[[Sequence[Encoded]], list[ItemScore]]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Judged:
    """What is judged: held-out examples, and the same prompts with the answers of other groups.

    `shuffled` is empty where more than half of the examples are of one group, so that no prompt can get a stranger's answer;
    the verdict then says that the share of style was not measured.
    """

    examples: tuple[Example, ...]
    items: tuple[Encoded, ...]
    shuffled: tuple[Encoded, ...]


def choose(examples: Sequence[Item], most: int, seed: int) -> list[Item]:
    """At most `most` examples, drawn by `seed`, in their old order."""
    import random

    if len(examples) <= most:
        return list(examples)
    kept = sorted(random.Random(seed).sample(range(len(examples)), most))
    return [examples[index] for index in kept]


def prepare(heldout: Sequence[Example], tokenizer: PreTrainedTokenizerBase, config: RunConfig, context: int | None) -> Judged:
    """Choose and encode what will be judged.

    Args:
        heldout: all held-out examples.
        tokenizer: the model's.
        config: gives how many, the seed and the longest example.
        context: the model's context, tokens.
    """
    from codex.evaluation.style import shuffled_partners

    chosen = choose(heldout, config.evaluation.examples, config.seed)
    items = encode_all(chosen, tokenizer, config.data.max_tokens, context).items
    groups = [example.group for example in chosen]
    if 2 * max(Counter(groups).values()) > len(groups):
        return Judged(tuple(chosen), tuple(items), ())
    partners = shuffled_partners(groups, config.seed)
    swapped = [with_answer_of(example, chosen[partner]) for example, partner in zip(chosen, partners, strict=True)]
    shuffled = encode_all(swapped, tokenizer, config.data.max_tokens, context).items
    return Judged(tuple(chosen), tuple(items), tuple(shuffled))


def judge(judged: Judged, base: Scorer, adapter: Scorer, config: RunConfig, noun: str, group_noun: str = "") -> Verdict:
    """The verdict on `adapter` against `base`.

    Args:
        judged: from `prepare`.
        base: scores items with the model as it was.
        adapter: scores items with the model as it is now.
        config: gives resamples, confidence and seed.
        noun: what an item is called in the sentence, in the plural: "held-out functions".
        group_noun: what a group is called there: "prompts"; empty leaves groups out of the sentence.
    """
    from codex.evaluation.verdict import judge as verdict_of

    return verdict_of(
        base_scores=base(judged.items),
        adapter_scores=adapter(judged.items),
        base_shuffled=base(judged.shuffled) if judged.shuffled else None,
        adapter_shuffled=adapter(judged.shuffled) if judged.shuffled else None,
        groups=[example.group for example in judged.examples],
        origins=[example.origin for example in judged.examples],
        noun=noun,
        group_noun=group_noun,
        settings=config.evaluation,
        seed=config.seed,
    )


def scorers(
    model: LocalModel, config: RunConfig, before_each: Callable[[str], None], check_stop: Callable[[], None] = lambda: None
) -> tuple[Scorer, Scorer]:
    """(base, adapter) scorers over one loaded model whose adapter can be switched off.

    Args:
        model: loaded, with its adapter attached.
        config: gives the batch size.
        before_each: told what is scored next.
        check_stop: called before each batch; raises to end the judging.
    """

    def scorer(adapter_on: bool, name: str) -> Scorer:
        def score(items: Sequence[Encoded]) -> list[ItemScore]:
            before_each(f"judging the {name}")
            with model.with_adapter(adapter_on and model.has_adapter):
                return model.score(items, batch_size=config.evaluation.batch_size, check_stop=check_stop)

        return score

    return scorer(False, "base"), scorer(True, "adapter")
