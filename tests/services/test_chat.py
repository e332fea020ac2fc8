"""Chats: who is asked what, what is remembered, and what the session log keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from codex.config.compose import compose
from codex.core.errors import RunError
from codex.core.events import Event
from codex.core.paths import Workspace
from codex.core.protocols import Message
from codex.inference.local import Finish, LocalModel
from codex.runs.record import Run
from codex.runs.store import RunStore
from codex.services.chat import Chat, ChatSettings, Piece, default_target, open_chat
from codex.services.learnt_form import keep_form
from codex.sessionlog import SessionLog

SHORT = ChatSettings(max_new_tokens=5)


@dataclass
class Speaker:
    """A model that says what it was given, in pieces, and keeps what it was asked.

    Args:
        answers: one list of pieces for each answer, in their order.
        plain: it takes plain prompts.
    """

    answers: list[list[str]]
    plain: bool = False
    name: str = "speaker"
    asked: list[dict[str, Any]] = field(default_factory=list)
    adapter_on: bool | None = None

    @contextmanager
    def with_adapter(self, on: bool) -> Iterator[Speaker]:
        before, self.adapter_on = self.adapter_on, on
        yield self
        self.adapter_on = before

    def stream(self, messages: Sequence[Message], *, should_stop: Callable[[], bool], **settings: Any) -> Generator[str, None, Finish]:
        said = [(message.role, message.content) for message in messages]
        self.asked.append({"said": said, "adapter": self.adapter_on, "settings": settings})
        return self._speak(self.answers.pop(0), 10 * len(messages), should_stop)

    @staticmethod
    def _speak(pieces: list[str], tokens_in: int, should_stop: Callable[[], bool]) -> Generator[str, None, Finish]:
        for number, piece in enumerate(pieces):
            if should_stop():
                return Finish("stopped", tokens_in, number)
            yield piece
        return Finish("end", tokens_in, len(pieces) + 1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def talk(speaker: Speaker, workspace: Workspace, sides: Sequence[str], settings: ChatSettings = SHORT) -> Chat:
    return Chat(cast(LocalModel, speaker), sides, workspace, settings, "A chat")


def texts(pieces: Sequence[Piece]) -> dict[str, str]:
    """The whole answer of each side."""
    return {side: "".join(piece.text for piece in pieces if piece.side == side) for side in dict.fromkeys(piece.side for piece in pieces)}


def logged(workspace: Workspace) -> list[Event]:
    """What was said in the only session."""
    log = SessionLog.open(workspace)
    (session,) = log.sessions()
    assert session.kind == "chat"
    return [event for event in log.events(session.id) if event.role in ("user", "assistant")]


def test_chat_remembers_the_answers_of_each_side_for_itself(workspace: Workspace) -> None:
    speaker = Speaker([["ba", "se 1"], ["adapter 1"], ["base 2"], ["adapter 2"]])
    with talk(speaker, workspace, ["base", "adapter"]) as chat:
        assert texts(list(chat.ask("one"))) == {"base": "base 1", "adapter": "adapter 1"}
        list(chat.ask("two"))
    assert [(asked["adapter"], asked["said"]) for asked in speaker.asked] == [
        (False, [("user", "one")]),
        (True, [("user", "one")]),
        (False, [("user", "one"), ("assistant", "base 1"), ("user", "two")]),
        (True, [("user", "one"), ("assistant", "adapter 1"), ("user", "two")]),
    ]


def test_chat_with_a_model_of_plain_prompts_lets_each_stand_alone(workspace: Workspace) -> None:
    speaker = Speaker([["a"], ["b"]], plain=True)
    with talk(speaker, workspace, ["model"]) as chat:
        list(chat.ask("one"))
        list(chat.ask("two"))
    assert [asked["said"] for asked in speaker.asked] == [[("user", "one")], [("user", "two")]]


def test_chat_gives_both_sides_the_same_seed_and_settings(workspace: Workspace) -> None:
    speaker = Speaker([["a"], ["b"], ["c"], ["d"]])
    with talk(speaker, workspace, ["base", "adapter"], ChatSettings(7, 1.5, 3)) as chat:
        list(chat.ask("one"))
        list(chat.ask("two"))
    assert [asked["settings"] for asked in speaker.asked] == [{"max_new_tokens": 7, "temperature": 1.5, "seed": 3}] * 4


def test_chat_pieces_come_as_they_are_made_and_end_with_how_it_ended(workspace: Workspace) -> None:
    with talk(Speaker([["He", "llo"]]), workspace, ["model"]) as chat:
        pieces = list(chat.ask("Hi"))
    assert [(piece.text, piece.done, piece.finish) for piece in pieces] == [("He", False, None), ("llo", False, None), ("", True, "end")]
    assert (pieces[-1].tokens_per_s or 0) > 0


def test_chat_log_has_what_was_asked_and_each_answer_with_side_tokens_and_latency(workspace: Workspace) -> None:
    with talk(Speaker([["ba", "se"], ["adapter"]]), workspace, ["base", "adapter"], ChatSettings(7, 1.5, 3)) as chat:
        list(chat.ask("Why?"))
    user, base, adapter = logged(workspace)
    assert (user.role, user.content) == ("user", "Why?")
    assert [(event.role, event.content, event.model) for event in (base, adapter)] == [
        ("assistant", "base", "speaker"),
        ("assistant", "adapter", "speaker"),
    ]
    assert base.attributes.items() >= {"side": "base", "temperature": 1.5, "seed": 3, "finish": "end"}.items()
    assert adapter.attributes["side"] == "adapter"
    assert [(event.tokens_in, event.tokens_out) for event in (base, adapter)] == [(10, 3), (10, 2)]
    assert all(event.latency_ms is not None and 0 < event.latency_ms < 10_000 for event in (base, adapter))
    (session,) = SessionLog.open(workspace).sessions()
    assert (session.title, session.outcome) == ("A chat", "finished")


def test_chat_that_breaks_says_so_in_its_session(workspace: Workspace) -> None:
    with pytest.raises(IndexError), talk(Speaker([]), workspace, ["model"]) as chat:
        list(chat.ask("Why?"))
    (session,) = SessionLog.open(workspace).sessions()
    assert session.outcome == "failed"


def test_chat_should_stop_ends_the_answers_of_both_sides_and_keeps_what_was_said(workspace: Workspace) -> None:
    speaker, pieces = Speaker([["a", "b", "c"], ["d", "e"]]), list[Piece]()
    with talk(speaker, workspace, ["base", "adapter"]) as chat:
        for piece in chat.ask("Why?", should_stop=lambda: len(pieces) >= 2):
            pieces.append(piece)
    assert texts(pieces) == {"base": "ab", "adapter": ""}
    assert [piece.finish for piece in pieces if piece.done] == ["stopped", "stopped"]
    assert [(event.content, event.attributes.get("finish")) for event in logged(workspace)[1:]] == [("ab", "stopped"), ("", "stopped")]


def test_default_target_is_the_newest_run_with_an_adapter(workspace: Workspace) -> None:
    assert default_target(workspace) == "codex-tiny"
    store = RunStore(workspace)
    made = [store.create("training", f"Run {number}", {}) for number in range(4)]
    assert default_target(workspace) == "codex-tiny"
    for run in made[:3]:
        run.adapter.mkdir()
    assert default_target(workspace) == made[2].id
    store.delete(made[2])
    assert default_target(workspace) == made[1].id


def test_open_chat_with_a_model_folder_speaks_repeats_and_remembers(tiny_folder: Path, workspace: Workspace) -> None:
    answers: list[str] = []
    for _ in range(2):
        with open_chat(str(tiny_folder), None, workspace=workspace, settings=SHORT) as chat:
            assert chat.sides == ("model",)
            first = list(chat.ask("Wrap the text."))
            list(chat.ask("Wrap the text."))
        answers.append(texts(first)["model"])
        assert first[-1].finish in ("length", "end")
    assert answers[0] == answers[1] != ""
    log = SessionLog.open(workspace)
    events = [event for event in log.events(log.sessions()[0].id) if event.role == "assistant"]
    assert (events[1].tokens_in or 0) > (events[0].tokens_in or 0) > 0
    assert events[0].tokens_out == 5


def test_open_chat_should_stop_ends_a_real_answer(tiny_folder: Path, workspace: Workspace) -> None:
    taken: list[Piece] = []
    with open_chat(str(tiny_folder), None, workspace=workspace, settings=ChatSettings(max_new_tokens=200)) as chat:
        for piece in chat.ask("Wrap the text.", should_stop=lambda: len(taken) >= 2):
            taken.append(piece)
    assert taken[-1].finish == "stopped"
    assert len(taken) <= 5


@pytest.mark.parametrize("side", ["adapter", "both"])
def test_open_chat_with_the_adapter_of_a_model_is_refused(tiny_folder: Path, workspace: Workspace, side: Any) -> None:
    with pytest.raises(RunError, match="is a model, not a run"):
        open_chat(str(tiny_folder), side, workspace=workspace, settings=SHORT)


def trained(workspace: Workspace, model: Path, form: str, method: str = "lora") -> Run:
    """A run on `model` that says in its report which form its data had; its weights are yet to be put there."""
    values: dict[str, Any] = {"model.source": str(model), "model.device": "cpu"}
    composed = compose("lora-docstrings", [f"method={method}"], environ={}, values=values)
    run = RunStore(workspace).create("training", "Trained", {"resolved.yaml": composed.resolved_yaml()})
    run.report.write_text(json.dumps({"run": run.id, "data": {"form": form, "format": "jsonl"}}))
    return run


def tokens_in(workspace: Workspace) -> list[int | None]:
    return [event.tokens_in for event in logged(workspace) if event.role == "assistant"]


def fully_trained(workspace: Workspace, model: Path, form: str) -> Run:
    """A run of all weights that came out as it went in."""
    run = trained(workspace, model, form, "full")
    shutil.copytree(model, run.adapter)
    return run


@pytest.mark.parametrize(("form", "plain"), [("messages", False), ("prompt-completion", True), ("text", True)])
def test_open_chat_with_a_run_of_all_weights_speaks_with_what_it_trained_as_it_was_trained(
    tiny_folder: Path, workspace: Workspace, form: str, plain: bool
) -> None:
    run = fully_trained(workspace, tiny_folder, form)
    with open_chat(run.id, None, workspace=workspace, settings=SHORT) as chat:
        assert chat.sides == ("model",)
        assert texts(list(chat.ask("Wrap the text.")))["model"]
        list(chat.ask("Wrap the text."))
    first, second = tokens_in(workspace)
    assert (first == second) == plain  # a plain prompt stands alone; a conversation grows


def unreported(workspace: Workspace, model: Path, rows: Path) -> Run:
    """A run of all weights on `rows` that was stopped before its report was written."""
    values: dict[str, Any] = {"model.source": str(model), "model.device": "cpu", "data.source": str(rows), "data.max_tokens": 64}
    composed = compose("lora-docstrings", ["method=full"], environ={}, values=values)
    run = RunStore(workspace).create("training", "Stopped", {"resolved.yaml": composed.resolved_yaml()})
    shutil.copytree(model, run.adapter)
    return run


@pytest.mark.parametrize("damaged", [False, True], ids=["no report", "damaged report"])
@pytest.mark.parametrize("kept", [True, False], ids=["form kept", "older run"])
def test_open_chat_with_a_run_of_prompts_and_completions_without_a_report_asks_in_plain_prompts(
    tiny_folder: Path, small_data: Path, workspace: Workspace, kept: bool, damaged: bool
) -> None:
    run = unreported(workspace, tiny_folder, small_data)
    if kept:
        keep_form(run, "prompt-completion")
    if damaged:
        run.report.write_text('{"run": "r-0001", "data": {"fo')
    with open_chat(run.id, None, workspace=workspace, settings=SHORT) as chat:
        list(chat.ask("Sum 1 and 2: "))
        list(chat.ask("Sum 1 and 2: "))
    first, second = tokens_in(workspace)
    assert first == second  # a plain prompt stands alone


def test_open_chat_with_a_run_of_conversations_without_a_report_asks_in_the_chat_template(tiny_folder: Path, workspace: Workspace) -> None:
    run = trained(workspace, tiny_folder, "messages", "full")  # on built-in data
    shutil.copytree(tiny_folder, run.adapter)
    run.report.unlink()
    with open_chat(run.id, None, workspace=workspace, settings=SHORT) as chat:
        list(chat.ask("Wrap the text."))
        list(chat.ask("Wrap the text."))
    first, second = tokens_in(workspace)
    assert (second or 0) > (first or 0)  # a conversation grows


def test_open_chat_with_a_run_of_unknown_form_is_refused_in_words(tiny_folder: Path, workspace: Workspace, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"Count {number}: ", "completion": "Done."}) + "\n" for number in range(9)))
    run = unreported(workspace, tiny_folder, rows)
    rows.unlink()
    with pytest.raises(RunError, match=r"form of what run 'r-0001' learnt is unknown.*rows.jsonl.*expected one of messages.*data.form"):
        open_chat(run.id, None, workspace=workspace, settings=SHORT)
    keep_form(run, "prompt-completion")  # what the message says to do
    open_chat(run.id, None, workspace=workspace, settings=SHORT)


@pytest.mark.parametrize("side", ["base", "both"])
def test_open_chat_with_the_base_of_a_run_of_all_weights_is_refused(tiny_folder: Path, workspace: Workspace, side: Any) -> None:
    run = fully_trained(workspace, tiny_folder, "messages")
    with pytest.raises(RunError, match="trained all weights"):
        open_chat(run.id, side, workspace=workspace, settings=SHORT)


def test_open_chat_with_a_run_without_an_adapter_is_refused(tiny_folder: Path, workspace: Workspace) -> None:
    run = trained(workspace, tiny_folder, "messages")
    with pytest.raises(RunError, match=rf"'{run.id}' has no adapter yet.*runs follow {run.id}"):
        open_chat(run.id, None, workspace=workspace, settings=SHORT)


def test_open_chat_with_an_adapter_asks_base_and_adapter_of_one_model(tiny_folder: Path, workspace: Workspace) -> None:
    import torch

    from codex.config.composed import load_resolved
    from codex.models.load import load_model, load_tokenizer
    from codex.training.adapters import save_whole

    run = trained(workspace, tiny_folder, "messages")
    config = load_resolved(run.resolved)
    model = config.method.attach(load_model(config.model, workspace), 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3)
    save_whole(model, load_tokenizer(config.model, workspace), run.adapter)

    def said(target: str, side: Any) -> dict[str, str]:
        with open_chat(target, side, workspace=workspace, settings=SHORT) as chat:
            return texts(list(chat.ask("Wrap the text.")))

    both = said(run.id, None)
    assert list(both) == ["base", "adapter"]
    assert both["base"] != both["adapter"]
    assert both["base"] == said(str(tiny_folder), None)["model"]
    assert said(run.id, "base") == {"base": both["base"]}
    assert said(run.id, "adapter") == {"adapter": both["adapter"]}
