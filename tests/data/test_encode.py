"""Tokens and labels: exactly the answers are learnt, against what each token's bytes are and against TRL's own preparation."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from codex.core.errors import DataError, ModelError
from codex.core.protocols import Encoded, Message
from codex.data.encode import blocks, encode, encode_all
from codex.data.examples import Example
from codex.data.spans import render

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPACED = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' # ' }}{% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)
Make = Callable[..., list[Example]]


def pair(prompt: str, completion: str, origin: str = "own.jsonl:1") -> Example:
    return Example(prompt=prompt, completion=completion, group=origin, origin=origin)


def text(content: str) -> Example:
    return Example(text=content, group="g", origin="own.jsonl:1")


def chat(*contents: str, origin: str = "own.jsonl:1") -> Example:
    turns = tuple(Message(("user", "assistant")[index % 2], content) for index, content in enumerate(contents))
    return Example(messages=turns, group=origin, origin=origin)


def learnt(item: Encoded) -> list[int]:
    return [label for label in item.labels if label != -100]


def bytes_of(tokenizer: Any, ids: Sequence[int]) -> list[bytes]:
    """What each token stands for, by the byte-level alphabet itself and not by the tokenizer's offsets."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    value = {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}
    specials = set(tokenizer.all_special_ids)
    pieces = tokenizer.convert_ids_to_tokens(list(ids))
    return [
        piece.encode() if each in specials else bytes(value[letter] for letter in piece) for each, piece in zip(ids, pieces, strict=True)
    ]


@pytest.fixture
def tiny_tokenizer(tiny_folder: Any) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_folder)


def test_labelled_tokens_say_exactly_the_answers_and_their_ends(tiny_tokenizer: Any, conversations: Make) -> None:
    for marks in (True, False):
        if not marks:
            tiny_tokenizer.chat_template = tiny_tokenizer.chat_template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
        examples = conversations(200, 11)
        made = encode_all(examples, tiny_tokenizer, 4096, 4096)
        for each, item in zip(examples, made.items, strict=True):
            assert tiny_tokenizer.decode(learnt(item)) == "".join(f"{answer}<|end|>" for answer in each.answers)
            assert tiny_tokenizer.decode(item.input_ids) == render(each, tiny_tokenizer).text
            assert [label in (-100, token) for token, label in zip(item.input_ids, item.labels, strict=True)] == [True] * len(item.labels)


@pytest.mark.parametrize("trimming", [False, True])
@pytest.mark.parametrize("template", [CHATML, SPACED])
def test_a_token_is_learnt_when_all_its_bytes_are_an_answers(
    merging_tokenizer: Any, conversations: Make, template: str, trimming: bool
) -> None:
    from tokenizers import processors

    merging_tokenizer.chat_template = template
    # With trimming, the tokenizer's offsets leave out the white space at a token's edges, as some models' do.
    merging_tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=trimming)
    straddling = 0
    for each in conversations(120, 5, fewest_words=8):
        made, item = render(each, merging_tokenizer), encode(each, merging_tokenizer, 100_000)
        inside = bytearray(len(made.text.encode()))
        for first, past in made.spans:
            start = len(made.text[:first].encode())
            inside[start : start + len(made.text[first:past].encode())] = b"\1" * len(made.text[first:past].encode())
        at = 0
        for piece, label in zip(bytes_of(merging_tokenizer, item.input_ids), item.labels, strict=True):
            covered = inside[at : at + len(piece)]
            assert (label != -100) == all(covered), (piece, made.text.encode()[at - 20 : at + 20])
            straddling += 0 < sum(covered) < len(piece)
            at += len(piece)
        assert at == len(inside)
    assert straddling > 20


def test_every_byte_of_a_last_character_is_learnt(byte_tokenizer: Any) -> None:
    byte_tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ':' }}{% generation %}{{ m['content'] }}{% endgeneration %}{{ '\n' }}{% endfor %}"
    )
    item = encode(Example(messages=(Message("user", "?"), Message("assistant", "ok 😀")), group="g", origin="o"), byte_tokenizer, 99)
    assert b"".join(bytes_of(byte_tokenizer, learnt(item))) == "?ok 😀".encode()


