"""What of a session becomes an example to learn from, and why the rest does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex.services.log_chats import Chats
from codex.services.log_choice import Choice, Tally
from codex.services.log_turns import Talk
from tests.services.talks import Line, contents, talk_of, tally, whole


def made(talk: Talk, **choice: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows of a talk, and what was left out."""
    counted = tally()
    rows = [row for row, _ in Chats(whole(**choice), counted).rows(talk)]
    return rows, dict(counted.skipped)


def said(talk: Talk, **choice: Any) -> tuple[list[list[str]], dict[str, int]]:
    """The same, with what is said alone."""
    rows, skipped = made(talk, **choice)
    return [contents(row["messages"]) for row in rows], skipped


def test_conversation_becomes_one_example_with_where_it_came_from() -> None:
    rows, skipped = made(talk_of("s Be short.", "? one", "= 1", "? two", "= 2", "i noise", "? three"), min_rating=0)
    assert rows == [
        {
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "1"},
                {"role": "user", "content": "two"},
                {"role": "assistant", "content": "2"},
            ],
            "origin": {"session": "s", "seqs": [1, 5], "events": [1, 2, 3, 4, 5], "side": None, "rating": None, "edited": False},
        }
    ]
    assert skipped == {}


def test_verdicts_and_notes_are_no_part_of_a_conversation() -> None:
    verdict: Line = ("= Better: by 0.4", {"kind": "evaluation"})
    talk = talk_of("? one", "= 1", verdict, ("? a note", {"kind": "annotation"}), "? two", "= 2")
    assert said(talk) == ([["one", "1", "two", "2"]], {})


def test_conversation_ends_before_an_answer_that_is_rated_bad() -> None:
    talk = talk_of("? one", "= 1", "? two", "= bad", "? three", "= 3", ratings={4: -1, 6: 1})
    assert said(talk) == ([["one", "1"]], {"answer rated bad": 1, "follows an answer that is left out": 1})
    assert said(talk, min_rating=-1) == ([["one", "1", "two", "bad", "three", "3"]], {})


def test_edit_replaces_the_answer_and_ends_the_conversation() -> None:
    talk = talk_of("? one", "= 1", "? two", "= bad", "? why?", "= sorry", ratings={4: -1}, edits={4: "2"})
    rows, skipped = made(talk)
    assert [contents(row["messages"]) for row in rows] == [["one", "1", "two", "2"]]
    assert rows[0]["origin"] | {"edited": True, "rating": -1, "seqs": [1, 4]} == rows[0]["origin"]
    assert skipped == {"follows an answer that was edited": 1}


@pytest.mark.parametrize("edit", ["", " \n", "1"])
def test_edit_that_is_blank_or_changes_nothing_is_none(edit: str) -> None:
    rows, _ = made(talk_of("? one", "= 1", "? two", "= 2", edits={2: edit}))
    assert contents(rows[0]["messages"]) == ["one", "1", "two", "2"]
    assert rows[0]["origin"]["edited"] is False


def test_edit_of_a_question_replaces_it_and_the_conversation_goes_on() -> None:
    rows, _ = made(talk_of("? I am Ann", "= Hello", "? two", "= 2", edits={1: "I am N."}))
    assert contents(rows[0]["messages"]) == ["I am N.", "Hello", "two", "2"]
    assert rows[0]["origin"]["edited"] is True


def test_rated_good_alone_ends_with_an_answer_that_is_rated_good_or_edited() -> None:
    lines = ("? one", "= 1", "? two", "= 2", "? three", "= 3")
    assert said(talk_of(*lines, ratings={4: 1}), min_rating=1) == ([["one", "1", "two", "2"]], {"answer not rated good": 1})
    assert said(talk_of(*lines, edits={2: "I"}), min_rating=1) == ([["one", "I"]], {"follows an answer that was edited": 2})
    assert said(talk_of(*lines, ratings={2: 0}), min_rating=1) == ([], {"answer not rated good": 3})
    assert said(talk_of(*lines, ratings={2: -1, 4: 1}), min_rating=1)[0] == []


