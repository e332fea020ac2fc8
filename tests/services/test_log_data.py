"""A data set from a real log: which sessions, what is written, and that training and TRL take it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex.config.schema import DataConfig
from codex.core.errors import DataError, UserError, WorkspaceError
from codex.core.paths import Workspace, tiny_model_folder
from codex.data.load import load
from codex.services import log_data
from codex.services.log_data import Choice, Counts, Selection
from codex.sessionlog import SessionLog
from tests.services.talks import contents, log_talk

ALL = Selection()


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """A chat of two sides, an agent's session, a training, a chat without an answer; ratings and edits."""
    log_talk(workspace, "chat-1", "? one", "b B1", "a A1", "? two", "b B2", "a A2", ratings={2: 1, 5: -1}, edits={3: "A1!"})
    log_talk(workspace, "chat-2", "? one", "= 1", "? two", "= 2")
    log_talk(workspace, "agent-1", "? count", ("t 12", {"tool": "count"}), "= Twelve.", kind="agent")
    log_talk(workspace, "training-1", "i step", "= Better: by 0.4", kind="training")
    log_talk(workspace, "chat-3", "? hello?", "! it broke")
    return workspace


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def heard(workspace: Workspace, choice: Choice) -> dict[str, list[str]]:
    """What is said in each session's example."""
    return {row["origin"]["session"]: contents(row["messages"]) for row in log_data.choose(workspace, choice, shown=1000).examples}


def test_preview_counts_what_it_takes_and_what_it_leaves_out(filled: Workspace) -> None:
    preview = log_data.choose(filled, Choice(ALL), shown=1)
    assert preview.counts == Counts(sessions=4, examples=2, answers=3, good=0, edited=1, duplicates=0)
    assert [contents(row["messages"]) for row in preview.examples] == [["one", "A1!"]]
    assert preview.skipped == {
        "answer of the other side": 2,
        "follows an answer that was edited": 1,
        "session has no answer": 1,
        "turn uses a tool": 1,
    }
    assert preview.notes == ()
    assert not filled.datasets.exists(), "a preview writes nothing"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(ALL), {"chat-1", "chat-2"}),
        (Choice(ALL, include_tools=True), {"chat-1", "chat-2", "agent-1"}),
        (Choice(Selection(kinds=("agent",)), include_tools=True), {"agent-1"}),
        (Choice(Selection(kinds=("training",))), set()),
        (Choice(Selection(where="id = 'chat-2'")), {"chat-2"}),
        (Choice(Selection(sessions=("chat-2",))), {"chat-2"}),
        (Choice(ALL, min_rating=1), {"chat-1"}),
        (Choice(sessions=("chat-2",)), {"chat-2"}),
        (Choice(Selection(where="id = 'chat-1'"), sessions=("chat-2",)), {"chat-1", "chat-2"}),
        (Choice(sessions=("agent",), include_tools=True), {"agent-1"}),
        (Choice(events=(("chat-2", 2),)), {"chat-2"}),
        (Choice(Selection(since=1e9)), set()),
    ],
)
def test_sessions_are_chosen_by_conditions_and_by_hand(filled: Workspace, choice: Choice, expected: set[str]) -> None:
    assert set(heard(filled, choice)) == expected


def test_answers_by_hand_add_to_what_was_selected(filled: Workspace) -> None:
    choice = Choice(Selection(sessions=("chat-1",)), events=(("chat-2", 2), ("chat-1", 2)))
    rows = log_data.choose(filled, choice).examples
    assert [contents(row["messages"]) for row in rows] == [["one", "B1"], ["one", "A1!"], ["one", "1"]]
    assert heard(filled, Choice(events=(("chat-2", 2),))) == {"chat-2": ["one", "1"]}


