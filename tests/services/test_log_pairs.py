"""Which answers become a pair, and why the others do not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex.services.log_choice import Tally
from codex.services.log_pairs import Pairs
from codex.services.log_turns import Talk
from tests.services.talks import Line, contents, talk_of, whole


def made(*talks: Talk, **choice: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The pairs of talks, and what was left out."""
    counted = Tally()
    pairs = Pairs(whole(kind="preference", **choice), counted)
    for talk in talks:
        pairs.add(talk)
    return [row for row, _ in pairs.rows()], dict(counted.skipped)


def said(*talks: Talk, **choice: Any) -> tuple[list[tuple[list[str], str, str]], dict[str, int]]:
    """The same, with what is said alone."""
    rows, skipped = made(*talks, **choice)
    return [(contents(row["prompt"]), row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows], skipped


def test_edit_is_chosen_over_the_answer_that_it_replaces() -> None:
    rows, skipped = made(talk_of("s Be short.", "? one", "= 1", "? two", "= bad", ratings={5: -1}, edits={5: "2"}))
    assert rows == [
        {
            "prompt": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "1"},
                {"role": "user", "content": "two"},
            ],
            "chosen": [{"role": "assistant", "content": "2"}],
            "rejected": [{"role": "assistant", "content": "bad"}],
            "origin": {
                "session": "s",
                "seqs": [1, 5],
                "events": [1, 2, 3, 4, 5],
                "side": None,
                "rating": -1,
                "edited": True,
                "rejected": {"session": "s", "seq": 5, "rating": -1},
            },
        }
    ]
    assert skipped == {"answer neither rated nor edited": 1}


def test_prompt_is_what_the_model_had_read_also_where_that_was_edited_or_bad() -> None:
    talk = talk_of("? one", "= 1", "? two", "= 2", ratings={2: -1}, edits={2: "I", 4: "II"})
    assert said(talk)[0] == [(["one"], "I", "1"), (["one", "1", "two"], "II", "2")]


def test_question_that_was_not_answered_is_not_in_the_prompt() -> None:
    talk = talk_of("s Be short.", "? lost", "? one", "= 1", edits={4: "I"})
    assert said(talk)[0] == [(["Be short.", "one"], "I", "1")]


def test_good_answer_is_chosen_over_a_bad_one_to_the_same_question() -> None:
    assert said(talk_of("? one", "b B", "a A", ratings={2: 1, 3: -1}))[0] == [(["one"], "B", "A")]
    assert said(talk_of("? one", "= first", "= again", ratings={2: -1, 3: 1}))[0] == [(["one"], "again", "first")]
    assert said(talk_of("? one", "b B", "a A", ratings={2: -1}, edits={3: "A!"}))[0] == [(["one"], "A!", "A"), (["one"], "A!", "B")]


def test_answers_of_two_sessions_to_the_same_prompt_are_a_pair_that_names_both() -> None:
    one = talk_of("? one", "= good", session="s1", ratings={2: 1})
    two = talk_of("s ", "? one", "= other prompt", session="s2", ratings={3: -1})
    three = talk_of("i noise", "? one", "= bad", session="s3", ratings={3: -1})
    rows, skipped = made(one, two, three)
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [("good", "bad")]
    assert (rows[0]["origin"]["session"], rows[0]["origin"]["rejected"]) == ("s1", {"session": "s3", "seq": 3, "rating": -1})
    assert skipped == {"rated answer without one to compare": 1}


def test_answers_after_different_histories_are_no_pair() -> None:
    talk = talk_of("? one", "b B1", "a A1", "? two", "b B2", "a A2", ratings={5: 1, 6: -1})
    assert said(talk) == ([], {"answer neither rated nor edited": 2, "rated answer without one to compare": 2})
    same = talk_of("? one", "b 1", "a 1", "? two", "b B2", "a A2", ratings={5: 1, 6: -1})
    assert said(same)[0] == [(["one", "1", "two"], "B2", "A2")]


@pytest.mark.parametrize(("good", "bad"), [(1, 1), (1, 3), (3, 1), (2, 3), (4, 2), (2, 0), (0, 2)])
def test_each_judged_answer_is_in_a_pair_and_none_in_more_than_it_takes(good: int, bad: int) -> None:
    ratings = [1] * good + [-1] * bad
    talks = [talk_of("? one", f"= {number}", session=f"s{number}", ratings={2: rating}) for number, rating in enumerate(ratings)]
    pairs, skipped = said(*talks)
    if good and bad:
        assert len(pairs) == len({each[1:] for each in pairs}) == max(good, bad)
        assert {chosen for _, chosen, _ in pairs} == {str(number) for number in range(good)}
        assert {rejected for _, _, rejected in pairs} == {str(number) for number in range(good, good + bad)}
        assert skipped == {}
    else:
        assert (pairs, skipped) == ([], {"rated answer without one to compare": good + bad})