def test_picked_answer_comes_with_the_conversation_before_it_and_nothing_after() -> None:
    lines = ("? one", "= 1", "? two", "= 2", "? three", "= 3")
    assert said(talk_of(*lines, picks=[4])) == ([["one", "1", "two", "2"]], {})
    assert said(talk_of(*lines, picks=[4], ratings={2: -1})) == ([], {"follows an answer that is left out": 1})
    assert said(talk_of(*lines, picks=[4], ratings={4: -1})) == ([], {"answer rated bad": 1})
    assert said(talk_of("? one", "a A", "b B", picks=[2, 3])) == ([["one", "A"], ["one", "B"]], {})


BOTH = ("? one", "b B1", "a A1", "? two", "b B2", "a A2")


@pytest.mark.parametrize(
    ("ratings", "edits", "side", "expected"),
    [
        ({}, {}, "judged", ["one", "A1", "two", "A2"]),
        ({}, {}, "base", ["one", "B1", "two", "B2"]),
        ({2: 1, 5: 1}, {}, "adapter", ["one", "A1", "two", "A2"]),
        ({5: 1}, {}, "judged", ["one", "B1", "two", "B2"]),
        ({2: 1}, {}, "judged", ["one", "B1", "two", "B2"]),
        ({2: 1, 6: 1}, {}, "judged", ["one", "B1"]),  # A2 is liked, but was said to somebody who had read A1
        ({3: -1}, {}, "judged", ["one", "B1", "two", "B2"]),
        ({6: -1}, {}, "judged", ["one", "B1", "two", "B2"]),
        ({3: 1}, {5: "B2!"}, "judged", ["one", "A1"]),
        ({2: 1}, {3: "A1!"}, "judged", ["one", "A1!"]),
    ],
)
def test_one_side_is_taken_and_never_mixed(ratings: dict[int, int], edits: dict[int, str], side: str, expected: list[str]) -> None:
    talk = talk_of(*BOTH, ratings=ratings, edits=edits)
    rows, skipped = made(talk, side=side)
    assert [contents(row["messages"]) for row in rows] == [expected]
    assert sum(skipped.values()) == 4 - len(expected) // 2
    assert rows[0]["origin"]["side"] == ("base" if expected[1].startswith("B") else "adapter")


def test_side_with_more_answers_that_were_judged_is_taken_over_a_longer_one() -> None:
    lines = ("? one", "b B1", "a A1", "? two", "b B2", "? three", "a A3", "? four", "a A4")
    assert said(talk_of(*lines))[0] == [["one", "A1", "three", "A3", "four", "A4"]]
    assert said(talk_of(*lines, ratings={5: 1}))[0] == [["one", "B1", "two", "B2"]]


def test_rating_of_an_example_is_the_best_of_its_answers() -> None:
    for ratings, best in (({2: 1, 4: 0}, 1), ({2: 0}, 0), ({}, None)):
        assert made(talk_of("? one", "= 1", "? two", "= 2", ratings=ratings))[0][0]["origin"]["rating"] == best


def test_side_that_was_asked_for_does_not_hide_chats_with_one_side() -> None:
    for line, side in (("= 1", None), (("= 1", {"attributes": {"side": "model"}}), "model")):
        rows, _ = made(talk_of("? one", line), side="base")
        assert rows[0]["origin"]["side"] == side
    assert said(talk_of("? one", "a 1"), side="base") == ([], {"answer of the other side": 1})


LEFT_OUT: list[tuple[str, tuple[Line, ...]]] = [
    ("error in the turn", ("? two", "= 2", "! it broke")),
    ("error in the turn", ("? two", ("= 2", {"attributes": {"exception": "OSError"}}))),
    ("turn uses a tool", ("? two", "t 4", "= 2")),
    ("answer is empty", ("? two", "=  \n")),
    ("answer was cut off", ("? two", ("= 2", {"attributes": {"finish": "length"}}))),
    ("answer was cut off", ("? two", ("= 2", {"attributes": {"finish": "context"}}))),
    ("answer was cut off", ("? two", ("= 2", {"attributes": {"finish": "stopped"}}))),
    ("redacted content", ("? my key is [redacted:aws-key]", "= 2")),
    ("redacted content", ("? two", ("= 2", {"redacted": 1}))),
]


