"""Load what a run learns from and what it is judged on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from codex.config.schema import DataConfig
from codex.core.errors import DataError
from codex.core.paths import Workspace, typed_path
from codex.core.protocols import Message
from codex.data.examples import Example
from codex.data.files import missing
from codex.data.jsonl import read_file

FEWEST_JUDGED = 2
GROUPED_BY_PROMPT = "prompts"
"""What the groups of a file's examples are called, in the plural."""
NOUNS = {"stdlib-docstrings": "held-out functions", "stdlib-source": "held-out files"}

# Changing the salt moves examples between the sides of everyone's own data: adapters trained before would be judged on what they learnt.
SPLIT_SALT = b"codex-split-1:"


@dataclass(frozen=True)
class Dataset:
    """Examples on two sides: those that are trained on and those that are only judged.

    Args:
        train: what is learnt.
        heldout: what is judged.
        format: the dataset format's name.
        source: where it came from: a built-in's name or a file's path.
        fingerprint: SHA-256 of the content: of the file's bytes, when it is one file.
        notes: what was left out or looks odd, in sentences.
    """

    train: list[Example]
    heldout: list[Example]
    format: str
    source: str
    fingerprint: str
    notes: list[str] = field(default_factory=list)

    @property
    def whole_text(self) -> bool:
        """Whether every token is learnt, in blocks cut from the examples end to end."""
        return self.format == "text" or self.source == "stdlib-source"

    @property
    def noun(self) -> str:
        """What the judged examples are called, in the plural."""
        return NOUNS.get(self.source, "held-out examples")

    @property
    def group_noun(self) -> str:
        """What the groups of a file's examples are, in the plural; empty for built-in data, whose groups are modules."""
        return "" if self.source in NOUNS else GROUPED_BY_PROMPT


def load(data: DataConfig, seed: int, workspace: Workspace, *, judged: bool = True) -> Dataset:
    """The examples that `data` asks for.

    Args:
        data: the source and how it is split.
        seed: chooses among the examples when there are more than `data.max_examples`.
        workspace: a file that is not found as given is looked for in its `datasets`.
        judged: whether a verdict is wanted, so that too few held-out examples are an error.

    Raises:
        DataError: the data cannot be used as it is.
    """
    built_in = BUILT_IN.get(data.source)
    whole = built_in(data) if built_in else _own_file(data, workspace)
    if not whole.train:
        raise DataError(
            f"no example of {data.source!r} is left to train on, {len(whole.heldout)} are held out",
            "expected at least 1",
            "Add examples, or set a smaller `data.heldout_share`.",
        )
    if judged:
        _enough_to_judge(data, whole)
    return _at_most(whole, data.max_examples, seed)


def _docstrings(data: DataConfig) -> Dataset:
    from codex.data.stdlib import Docstring, docstrings

    def example(pair: Docstring) -> Example:
        turns = (Message("user", pair.source), Message("assistant", pair.sentence))
        return Example(messages=turns, group=pair.module, origin=pair.name)

    train, heldout = docstrings()
    return _built_in(data, "messages", map(example, train), map(example, heldout))


def _source_text(data: DataConfig) -> Dataset:
    from codex.data.stdlib import family, source_files

    sides: dict[str, list[Example]] = {"train": [], "heldout": []}
    for file in source_files():
        turns = (Message("user", source_prompt(file.module)), Message("assistant", file.text))
        sides[file.split].append(Example(messages=turns, group=family(file.module), origin=file.module))
    return _built_in(data, "messages", sides["train"], sides["heldout"])


def source_prompt(module: str) -> str:
    """What a module's source answers: a model that learns the library as conversations knows the marks of its chat template."""
    return f"Show the source of {module}."


def _built_in(data: DataConfig, format_name: str, train: Iterable[Example], heldout: Iterable[Example]) -> Dataset:
    if data.heldout is not None:
        raise DataError(
            f"`data.heldout` is {data.heldout!r}",
            f"expected none: {data.source!r} brings its own held-out examples",
            "Leave `data.heldout` out.",
        )
    if data.format not in ("auto", format_name):
        raise DataError(f"`data.format` is {data.format!r}", f"expected 'auto' or {format_name!r} for {data.source!r}", "Leave it out.")
    sides = list(train), list(heldout)
    return Dataset(*sides, format_name, data.source, _fingerprint(b"".join(example.digest for example in side) for side in sides))


BUILT_IN: dict[str, Callable[[DataConfig], Dataset]] = {"stdlib-docstrings": _docstrings, "stdlib-source": _source_text}
"""Data that Codex builds itself, by name."""


def _own_file(data: DataConfig, workspace: Workspace) -> Dataset:
    path = _located(data.source, workspace, also=tuple(BUILT_IN))
    whole = read_file(path, data.format)
    notes = _repeats(whole.examples)
    if data.heldout is None:
        train, heldout = split(grouped_by_prompt(whole.examples), data.heldout_share)
        return Dataset(train, heldout, whole.format, str(path), whole.sha256, notes + _repeated_prompts(heldout))
    judged = read_file(_located(data.heldout, workspace), whole.format)
    heldout, more_notes = _without_trained(grouped_by_prompt(judged.examples), whole.examples)
    more_notes += _repeated_prompts(heldout)
    both = _fingerprint(bytes.fromhex(each.sha256) for each in (whole, judged))
    return Dataset(whole.examples, heldout, whole.format, str(path), both, notes + more_notes)


