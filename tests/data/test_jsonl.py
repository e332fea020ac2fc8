"""JSONL files: what is read, and all that is said about files that are wrong."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import DataError, UserError
from codex.data.jsonl import read_file

ROW = '{"prompt": "a", "completion": "b"}'


Write = Callable[..., Path]


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "train.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def problems(path: Path, format_name: str = "auto") -> list[str]:
    with pytest.raises(DataError) as caught:
        read_file(path, format_name)
    for problem in caught.value.problems:
        assert problem.what
        assert problem.expected.startswith("expected")
        assert problem.fix
    return str(caught.value).split("\n")


def test_rows_are_read_in_order_with_their_line_as_origin(file: Write) -> None:
    content = f'{ROW}\n\n  \n{{"prompt": "c", "completion": "d"}}'
    made = read_file(file(content))
    assert [(each.prompt, each.origin) for each in made.examples] == [("a", "train.jsonl:1"), ("c", "train.jsonl:4")]
    assert made.format == "prompt-completion"
    assert made.sha256 == hashlib.sha256(content.encode()).hexdigest()


def test_byte_order_mark_and_windows_line_ends_are_tolerated(file: Write) -> None:
    made = read_file(file(b"\xef\xbb\xbf" + f"{ROW}\r\n{ROW}\r\n".encode()))
    assert len(made.examples) == 2


def test_only_a_line_feed_ends_a_line(file: Write) -> None:
    made = read_file(file('{"text": "a\u2028b\u0085c"}\n{"text": "d"}'))
    assert [each.text for each in made.examples] == ["a\u2028b\u0085c", "d"]


def test_text_of_any_script_comes_through_whole(file: Write) -> None:
    text = "Räume, 本, 😀, \u0000, \u200b"
    made = read_file(file(json.dumps({"text": text}) + "\n" + json.dumps({"text": text}, ensure_ascii=False)))
    assert [each.text for each in made.examples] == [text, text]


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
def test_empty_file_is_refused(file: Write, content: bytes) -> None:
    (message,) = problems(file(content))
    assert "train.jsonl' holds no examples; expected one JSON object a line" in message
    assert "`messages`, or `prompt` and `completion`, or `text`" in message


def test_file_that_is_not_utf8_names_byte_offset_and_line(file: Write) -> None:
    (message,) = problems(file(f"{ROW}\n".encode() + '{"prompt": "é", "completion": "b"}'.encode("latin-1")))
    offset = len(ROW) + 1 + len('{"prompt": "')
    assert f"b'\\xe9' at byte offset {offset} is not UTF-8 (train.jsonl:2)" in message
    assert "iconv" in message


def test_offset_after_a_byte_order_mark_counts_the_mark(file: Write) -> None:
    (message,) = problems(file(b'\xef\xbb\xbf{"text": "\xff"}'))
    assert "byte offset 13 is not UTF-8 (train.jsonl:1)" in message


def test_truncated_last_line_names_line_and_column(file: Write) -> None:
    (message,) = problems(file(ROW + '\n{"prompt": "a", "compl'))
    assert "at column 17 is no valid JSON (Unterminated string starting at) (train.jsonl:2)" in message
    assert "cut off" in message


@pytest.mark.parametrize("cut", range(1, len(ROW)))
def test_row_cut_anywhere_is_refused_with_its_line(file: Write, cut: int) -> None:
    (message,) = problems(file(f"{ROW}\n{ROW[:cut]}"))
    assert "(train.jsonl:2)" in message
    assert "cut off" in message


def test_invalid_json_shows_what_stands_there(file: Write) -> None:
    (message,) = problems(file(ROW + '\n{"prompt": "a", completion: "b"}'))
    assert """'{"prompt": "a", completion: "b"}' at column 17 is no valid JSON""" in message
    assert "one whole JSON object on each line" in message


@pytest.mark.parametrize(("line", "shown"), [('["a", "b"]', "['a', 'b']"), ('"a"', "'a'"), ("3", "3"), ("null", "None")])
def test_row_that_is_no_object_is_refused(file: Write, line: str, shown: str) -> None:
    (message,) = problems(file(f"{ROW}\n{line}\n{ROW}"))
    assert f"the line is {shown} (train.jsonl:2); expected a JSON object" in message


@pytest.mark.parametrize("line", ["[" * 100_000, '{"text": ' + "9" * 5000 + "}"])
def test_row_that_python_cannot_hold_is_refused(file: Write, line: str) -> None:
    (message,) = problems(file(f'{{"text": "a"}}\n{line}'))
    assert "(train.jsonl:2); expected one JSON object" in message


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["my data.json", "train.jsonl"])
def test_json_list_is_refused_and_the_fix_works(file: Write, name: str, indent: int | None) -> None:
    path = file(json.dumps([json.loads(ROW)] * 3, indent=indent), name)
    (message,) = problems(path)
    assert "holds one JSON list; expected JSONL" in message
    words = shlex.split(message.split("`")[1])
    assert (words[0], words[-2:]) == ("python", [">", str(path.with_suffix(".jsonl"))])
    target = path.with_name("made.jsonl")
    target.write_bytes(subprocess.run([sys.executable, *words[1:-2]], capture_output=True, check=True).stdout)
    assert len(read_file(target).examples) == 3


def test_unknown_keys_are_named_with_what_was_expected(file: Write) -> None:
    (message,) = problems(file('{"input": "a", "label": 1}'))
    assert "keys are ['input', 'label'] (train.jsonl:1); expected `messages`, or `prompt` and `completion`, or `text`" in message


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        ('{"conversations": []}', "Rename `conversations` to `messages`"),
        ('{"instruction": "a", "input": "", "output": "b"}', "`output` as `completion`"),
        ('{"question": "a", "answer": "b"}', "Rename `question` to `prompt`"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}', "Preference pairs"),
        ("{}", "Rename"),
    ],
)
def test_shapes_of_other_programs_get_their_own_fix(file: Write, row: str, fix: str) -> None:
    (message,) = problems(file(row))
    assert fix in message


def test_mixed_formats_are_refused_naming_both_and_the_line_that_decided(file: Write) -> None:
    (message,) = problems(file(f'\n{ROW}\n{{"text": "a"}}'))
    assert "the row is 'text' (train.jsonl:3); expected 'prompt-completion' on every line (decided by train.jsonl:2)" in message


def test_row_that_fits_two_formats_asks_which(file: Write) -> None:
    path = file('{"text": "a", "prompt": "a", "completion": "b"}\n' * 9)
    (message,) = problems(path)
    assert "fits 'prompt-completion' and 'text' (train.jsonl:1)" in message
    assert read_file(path, message.split("`data.format=")[1].split("`")[0]).format == "prompt-completion"


def test_asked_format_is_kept_to(file: Write) -> None:
    (message,) = problems(file(ROW), "text")
    assert "the row's keys are" in message
    with pytest.raises(UserError, match=r"'mesages' is unknown.*Use 'messages'"):
        read_file(file(ROW), "mesages")


def test_five_problems_are_shown_and_the_rest_counted(file: Write) -> None:
    bad = ["{", '{"text": 3}', "\udcff", "[]", '{"a": 1}', '{"text": ""}', "}", '{"prompt": "a", "completion": "b"}']
    content = b'{"text": "ok"}\n' + "\n".join(bad).encode("utf-8", "surrogateescape") + b'\n{"text": "ok"}'
    told = problems(file(content))
    assert len(told) == 6
    assert [f"(train.jsonl:{number})" in line for number, line in enumerate(told[:5], 2)] == [True] * 5
    assert told[5].startswith("lines of 'train.jsonl' with problems beyond these: 3; expected none.")


def test_exactly_five_problems_have_no_rest(file: Write) -> None:
    assert len(problems(file('{"text": "ok"}\n' + "{\n" * 5))) == 5


def test_hundred_thousand_rows_are_read_in_seconds(file: Write) -> None:
    path = file("".join(f'{{"prompt": "question {i}", "completion": "answer {i}"}}\n' for i in range(100_000)))
    started = time.process_time()
    made = read_file(path)
    assert len(made.examples) == 100_000
    assert made.examples[-1].origin == "train.jsonl:100000"
    assert time.process_time() - started < 10


def test_hundred_thousand_wrong_rows_keep_five_messages(file: Write) -> None:
    told = problems(file("{\n" * 100_000))
    assert "beyond these: 99,995;" in told[-1]