def test_compacted_log_gives_the_same(filled: Workspace) -> None:
    before = [log_data.choose(filled, Choice(ALL, kind=kind), shown=99) for kind in ("chat", "preference")]
    with SessionLog.open(filled) as log:
        assert log.compact().events > 0
    assert [log_data.choose(filled, Choice(ALL, kind=kind), shown=99) for kind in ("chat", "preference")] == before


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice(), "nothing is chosen"),
        (Choice(ALL, kind="text"), "`kind` is 'text'"),  # type: ignore[arg-type]
        (Choice(ALL, side="left"), "`side` is 'left'"),  # type: ignore[arg-type]
        (Choice(ALL, min_rating=2), "`min_rating` is 2"),
        (Choice(sessions=("chat-9",)), "session 'chat-9' is unknown"),
        (Choice(sessions=("chat",)), "ids of 3 sessions"),
        (Choice(events=(("chat-9", 1),)), "session 'chat-9' is unknown"),
        (Choice(events=(("chat-2", 1),)), "event 1 of session 'chat-2' is no answer"),
        (Choice(events=(("chat-2", 99),)), "event 99 of session 'chat-2' is no answer"),
        (Choice(Selection(sessions=("chat-9",))), "session 'chat-9' is unknown"),
        (Choice(Selection(kinds=("chats",))), "kind 'chats' is unknown"),
        (Choice(Selection(where="nonsense = 1")), "the condition 'nonsense = 1' cannot be used"),
    ],
)
def test_choice_that_makes_no_sense_is_refused_and_nothing_is_written(filled: Workspace, choice: Choice, says: str) -> None:
    with pytest.raises(UserError, match=says):
        log_data.choose(filled, choice)
    with pytest.raises(UserError, match=says):
        log_data.write(filled, choice, "mine")
    assert not filled.datasets.exists() or not list(filled.datasets.iterdir())


def test_file_holds_the_rows_of_the_preview_and_is_never_replaced(filled: Workspace) -> None:
    preview = log_data.choose(filled, Choice(ALL), shown=99)
    written = log_data.write(filled, Choice(ALL), "mine.jsonl")
    assert written.path == filled.datasets / "mine.jsonl"
    assert rows_of(written.path) == list(preview.examples)
    assert (written.counts, written.skipped, written.notes) == (preview.counts, preview.skipped, preview.notes)
    assert (written.examples, written.source) == (2, "mine.jsonl")
    assert written.sha256 == hashlib.sha256(written.path.read_bytes()).hexdigest()
    before = written.path.read_bytes()
    with pytest.raises(UserError, match="the name 'mine' is taken by"):
        log_data.write(filled, Choice(ALL, min_rating=1), "mine")
    assert written.path.read_bytes() == before
    assert [path.name for path in filled.datasets.iterdir()] == ["mine.jsonl"]


