"""`codex-ml chat` with the shipped model."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from codex.core.paths import Workspace
from codex.services.chat import Piece
from codex.sessionlog import SessionLog
from tests.cli.conftest import Cli, Made

QUESTION = "def add(a, b):\n    return a + b"
SHORT = ("--max-new-tokens", "8")


def said(cli: Cli, *arguments: str) -> str:
    """The whole answer, from its JSON."""
    return "".join(record["text"] for record in cli("chat", *arguments, *SHORT, "--json").records if record["event"] == "piece")


def test_chat_streams_an_answer_and_keeps_it_in_the_log(cli: Cli, surroundings: Workspace) -> None:
    records = cli("chat", "codex-tiny", QUESTION, *SHORT, "--json").records
    pieces, answer = records[:-1], records[-1]
    assert len(pieces) > 1
    assert answer["event"] == "answer"
    assert answer["text"] == "".join(piece["text"] for piece in pieces)
    assert answer["finish"] == "length"
    log = SessionLog.open(surroundings)
    (session,) = log.sessions()
    assert (session.kind, session.outcome) == ("chat", "finished")
    assert [event.content for event in log.events(session.id) if event.role in ("user", "assistant")] == [QUESTION, answer["text"]]


def test_chat_as_text_is_the_answer_alone_and_a_seed_repeats_it(cli: Cli) -> None:
    sampled = ("codex-tiny", QUESTION, "--temperature", "1.5", "--seed", "3")
    first = cli("chat", *sampled, *SHORT)
    assert first.out.rstrip("\n") == said(cli, *sampled).rstrip("\n")
    assert first.out != cli("chat", "codex-tiny", QUESTION, "--temperature", "1.5", "--seed", "4", *SHORT).out
    assert first.err == "The answer is not whole: cut at --max-new-tokens.\n"


@pytest.mark.parametrize("arguments", [("codex-tiny", "-"), ("codex-tiny",), ()])
def test_chat_in_a_pipe_reads_the_prompt_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n"))
    assert said(cli, *arguments) == said(cli, "codex-tiny", QUESTION)


def test_chat_conversation_ends_at_an_empty_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex.cli.chat.is_terminal", lambda stream: True)
    typed = iter([QUESTION, "Why?", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    answer = cli("chat", "codex-tiny", *SHORT)
    assert answer.code == 0
    assert answer.err.count("tokens/s, cut at --max-new-tokens") == 2
    assert next(typed, "all were read") == "all were read"


def test_chat_conversation_ends_at_ctrl_d(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("codex.cli.chat.is_terminal", lambda stream: True)
    monkeypatch.setattr("builtins.input", end)
    assert cli("chat", "codex-tiny").code == 0


def test_chat_ctrl_c_ends_the_answer_and_the_session_is_whole(cli: Cli, surroundings: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    from codex.cli import chat

    shown: list[Piece] = []

    def take(words: object, piece: Piece) -> None:
        shown.append(piece)
        if len(shown) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(chat._Words, "take", take)
    answer = cli("chat", "codex-tiny", QUESTION, "--max-new-tokens", "200")
    assert answer.code == 130
    assert shown[-1].finish == "stopped"
    assert len(shown) < 10
    (session,) = SessionLog.open(surroundings).sessions()
    assert session.outcome == "finished"


@pytest.fixture
def adapted(made: Made) -> str:
    """A run whose adapter changes what codex-tiny says, made without training."""
    import torch

    from codex.config.compose import compose
    from codex.models.load import load_model, load_tokenizer
    from codex.training.adapters import save_whole

    composed = compose("lora-docstrings", ["model.device=cpu"], environ={})
    config = composed.config
    model = config.method.attach(load_model(config.model, made.workspace), 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)
    run = made.run("Adapted", state="finished")
    run.resolved.write_text(composed.resolved_yaml())
    save_whole(model, load_tokenizer(config.model, made.workspace), run.adapter)
    return run.id


def test_chat_with_a_run_shows_base_and_adapter_by_name(cli: Cli, adapted: str) -> None:
    text = cli("chat", adapted, QUESTION, *SHORT).out
    base, adapter = (said(cli, adapted, QUESTION, "--side", side) for side in ("base", "adapter"))
    assert text == f"base\n{base}\n\nadapter\n{adapter}\n\n"
    assert base == said(cli, "codex-tiny", QUESTION)
    assert base != adapter


def test_chat_without_target_takes_the_newest_run_with_an_adapter(cli: Cli, adapted: str, made: Made) -> None:
    made.run("Newer, without adapter", state="failed")
    answers = [record for record in cli("chat", "last", QUESTION, *SHORT, "--json").records if record["event"] == "answer"]
    assert answers == []  # `last` is the newest of all, which has none
    assert adapted == "r-0001"
    text = cli("chat", adapted, QUESTION, *SHORT).out
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.StringIO(QUESTION))
        assert cli("chat", *SHORT).out == text


def test_chat_with_a_run_whose_report_is_cut_short_answers(cli: Cli, adapted: str, made: Made) -> None:
    made.store.get(adapted).report.write_text('{"run": "r-0001", "da')
    answer = cli("chat", adapted, QUESTION, *SHORT)
    assert (answer.code, "Traceback" in answer.err) == (0, False)
    assert answer.out.startswith("base\n")


def test_chat_with_a_run_beside_a_folder_of_its_name_is_with_the_run(
    cli: Cli, adapted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / adapted).mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli("chat", adapted, QUESTION, *SHORT).out.startswith("base\n")
    assert "base" not in cli("chat", str(tmp_path / adapted), QUESTION, *SHORT).out  # a path is a folder