LEFT_OUT: list[tuple[str, tuple[Line, ...]]] = [
    ("error in the turn", ("? one", "= 1", "! it broke")),
    ("turn uses a tool", ("? one", "t 4", "= 1")),
    ("redacted content", ("? my key is [redacted:aws-key]", "= 1")),
    ("redacted content", ("? one", "= [redacted:aws-key]")),
    ("follows an answer that is left out", ("? zero", "t 4", "? one", "= 1")),
]


@pytest.mark.parametrize(("why", "lines"), LEFT_OUT)
def test_what_cannot_be_compared_is_left_out(why: str, lines: tuple[Line, ...]) -> None:
    last = max(at for at, line in enumerate(lines, 1) if line[0] == "=")
    assert said(talk_of(*lines, edits={last: "better"})) == ([], {why: 1})


def test_trouble_in_a_prompt_keeps_out_all_that_goes_on_from_it() -> None:
    talk = talk_of("? one", "= [redacted:k]", "? two", "= 2", edits={4: "better"})
    assert said(talk) == ([], {"answer neither rated nor edited": 1, "redacted content": 1})
    assert said(talk, include_redacted=True)[0] == [(["one", "[redacted:k]", "two"], "better", "2")]
    tool = talk_of("? one", ("t 4", {"tool": "f"}), "= 1", "? two", "= 2", edits={5: "better"})
    assert said(tool)[1] == {"answer neither rated nor edited": 1, "turn uses a tool": 1}
    assert said(tool, include_tools=True)[0] == [(["one", "", "4", "1", "two"], "better", "2")]


def test_empty_answer_can_be_rejected_and_never_chosen_and_equal_ones_are_no_pair() -> None:
    assert said(talk_of("? one", "b B", "a ", ratings={2: 1, 3: -1}))[0] == [(["one"], "B", "")]
    assert said(talk_of("? one", "b B", "a ", ratings={2: -1, 3: 1})) == (
        [],
        {"answer is empty": 1, "rated answer without one to compare": 1},
    )
    assert said(talk_of("? one", "b same", "a same", ratings={2: 1, 3: -1})) == ([], {"both answers say the same": 1})


def test_side_and_picks_narrow_what_is_compared() -> None:
    talk = talk_of("? one", "b B", "a A", ratings={2: 1, 3: -1}, edits={3: "A!"})
    assert said(talk, side="adapter")[0] == [(["one"], "A!", "A")]
    assert said(talk_of("? one", "b B", "a A", ratings={2: 1}, edits={3: "A!"}, picks=[2])) == (
        [],
        {"rated answer without one to compare": 1},
    )


@settings(max_examples=60, deadline=None)
@given(
    answers=st.lists(
        st.tuples(st.sampled_from("ab="), st.sampled_from("xyz "), st.sampled_from([-1, 0, 1, None]), st.booleans()), max_size=7
    )
)
def test_every_pair_is_an_edit_with_its_original_or_a_good_answer_with_a_bad_one(
    answers: list[tuple[str, str, int | None, bool]],
) -> None:
    lines = [f"{sign} {text}" for sign, text, _, _ in answers]
    ratings = {seq: rating for seq, (_, _, rating, _) in enumerate(answers, 2) if rating is not None}
    edits = {seq: "better" for seq, (_, _, _, edited) in enumerate(answers, 2) if edited}
    rows, skipped = made(talk_of("? one", *lines, ratings=ratings, edits=edits))
    used: set[int] = set()
    for row in rows:
        chosen, rejected = row["origin"]["seqs"][1], row["origin"]["rejected"]["seq"]
        used |= {chosen, rejected}
        assert row["chosen"][0]["content"] == edits.get(chosen, lines[chosen - 2][2:])
        assert row["rejected"][0]["content"] == lines[rejected - 2][2:] != row["chosen"][0]["content"]
        assert (chosen == rejected) or ((chosen in edits or ratings.get(chosen) == 1) and ratings.get(rejected) == -1)
    judged = {seq for seq in range(2, len(lines) + 2) if seq in edits or ratings.get(seq) in (1, -1)}
    assert used <= judged
    assert set(edits) <= used
    assert skipped.get("answer neither rated nor edited", 0) == len(lines) - len(judged)
