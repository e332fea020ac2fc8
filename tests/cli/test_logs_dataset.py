"""`codex-ml logs dataset` on a log with chats of two sides and an agent."""

from __future__ import annotations

import hashlib
import json

import pytest

from codex.core.paths import Workspace
from tests.cli.conftest import Cli
from tests.services.talks import log_talk


@pytest.fixture
def filled(surroundings: Workspace) -> Workspace:
    """Two chats and an agent's session, with ratings and an edit."""
    log_talk(surroundings, "chat-1", "? one", "b B1", "a A\x1b[31m1", "? two", "b B2", "a A2", ratings={3: 1, 6: -1}, edits={5: "B2!"})
    log_talk(surroundings, "chat-2", "? uno\ndue", "= 1", ratings={2: 1})
    log_talk(surroundings, "agent-1", "? count", ("t 12", {"tool": "count"}), "= Twelve.", kind="agent")
    return surroundings


@pytest.mark.usefixtures("filled")
def test_preview_shows_counts_reasons_and_first_examples_and_writes_nothing(cli: Cli, surroundings: Workspace) -> None:
    answer = cli("logs", "dataset", "--preview", "--show", "2")
    assert answer.code == 0
    lines = answer.out.splitlines()
    counted = {line.rsplit(None, 1)[0].strip(): line.rsplit(None, 1)[-1] for line in lines if line and line[0].islower()}
    assert counted == {
        "would hold": "count",
        "examples": "2",
        "answers in them": "2",
        "of these rated good": "2",
        "of these edited": "0",
        "duplicates dropped": "0",
        "sessions looked at": "3",
        "left out": "count",
        "answer of the other side": "2",
        "answer rated bad": "1",
        "turn uses a tool": "1",
    }
    assert lines[-7:] == [
        "1  chat-1  events 1 to 3, adapter, rated good",
        "   user       one",
        "   assistant  A\\x1b[31m1",
        "",
        "2  chat-2  events 1 to 2, rated good",
        "   user       uno due",
        "   assistant  1",
    ]
    assert answer.err == "Preview: nothing was written.\n"
    assert not surroundings.datasets.exists()


@pytest.mark.usefixtures("filled")
def test_preview_as_json_holds_the_rows(cli: Cli) -> None:
    found = cli("logs", "dataset", "--preview", "--json", "--kind", "agent", "--tools").json
    assert found.keys() == {"counts", "skipped", "notes", "examples"}
    assert found["counts"]["examples"] == 1
    assert [message["role"] for message in found["examples"][0]["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert found["notes"] == ["Codex does not train on tool turns yet; examples with some: 1."]
    shown = cli("logs", "dataset", "--preview", "--kind", "agent", "--tools").out
    assert "   assistant  calls count\n   tool       12\n   assistant  Twelve.\n" in shown


@pytest.mark.usefixtures("filled")
def test_file_is_written_and_the_way_to_train_on_it_is_said(cli: Cli, surroundings: Workspace) -> None:
    answer = cli("logs", "dataset", "good", "--rated", "good", "--session", "chat-2", "--session", "chat-1")
    path = surroundings.datasets / "good.jsonl"
    assert (answer.code, answer.out) == (0, f"{path}\n")
    assert answer.err.splitlines() == [
        "2 examples with 2 answers; 2 rated good, 0 edited.",
        "Left out: answer of the other side: 2; answer rated bad: 1.",
        "Train on it: `codex-ml train recipe=qlora-chat data.source=good.jsonl`.",
    ]
    assert [json.loads(line)["origin"]["session"] for line in path.read_text().splitlines()] == ["chat-1", "chat-2"]
    again = cli("logs", "dataset", "good")
    assert (again.code, again.out) == (2, "")
    assert again.err.startswith("Error: the name 'good' is taken by ")


@pytest.mark.usefixtures("filled")
def test_pairs_are_written_as_json_says(cli: Cli, surroundings: Workspace) -> None:
    answer = cli("logs", "dataset", "pairs", "--preference", "--json")
    path = surroundings.datasets / "pairs.jsonl"
    assert answer.json["path"] == str(path)
    assert answer.json["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (answer.json["examples"], answer.json["source"]) == (1, "pairs.jsonl")
    [row] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("B2!", "B2")
    shown = cli("logs", "dataset", "--preview", "--preference").out
    assert "   chosen     B2!\n   rejected   B2\n" in shown


@pytest.mark.usefixtures("filled")
def test_answer_by_hand_comes_alone_or_beside_what_was_selected(cli: Cli) -> None:
    def sessions(*options: str) -> list[tuple[str, int]]:
        rows = cli("logs", "dataset", "--preview", "--json", *options).json["examples"]
        return [(row["origin"]["session"], row["origin"]["seqs"][1]) for row in rows]

    assert sessions("--event", "chat-1:2") == [("chat-1", 2)]
    assert sessions("--event", "chat-1:2", "--session", "chat-2") == [("chat-1", 2), ("chat-2", 2)]
    assert sessions("--side", "base", "--session", "chat-1") == [("chat-1", 5)]


@pytest.mark.parametrize(
    ("line", "what", "expected", "fix"),
    [
        ("", "NAME is missing", "expected a name", "codex-ml logs dataset good"),
        ("a/b", "the name 'a/b' cannot be used", "letters, digits", "Choose another name"),
        ("x --rated bad", "`--rated` is 'bad'", "expected one of good, not-bad, any", "--rated"),
        ("x --side left", "`--side` is 'left'", "expected one of judged, base, adapter", "--side"),
        ("x --show many", "`--show` is 'many'", "expected a whole number", "--show 42"),
        ("x --event 5", "`--event` is '5'", "a session's id, `:` and an event's number", "last:2"),
        ("x --event chat-1:x", "`--event` is 'chat-1:x'", "a session's id", "last:2"),
        ("x --event chat-1:1", "event 1 of session 'chat-1' is no answer", "an assistant's answer", "codex-ml logs show chat-1"),
        ("x --session nope", "session 'nope' is unknown", "the id of a session", "codex-ml logs list"),
        ("x --kind training", "no example is left of 0 sessions", "expected at least one", "Choose other sessions"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_mistakes_are_refused_in_words_and_leave_nothing(
    cli: Cli, surroundings: Workspace, line: str, what: str, expected: str, fix: str
) -> None:
    answer = cli("logs", "dataset", *line.split())
    assert (answer.code, answer.out) == (2, "")
    assert all(part in answer.err for part in (what, expected, fix)), answer.err
    assert not list(surroundings.datasets.glob("*"))


def test_training_takes_what_was_written(cli: Cli, surroundings: Workspace) -> None:
    for number in range(12):
        log_talk(surroundings, f"chat-{number:02}", f"? question {number}", f"= answer {number}", "? more", "= more")
    written = cli("logs", "dataset", "chats", "--json").json
    planned = cli("train", "--dry-run", "--json", "recipe=qlora-chat", f"data.source={written['source']}", "data.heldout_share=0.3").json
    assert planned["data"]["format"] == "messages"
    assert planned["data"]["fingerprint"] == written["sha256"]
    assert planned["data"]["train"] + planned["data"]["heldout"] == written["examples"] == 12
