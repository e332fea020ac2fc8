"""Lines are broken where a person would, and never lose a word."""

from __future__ import annotations

import contextlib
import io
import time
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from codex.cli import logs_timeline
from codex.cli.logs_timeline import breaks, tokens_of
from codex.cli.terminal import Painted, cells

LINES = st.text(st.sampled_from("ab  \u0301中🙂-"), max_size=60)


@given(LINES, st.integers(2, 30))
@example("      indented far", 4)
@example("word", 4)
@example("wor ds", 4)
@example("   ", 2)
def test_breaks_fit_and_leave_out_nothing_but_blanks(line: str, room: int) -> None:
    pieces = list(breaks(line, room))
    assert all(cells(line[start:end]) <= room for start, end in pieces)
    left_out = "".join(line[end:start] for (_, end), (start, _) in pairwise(pieces))
    assert left_out.strip(" ") == ""
    assert (pieces[0][0], line[pieces[-1][1] :].strip(" ")) == (0, "")
    assert [end > start for start, end in pieces[1:]] == [True] * (len(pieces) - 1)


@given(LINES, st.integers(2, 30))
@example("  ab abcdef", 4)
def test_breaks_split_only_a_word_that_begins_its_piece(line: str, room: int) -> None:
    for (begin, end), (start, _) in pairwise(breaks(line, room)):
        word = line.rfind(" ", 0, end) + 1
        assert end < start or line[begin:word].strip(" ") == ""


def test_breaks_keep_an_indented_word_with_its_indentation() -> None:
    assert list(breaks("  abcdef", 4)) == [(0, 4), (4, 8)]


def test_breaks_of_a_very_long_line_take_no_longer_than_it_is_long() -> None:
    began = time.process_time()
    assert sum(1 for _ in breaks("word " * 200_000, 80)) > 10_000
    assert sum(1 for _ in breaks("x" * 1_000_000, 80)) == 12_500
    assert time.process_time() - began < 5


@given(st.text(st.sampled_from("ab c"), min_size=1, max_size=40), st.data())
def test_marked_words_stay_set_off_across_breaks(line: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(line)), unique=True, max_size=6)))
    marks = list(zip(ends[::2], ends[1::2], strict=False))
    wanted = [at for begin, end in marks for at in range(begin, end) if line[at] != " "]
    found: list[int] = []
    for start, end in breaks(line, 5):
        at = start
        for part in logs_timeline._marked(line, start, end, marks):  # pyright: ignore[reportPrivateUsage]
            text = part.text if isinstance(part, Painted) else part
            assert line[at : at + len(text)] == text
            found += [place for place in range(at, at + len(text)) if isinstance(part, Painted) and line[place] != " "]
            at += len(text)
        assert at == end
    assert found == wanted


def test_paragraph_in_a_pipe_leaves_lines_as_they_are() -> None:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        logs_timeline.paragraph("\tx" + " long" * 100 + "\n\nend ")
    assert stream.getvalue() == "    \tx" + " long" * 100 + "\n\n    end \n"


def test_tokens_say_what_is_known() -> None:
    assert [tokens_of(*each) for each in ((None, None), (9, 5), (0, 5), (None, 1), (9, None), (None, 0))] == [
        "", "9 in, 5 out", "5 tokens", "1 token", "9 in", "0 tokens",
    ]  # fmt: skip