def test_straddling_token_at_the_start_is_no_answer(merging_tokenizer: Any) -> None:
    merging_tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    each = chat("return the s", "um of")
    item = encode(each, merging_tokenizer, 99)
    assert b"".join(bytes_of(merging_tokenizer, item.input_ids)) == b"return the sum of"
    assert b"um of".endswith(b"".join(bytes_of(merging_tokenizer, learnt(item))))
    assert b"".join(bytes_of(merging_tokenizer, learnt(item))) != b"um of"


def test_pairs_meet_at_a_clean_boundary_and_end_with_the_end_token(merging_tokenizer: Any) -> None:
    rng = random.Random(3)
    prompts = ["return the", "It's ", "a\n", "ok 😀", "### ok\n\n", "(", "x"]
    completions = [" sum", "sum of", "\nlist", " 本 ", "of two numbers,", ")", "😀"]
    for _ in range(100):
        prompt, completion = rng.choice(prompts), rng.choice(completions)
        item = encode(pair(prompt, completion), merging_tokenizer, 99)
        head = merging_tokenizer(prompt)["input_ids"]
        assert list(item.input_ids[: len(head)]) == head  # as the model is given it when it is asked
        assert item.labels == (*[-100] * len(head), *item.input_ids[len(head) :])
        assert learnt(item)[-1] == merging_tokenizer.eos_token_id
        assert b"".join(bytes_of(merging_tokenizer, learnt(item)[:-1])) == completion.encode()


def test_pair_that_ends_with_the_end_token_gets_no_second(merging_tokenizer: Any) -> None:
    once, twice = (encode(pair("return", completion), merging_tokenizer, 99) for completion in (" the", " the<|eos|>"))
    assert once == twice