@pytest.mark.parametrize(("why", "lines"), LEFT_OUT)
def test_what_must_not_be_learnt_is_left_out_with_all_that_follows(why: str, lines: tuple[Line, ...]) -> None:
    assert said(talk_of("? one", "= 1", *lines, "? three", "= 3")) == (
        [["one", "1"]],
        {why: 1, "follows an answer that is left out": 1},
    )


def test_error_is_of_the_side_that_it_names_else_of_both_and_the_end_of_a_session_is_no_turns_error() -> None:
    both = ("? one", "b B", "a A")
    assert said(talk_of(*both, "! it broke"))[0] == []
    assert said(talk_of(*both, ("! it broke", {"attributes": {"side": "adapter"}})))[0] == [["one", "B"]]
    ended: Line = ("! OSError: no room", {"attributes": {"session_event": "ended", "outcome": "failed"}})
    assert said(talk_of(*both, ended))[0] == [["one", "A"]]


def test_what_a_person_chose_may_be_cut_off_and_what_they_rewrote_may_have_been_redacted() -> None:
    cut: Line = ("= 1", {"attributes": {"finish": "stopped"}})
    assert said(talk_of("? one", cut, ratings={2: 1}))[0] == said(talk_of("? one", cut, picks=[2]))[0] == [["one", "1"]]
    secret: Line = ("= the key is [redacted:k]", {"redacted": 1})
    assert said(talk_of("? one", secret, edits={2: "I do not know."}))[0] == [["one", "I do not know."]]
    assert said(talk_of("? one", "= 1", edits={2: "[redacted:k]"}))[0] == []
    assert said(talk_of("? one", secret), include_redacted=True)[0] == [["one", "the key is [redacted:k]"]]


def test_question_that_was_not_answered_is_passed_over_as_our_chats_do() -> None:
    talk = talk_of("s Be short.", "? too long", "! it broke", "? one", "= 1", "! between", "? two", "= 2")
    assert said(talk)[0] == []  # an error in the turn of the answer
    assert said(talk_of("s Be short.", "? too long", "! it broke", "? one", "= 1"))[0] == [["Be short.", "one", "1"]]
    assert said(talk_of("? one", "s Be short.", "= 1", "s Be long.", "? two", "= 2"))[0] == [
        ["one", "Be short.", "1", "Be long.", "two", "2"]
    ]
    dropped = talk_of("s Be short.", "? lost", "? one", "= 1", "? two", "= 2")
    assert said(dropped)[0] == [["Be short.", "one", "1", "two", "2"]]
    one_side = talk_of("? one", "b B1", "? two", "b B2", "a A2")
    assert said(one_side, side="adapter")[0] == [["two", "A2"]]