def _located(source: str, workspace: Workspace, also: tuple[str, ...] = ()) -> Path:
    """The file as named from here, or of that name in the workspace's `datasets`."""
    here = typed_path(source)
    try:
        if here.exists():
            return here
        there = workspace.datasets / source
        if there.exists():
            return there
    except (OSError, ValueError):
        return here  # reading it says what is wrong with the name
    raise missing(here, also)


def split(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """(train, held-out): about `share` of the prompts are held out, each decided by its own hash.

    So equal prompts are on one side, the order of the rows does not matter, and an example keeps its side as the data grows.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        sides[_place(example) < share].append(example)
    return sides


def grouped_by_prompt(examples: Iterable[Example]) -> list[Example]:
    """`examples` in groups of equal prompts, named after where each prompt first stands.

    A prompt that is asked a hundred times says no more about other prompts than one that is asked once.
    """
    first: dict[bytes, str] = {}
    return [replace(example, group=first.setdefault(example.prompt_digest, example.group)) for example in examples]


def _repeated_prompts(heldout: Sequence[Example]) -> list[str]:
    """A note when held-out examples share a prompt: there is less to judge on than it seems."""
    prompts = len({example.group for example in heldout})
    if prompts == len(heldout):
        return []
    are = f"{prompts:,} different prompts" if prompts > 1 else "one prompt"
    return [f"The {len(heldout):,} held-out examples are of {are}; in the verdict's interval a prompt counts once."]


def _place(example: Example) -> float:
    """Where the example's prompt falls in [0, 1)."""
    return int.from_bytes(hashlib.sha256(SPLIT_SALT + example.prompt_digest).digest()[:6], "big") / 2**48


def _repeats(examples: Sequence[Example]) -> list[str]:
    """A note when the same example stands in the file more than once."""
    seen: dict[bytes, str] = {}
    repeated: list[tuple[str, str]] = []
    for example in examples:
        first = seen.setdefault(example.digest, example.origin)
        if first != example.origin:
            repeated.append((example.origin, first))
    if not repeated:
        return []
    return [
        f"Examples that repeat an earlier one: {len(repeated):,} of {len(examples):,} (first: {repeated[0][0]} repeats {repeated[0][1]})."
    ]


def _without_trained(heldout: Sequence[Example], train: Sequence[Example]) -> tuple[list[Example], list[str]]:
    """The held-out examples that are not trained on, with notes on those that are, whole or in their prompt."""
    trained = {example.digest for example in train}
    trained_prompts = {example.prompt_digest for example in train}
    kept = [example for example in heldout if example.digest not in trained]
    notes: list[str] = []
    if len(kept) < len(heldout):
        first = next(example for example in heldout if example.digest in trained)
        notes.append(f"Left out of the held-out examples, for they are trained on: {len(heldout) - len(kept):,} (first: {first.origin}).")
    sharing = [example for example in kept if example.prompt_digest in trained_prompts]
    if sharing:
        notes.append(f"Held-out examples whose prompt is trained on with another answer: {len(sharing):,} (first: {sharing[0].origin}).")
    return kept, notes


def _enough_to_judge(data: DataConfig, whole: Dataset) -> None:
    if len(whole.heldout) >= FEWEST_JUDGED:
        return
    told = "; ".join(note.rstrip(".") for note in whole.notes)
    raise DataError(
        f"{len(whole.heldout)} of {len(whole.train) + len(whole.heldout):,} examples are held out" + (f" ({told})" if told else ""),
        f"expected at least {FEWEST_JUDGED}, for judging compares on them",
        f"{_share_fix(data, whole)}`data.heldout=FILE` with examples of its own, or `evaluation.judge=false`.",
    )


def _share_fix(data: DataConfig, whole: Dataset) -> str:
    """The smallest share, in hundredths, that would hold out enough and leave something to train on; nothing when there is none."""
    if data.heldout is not None:
        return "Set "
    examples = [*whole.train, *whole.heldout]
    counts = Counter(_place(example) for example in examples)
    for hundredth in range(int(data.heldout_share * 100) + 1, 51):
        held = sum(count for place, count in counts.items() if place < hundredth / 100)
        if FEWEST_JUDGED <= held < len(examples):
            return f"Set `data.heldout_share={hundredth / 100:g}`, "
    return "Add examples, or set "


def _at_most(whole: Dataset, most: int | None, seed: int) -> Dataset:
    """Train on at most `most` examples; which, depends on their content and the seed, not on their order."""
    if most is None or len(whole.train) <= most:
        return whole
    salt = f"codex-choice:{seed}:".encode()
    places = [hashlib.sha256(salt + example.digest).digest() for example in whole.train]
    chosen = sorted(sorted(range(len(places)), key=places.__getitem__)[:most])
    note = f"Training examples chosen by the seed {seed}: {most:,} of {len(whole.train):,}."
    train = [whole.train[index] for index in chosen]
    return Dataset(train, whole.heldout, whole.format, whole.source, whole.fingerprint, [*whole.notes, note])


def _fingerprint(parts: Iterable[bytes]) -> str:
    """SHA-256 over parts of which none can run into the next."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