def test_name_that_was_taken_meanwhile_is_left_alone(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    create = Workspace.create

    def create_and_lose(self: Workspace) -> Workspace:
        create(self)
        (self.datasets / "mine.jsonl").write_text("theirs")
        return self

    monkeypatch.setattr(Workspace, "create", create_and_lose)
    with pytest.raises(UserError, match="is taken by"):
        log_data.write(filled, Choice(ALL), "mine")
    assert (filled.datasets / "mine.jsonl").read_text() == "theirs"
    assert len(list(filled.datasets.iterdir())) == 1


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a b", "a\nb", "x" * 65, ".jsonl", "\0"])
def test_name_that_is_none_is_refused(filled: Workspace, name: str) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        log_data.write(filled, Choice(ALL), name)


def test_nothing_left_is_an_error_with_the_reasons_and_no_file(filled: Workspace) -> None:
    with pytest.raises(DataError, match=r"no example is left of 1 session \(turn uses a tool: 1\)"):
        log_data.write(filled, Choice(sessions=("agent-1",)), "mine")
    with pytest.raises(DataError, match="rewrite one"):
        log_data.write(filled, Choice(sessions=("chat-2",), kind="preference"), "mine")
    assert list(filled.datasets.iterdir()) == []
    assert log_data.choose(filled, Choice(sessions=("agent-1",))).counts == Counts(sessions=1)


def test_folder_that_cannot_be_written_is_said(filled: Workspace) -> None:
    filled.datasets.touch()
    with pytest.raises(WorkspaceError, match="cannot be written"):
        log_data.write(filled, Choice(ALL), "mine")


def test_same_conversation_twice_is_one_example(workspace: Workspace) -> None:
    for session in ("chat-1", "chat-2", "chat-3"):
        log_talk(workspace, session, "? one", "= 1", edits={2: "I"} if session == "chat-3" else {})
    preview = log_data.choose(workspace, Choice(ALL))
    assert [row["origin"]["session"] for row in preview.examples] == ["chat-1", "chat-3"]
    assert preview.counts == Counts(sessions=3, examples=2, answers=2, edited=1, duplicates=1)
    pairs = log_data.choose(workspace, Choice(ALL, kind="preference"))
    assert pairs.counts == Counts(sessions=3, examples=1, answers=1, edited=1)


def test_gaps_are_counted(workspace: Workspace) -> None:
    log_talk(workspace, "chat-1", "= nobody asked", "! nothing to answer", "? too long", "? one", "= 1")
    assert log_data.choose(workspace, Choice(ALL)).skipped == {"answer without a question before it": 1, "question has no answer": 1}
    assert log_data.choose(workspace, Choice(events=(("chat-1", 5),))).skipped == {}


def test_training_reads_the_chat_set(filled: Workspace) -> None:
    written = log_data.write(filled, Choice(ALL), "mine")
    data = load(DataConfig.model_validate({"source": written.source, "heldout_share": 0.0}), 0, filled, judged=False)
    assert (data.format, data.fingerprint, data.notes) == ("messages", written.sha256, [])
    assert [[message.content for message in example.messages] for example in data.train] == [["one", "A1!"], ["one", "1", "two", "2"]]


def test_trl_and_datasets_take_the_preference_set(filled: Workspace) -> None:
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl.data_utils import apply_chat_template, is_conversational

    written = log_data.write(filled, Choice(ALL, kind="preference"), "pairs")
    assert written.notes == ("Codex does not train on preference pairs yet; TRL's DPOTrainer takes the file as it is.",)
    rows = load_dataset("json", data_files=str(written.path), split="train", cache_dir=str(filled.root / "cache")).to_list()
    assert rows == rows_of(written.path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder())
    for row in rows:
        assert is_conversational(row)
        text = apply_chat_template(row, tokenizer)
        asked = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        assert text["prompt"] == asked
        assert row["chosen"][0]["content"] in text["chosen"] and row["rejected"][0]["content"] in text["rejected"]
    with pytest.raises(DataError, match="cannot be trained on yet"):
        load(DataConfig.model_validate({"source": written.source}), 0, filled)


# Whatever is chosen of whatever is in the log

WORDS = st.text("ab \n\x85\u2028é", min_size=1, max_size=3)
LINES = st.lists(st.tuples(st.sampled_from("??aab=="), WORDS), min_size=1, max_size=7)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_is_traced_to_chosen_events_and_comes_again_in_the_same_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("log"))
    logged: dict[str, list[str]] = {}
    for number in range(data.draw(st.integers(1, 4))):
        session = f"chat-{number}"
        logged[session] = [f"{sign} {session} {text}" for sign, text in data.draw(LINES)]
        seqs = st.integers(1, len(logged[session]))
        ratings = data.draw(st.dictionaries(seqs, st.sampled_from([-1, 0, 1]), max_size=3))
        edits = data.draw(st.dictionaries(seqs, st.just(f"{session} better"), max_size=1))
        log_talk(workspace, session, *logged[session], ratings=ratings, edits=edits)
    chosen = data.draw(st.sets(st.sampled_from(sorted(logged)), min_size=1))
    by_hand = data.draw(st.booleans())
    choice = Choice(
        selection=None if by_hand else Selection(sessions=tuple(chosen)),
        sessions=tuple(chosen) if by_hand else (),
        kind=data.draw(st.sampled_from(["chat", "preference"])),
        min_rating=data.draw(st.sampled_from([-1, 0, 1])),
    )
    preview = log_data.choose(workspace, choice, shown=99)
    assert log_data.choose(workspace, choice, shown=99) == preview
    assert preview.counts.examples == len(preview.examples) and preview.counts.sessions == len(chosen)
    for row in preview.examples:
        origin = row["origin"]
        assert origin["session"] in chosen
        spoken = row["messages"] if choice.kind == "chat" else [*row["prompt"], *row["chosen"]]
        for message, seq in zip(spoken, origin["events"], strict=True):
            line = logged[origin["session"]][seq - 1]
            assert message["content"] in (line[2:], f"{origin['session']} better")
        if choice.kind == "preference":
            other = origin["rejected"]
            assert other["session"] in chosen
            assert row["rejected"][0]["content"] == logged[other["session"]][other["seq"] - 1][2:]
    if preview.examples:
        assert rows_of(log_data.write(workspace, choice, "mine").path) == list(preview.examples)