@pytest.fixture(scope="session")
def metaspace_tokenizer() -> Any:
    """A tokenizer that writes a space before every text and puts a token in front, as the SentencePiece ones of many models do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE(byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)  # pyright: ignore[reportAttributeAccessIssue]
    trained.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])  # pyright: ignore[reportAttributeAccessIssue]
    specials = ["<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer: Any = trainers.BpeTrainer(vocab_size=400, special_tokens=specials, show_progress=False)  # pyright: ignore[reportCallIssue]
    trained.train_from_iterator(["return the sum of two numbers", "a list of words\nand more"] * 5, trainer)
    trained.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False, name_or_path="meta"
    )


def test_pair_of_a_tokenizer_that_begins_texts_with_a_space_says_the_completion_as_it_is(metaspace_tokenizer: Any) -> None:
    for prompt, completion in [("return the", " sum of"), ("return ", "the sum"), ("a list\n", "of words"), ("retu", "rn the")]:
        item = encode(pair(prompt, completion), metaspace_tokenizer, 99)
        assert item.input_ids[0] == metaspace_tokenizer.bos_token_id
        assert item.labels[0] == -100
        said = metaspace_tokenizer.decode(item.input_ids[1:-1])
        assert said == prompt + completion
        given = [token for token, label in zip(item.input_ids, item.labels, strict=True) if label == -100]
        assert given == metaspace_tokenizer(prompt)["input_ids"]


def test_text_is_learnt_whole_with_its_end(merging_tokenizer: Any, metaspace_tokenizer: Any) -> None:
    item = encode(text("return the sum"), merging_tokenizer, 99)
    assert item.labels == item.input_ids
    assert merging_tokenizer.decode(item.input_ids) == "return the sum<|eos|>"
    begun = encode(text("return the sum"), metaspace_tokenizer, 99)
    assert metaspace_tokenizer.convert_ids_to_tokens(list(begun.input_ids))[:: len(begun.input_ids) - 1] == ["<s>", "</s>"]
    assert begun.answer_tokens == len(begun.input_ids) - 1


def test_preparation_is_that_of_trl(tiny_folder: Any, tmp_path: Any, conversations: Make) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    talks = conversations(40, 21)
    turns = [[{"role": turn.role, "content": turn.content} for turn in each.messages] for each in talks]
    plain = [pair(f"{each.messages[-2].content}\n", each.answers[-1]) for each in talks]
    rows = {"messages": turns}, {"prompt": [each.prompt for each in plain], "completion": [each.completion for each in plain]}
    for examples, columns in zip((talks, plain), rows, strict=True):
        is_talk = examples is talks
        arguments = SFTConfig(
            output_dir=str(tmp_path), max_length=200, assistant_only_loss=is_talk, completion_only_loss=not is_talk, report_to="none",
            use_cpu=True, bf16=False, activation_checkpointing=False,
        )  # fmt: skip
        trainer = SFTTrainer(model=model, args=arguments, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)
        prepared: Any = trainer.train_dataset
        ours = encode_all(examples, tokenizer, 200, 256).items
        compared = 0
        for item, theirs in zip(ours, prepared, strict=True):
            if list(item.input_ids) != theirs["input_ids"]:
                # TRL joins prompt and completion before it cuts them into tokens, so a merge may lie across the boundary.
                assert not is_talk
                assert tokenizer.decode(item.input_ids) == tokenizer.decode(theirs["input_ids"])
                continue
            assert list(item.labels) == theirs["labels"]
            compared += 1
        assert compared > 30


def test_longer_examples_are_cut_at_the_end_and_counted(tiny_tokenizer: Any) -> None:
    examples = [chat("Hi", "Hello"), chat("Hi", "Hello " * 200), chat("Hi", "Bye " * 200)]
    whole = encode_all(examples, tiny_tokenizer, 10_000, None)
    made = encode_all(examples, tiny_tokenizer, 64, 256)
    assert (whole.cut, made.cut) == (0, 2)
    assert made.longest == whole.longest == max(len(item.input_ids) for item in whole.items)
    for item, full in zip(made.items, whole.items, strict=True):
        assert item == Encoded(full.input_ids[:64], full.labels[:64])


def test_audit_counts_what_is_there(tiny_tokenizer: Any) -> None:
    examples = [chat("Hi", "Hello"), chat("Hi", "Hello " * 200), chat("Hi <|pad|>", "Bye", origin="own.jsonl:7")]
    made = encode_all(examples, tiny_tokenizer, 64, 256)
    audit = made.audit()
    tokens = sum(len(item.input_ids) for item in made.items)
    answers = sum(len(learnt(item)) for item in made.items)
    assert {key: audit[key] for key in ("examples", "tokens", "answer_tokens", "cut", "max_tokens")} == {
        "examples": 3, "tokens": tokens, "answer_tokens": answers, "cut": 1, "max_tokens": 64,
    }  # fmt: skip
    assert audit["trained_share"] == answers / tokens
    assert audit["words"] == [
        f"3 examples of {tokens} tokens; {answers} of them ({answers / tokens:.1%}) carry loss.",
        "1 (33.3%) are longer than 64 tokens and cut at the end.",
        "Examples that hold a special token of the tokenizer as text, which is read as that token: 1 (first: own.jsonl:7).",
    ]


def test_template_without_an_end_of_turn_is_noted(byte_tokenizer: Any) -> None:
    byte_tokenizer.chat_template = (
        "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    made = encode_all([chat("Hi", "Hello")] * 3, byte_tokenizer, 99, None)
    assert made.notes == (
        "The chat template writes nothing after the last answer, so the model does not learn to stop: 3 examples (first: own.jsonl:1).",
    )


def test_examples_without_an_answer_token_are_refused_and_the_fix_works(tiny_tokenizer: Any) -> None:
    examples = [chat("Hi", "Hello"), chat("word " * 20, "Hello", origin="own.jsonl:2"), chat("word " * 30, "Hello")]
    with pytest.raises(DataError, match=r"within 16 tokens: 2 \(first: 'own\.jsonl:2'\); expected at least one token to learn") as caught:
        encode_all(examples, tiny_tokenizer, 16, 256)
    most = int(str(caught.value).split("`data.max_tokens=")[1].split("`")[0])
    assert encode_all(examples, tiny_tokenizer, most, 256).cut == 0


def test_answer_inside_a_token_that_begins_before_it_is_refused(merging_tokenizer: Any) -> None:
    merging_tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    whole = max((each for each in merging_tokenizer.get_vocab() if each.isascii() and each.isalpha()), key=len)
    with pytest.raises(
        DataError, match=r"within 99 tokens: 1 .*Remove them: they are whole, and their answers lie inside tokens that begin before"
    ):
        encode(chat(whole[:-1], whole[-1]), merging_tokenizer, 99)


def test_prompt_longer_than_the_context_cannot_be_mended_by_more_tokens(tiny_tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"the longest has \d+ and the model's context is 64\).*Shorten their prompts, or remove them"):
        encode_all([chat("word " * 200, "Hello")], tiny_tokenizer, 64, 64)


def test_more_tokens_than_the_context_is_refused_with_both_numbers(tiny_tokenizer: Any) -> None:
    for call in (lambda: encode_all([chat("Hi", "Hello")], tiny_tokenizer, 512, 256), lambda: blocks(["a"], tiny_tokenizer, 512, 256)):
        with pytest.raises(
            DataError, match=r"`data\.max_tokens` is 512; expected at most 256, the model's context\. Set `data\.max_tokens=256`"
        ):
            call()


def test_no_examples_are_refused(tiny_tokenizer: Any) -> None:
    with pytest.raises(DataError, match="there are 0 examples"):
        encode_all([], tiny_tokenizer, 64, 256)


def test_conversations_need_a_template_and_plain_text_does_not(merging_tokenizer: Any) -> None:
    merging_tokenizer.chat_template = None
    with pytest.raises(DataError, match=r"no chat template \(own\.jsonl:1\)"):
        encode(chat("Hi", "Hello"), merging_tokenizer, 99)
    assert encode(pair("Hi", "Hello"), merging_tokenizer, 99).answer_tokens


def test_tokenizer_without_an_end_token_is_refused_where_it_is_needed(tiny_tokenizer: Any) -> None:
    tiny_tokenizer.eos_token = None
    for call in (
        lambda: encode(pair("a", "b"), tiny_tokenizer, 9),
        lambda: encode(text("a"), tiny_tokenizer, 9),
        lambda: blocks(["a"], tiny_tokenizer, 9),
    ):
        with pytest.raises(ModelError, match=r"has no end-of-text token; expected one.*`eos_token`"):
            call()
    assert encode(chat("Hi", "Hello"), tiny_tokenizer, 99).answer_tokens


def test_slow_tokenizer_is_refused() -> None:
    from transformers import ByT5Tokenizer

    with pytest.raises(ModelError, match=r"is 'ByT5Tokenizer'; expected one with a `tokenizer\.json`"):
        encode(pair("a", "b"), ByT5Tokenizer(), 9)


def test_examples_of_all_forms_keep_their_order(tiny_tokenizer: Any, conversations: Make) -> None:
    rng = random.Random(2)
    examples = [rng.choice([chat(f"Hi {index}", "Hello"), pair(f"p {index}", "c"), text(f"t {index}")]) for index in range(600)]
    made = encode_all(examples, tiny_tokenizer, 256, 256)
    for index, item in enumerate(made.items):
        assert f" {index}" in tiny_tokenizer.decode(item.input_ids)
        assert item == encode(examples[index], tiny_tokenizer, 256)


def test_blocks_hold_every_text_end_to_end(tiny_tokenizer: Any) -> None:
    texts = [f"text number {index}\n" * (index % 5) for index in range(700)]
    made = blocks(texts, tiny_tokenizer, 50)
    assert {len(block.input_ids) for block in made} == {50}
    assert all(block.labels == block.input_ids for block in made)
    whole = "".join(f"{each}<|end|>" for each in texts)
    laid = tiny_tokenizer.decode([token for block in made for token in block.input_ids])
    assert whole.startswith(laid)
    assert len(tiny_tokenizer(whole[len(laid) :])["input_ids"]) < 50
    assert blocks([text(each) for each in texts], tiny_tokenizer, 50) == made


def test_blocks_of_conversations_are_what_the_template_writes_with_one_end(tiny_tokenizer: Any) -> None:
    talks = [chat(f"Say {word}.", f"{word} it is") for word in ("add", "name", "path")]
    ids = [token for block in blocks(talks, tiny_tokenizer, 4) for token in block.input_ids]
    written = [
        tiny_tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in talk.messages], tokenize=False)
        for talk in talks
    ]
    expected = tiny_tokenizer("".join(written), add_special_tokens=False)["input_ids"]
    assert len(expected) - len(ids) < 4
    assert ids == expected[: len(ids)]


def test_blocks_of_too_little_text_are_refused(tiny_tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"the text has 2 tokens in all; expected at least 50, one block"):
        blocks(["a"], tiny_tokenizer, 50)