def test_tools_are_kept_as_calls_and_results_when_they_are_wanted() -> None:
    lines: tuple[Line, ...] = (
        "? how many?",
        "= I count.",
        ("t 12", {"tool": "count", "attributes": {"arguments": {"path": "."}, "tool_call_id": "c1"}}),
        ("t ok", {"tool": "check"}),
        "t unnamed",
        "= Twelve.",
        "? thanks",
        "= Welcome.",
    )
    talk = talk_of(*lines, ratings={8: 1})
    rows, skipped = made(talk, include_tools=True)
    assert skipped == {}
    assert rows[0]["origin"]["events"] == [1, 2, 3, 4, 5, 6, 7, 8]
    call = {"type": "function", "id": "c1", "function": {"name": "count", "arguments": {"path": "."}}}
    check = {"type": "function", "function": {"name": "check", "arguments": {}}}
    assert rows[0]["messages"] == [
        {"role": "user", "content": "how many?"},
        {"role": "assistant", "content": "I count.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "name": "count", "content": "12"},
        {"role": "assistant", "content": "", "tool_calls": [check]},
        {"role": "tool", "name": "check", "content": "ok"},
        {"role": "tool", "content": "unnamed"},
        {"role": "assistant", "content": "Twelve."},
        {"role": "user", "content": "thanks"},
        {"role": "assistant", "content": "Welcome."},
    ]
    assert said(talk) == ([], {"turn uses a tool": 1, "follows an answer that is left out": 1})
    unfinished = talk_of("? one", "= 1", "? two", ("t 12", {"tool": "count"}), "? three", "= 3")
    assert said(unfinished, include_tools=True) == ([["one", "1"]], {"follows an answer that is left out": 1})


def test_of_answers_that_were_made_again_one_is_taken_and_another_than_the_last_ends_it() -> None:
    lines = ("? one", "= 1a", "= 1b", "? two", "= 2")
    assert said(talk_of(*lines)) == ([["one", "1b", "two", "2"]], {"another answer was preferred": 1})
    assert said(talk_of(*lines, ratings={3: 1}, picks=[2]))[0] == [["one", "1a"]]
    assert said(talk_of(*lines, ratings={2: 1})) == (
        [["one", "1a"]],
        {"another answer was preferred": 1, "follows an answer that is left out": 1},
    )


# Whatever is in a log

WORDS = st.sampled_from(["x", "y", "[redacted:k]", " ", "Z z"])
LINES = st.lists(
    st.tuples(
        st.sampled_from("??aabb=ts!i"),
        WORDS,
        st.sampled_from([{}, {}, {"redacted": 1}, {"attributes": {"finish": "length"}}, {"attributes": {"exception": "E"}}, {"tool": "f"}]),
    ),
    max_size=14,
)
CHOICES = st.builds(
    whole,
    min_rating=st.sampled_from([-1, 0, 1]),
    side=st.sampled_from(["judged", "base", "adapter"]),
    include_tools=st.booleans(),
    include_redacted=st.booleans(),
)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """A session of any events, with anything said of them."""
    lines = [(f"{sign} {text} {at}" if text.strip() else f"{sign} {text}", fields) for at, (sign, text, fields) in enumerate(draw(LINES))]
    seqs = st.integers(1, max(len(lines), 1))
    ratings = draw(st.dictionaries(seqs, st.sampled_from([-1, 0, 1]), max_size=4))
    edits = draw(st.dictionaries(seqs, st.sampled_from(["better", "", "[redacted:k]"]), max_size=2))
    return talk_of(*lines, ratings=ratings, edits=edits)


@settings(max_examples=80, deadline=None)
@given(talk=talks(), choice=CHOICES)
def test_every_example_is_the_beginning_of_one_sides_history_and_every_answer_is_accounted_for(talk: Talk, choice: Choice) -> None:
    counted = Tally()
    rows = [row for row, _ in Chats(choice, counted).rows(talk)]
    events = {event.seq: event for turn in talk.turns for event in (*turn.asked, *turn.steps)}
    answers = {event.seq for turn in talk.turns for side in talk.sides for event in turn.of(side)[1]}
    assert len(rows) <= 1
    learnt: set[int] = set()
    for row in rows:
        seqs = row["origin"]["events"]
        learnt |= answers.intersection(seqs)
        assert row["origin"]["seqs"] == [min(seqs), max(seqs)] and len(set(seqs)) == len(seqs)
        assert (heard := [seq for seq in seqs if events[seq].role != "system"]) == sorted(heard)
        spoken = [message for message in row["messages"] if "tool_calls" not in message or message["content"]]
        assert [message["role"] for message in spoken] == [events[seq].role for seq in seqs]
        for message, seq in zip(spoken, seqs, strict=True):
            said_of = talk.said.get(seq)
            edit = said_of.edit if said_of else None
            assert message["content"] == (edit if edit and edit.strip() else events[seq].content)
            assert choice.include_redacted or "[redacted:" not in message["content"]
        assert seqs[-1] in answers
        assert {events[seq].attributes.get("side") for seq in seqs if events[seq].role == "assistant"} == {row["origin"]["side"]}
        assert choice.include_tools or not any(events[seq].role == "tool" for seq in seqs)
        rated = [said_of.rating for seq in learnt if (said_of := talk.said.get(seq)) and not (said_of.edit or "").strip()]
        assert choice.min_rating == -1 or -1 not in rated
        # of the side's own history nothing between the first and the last is missing but questions that it did not answer
        side = row["origin"]["side"]
        answered = [turn for turn in talk.turns if turn.of(side)[1]]
        for turn in answered:
            question = next(event.seq for event in turn.asked if event.role == "user")
            assert (question in seqs) == (question <= seqs[-1])
    assert len(learnt) + sum(counted.skipped.values()) == len(answers)
