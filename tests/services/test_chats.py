"""Chats whose model is in a process beside this one: a real model, really killed, and what each conversation is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from codex.config.compose import compose
from codex.core.errors import ModelError, RunError
from codex.core.events import Event
from codex.core.paths import Workspace, tiny_model_folder
from codex.runs.record import Run
from codex.runs.store import RunStore
from codex.services import chat_child, chats
from codex.services.chat import ChatSettings, Piece, open_chat
from codex.services.chat_child import ChatHandler
from codex.services.chats import ChatRoom, Conversation, Opening, Target, gpu_holder
from codex.sessionlog import SessionLog
from tests.made import Made

SHORT = ChatSettings(max_new_tokens=5)
LONG = ChatSettings(max_new_tokens=200)
QUESTION = "Wrap the text."


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace for the module, because a model's process needs seconds to import what it needs."""
    return Workspace(tmp_path_factory.mktemp("chats") / "workspace")


@pytest.fixture(scope="module")
def room(workspace: Workspace) -> Iterator[ChatRoom]:
    """The workspace's room."""
    with ChatRoom(workspace) as made:
        yield made


@pytest.fixture(scope="module")
def run(workspace: Workspace, tiny_folder: Path) -> Run:
    """A run whose adapter changes what the tiny model says."""
    import torch

    from codex.models.load import load_model, load_tokenizer
    from codex.training.adapters import save_whole

    values: dict[str, Any] = {"model.source": str(tiny_folder), "model.device": "cpu"}
    composed = compose("lora-docstrings", environ={}, values=values)
    made = RunStore(workspace).create("training", "Trained", {"resolved.yaml": composed.resolved_yaml()})
    model = composed.config.method.attach(load_model(composed.config.model, workspace), 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3)
    save_whole(model, load_tokenizer(composed.config.model, workspace), made.adapter)
    return made


def texts(pieces: Sequence[Piece]) -> dict[str, str]:
    """The whole answer of each side."""
    return {side: "".join(piece.text for piece in pieces if piece.side == side) for side in dict.fromkeys(piece.side for piece in pieces)}


def logged(workspace: Workspace, conversation: Conversation) -> list[Event]:
    """What was said in the conversation's session."""
    events = SessionLog.open(workspace).events(conversation.id)
    return [event for event in events if event.role in ("user", "assistant")]


def test_room_answers_as_a_chat_in_this_process_does_and_keeps_it_in_the_log(room: ChatRoom, run: Run, workspace: Workspace) -> None:
    conversation = room.open(run.id, None, SHORT, "cpu")
    assert (conversation.sides, conversation.name, conversation.device) == (("base", "adapter"), run.id, "cpu")
    said = [texts(list(room.ask(conversation, QUESTION))) for _ in range(2)]
    with open_chat(run.id, None, workspace=workspace, settings=SHORT) as chat:
        assert said == [texts(list(chat.ask(QUESTION))) for _ in range(2)]
    assert said[0]["base"] != said[0]["adapter"]
    events = logged(workspace, conversation)
    assert [event.attributes.get("side") for event in events] == [None, "base", "adapter"] * 2
    assert [event.content for event in events[:3]] == [QUESTION, said[0]["base"], said[0]["adapter"]]


def test_room_opens_one_side_of_a_loaded_model_beside_another_conversation(room: ChatRoom, run: Run) -> None:
    both = room.open(run.id, None, SHORT, "cpu")
    adapter = room.open("last", "adapter", SHORT, "cpu")
    assert adapter.sides == ("adapter",)
    assert texts(list(room.ask(adapter, QUESTION)))["adapter"] == texts(list(room.ask(both, QUESTION)))["adapter"]


def test_room_takes_other_settings_in_the_middle_and_keeps_them(room: ChatRoom, run: Run, workspace: Workspace) -> None:
    conversation = room.open(run.id, "base", SHORT, "cpu")
    list(room.ask(conversation, QUESTION))
    list(room.ask(conversation, QUESTION, ChatSettings(max_new_tokens=2, temperature=1.5, seed=7)))
    list(room.ask(conversation, QUESTION))
    answers = [event for event in logged(workspace, conversation) if event.role == "assistant"]
    assert [event.tokens_out for event in answers] == [5, 2, 2]
    assert [event.attributes["seed"] for event in answers] == [42, 7, 7]
    assert [event.attributes["temperature"] for event in answers] == [0.0, 1.5, 1.5]


def test_room_ends_an_answer_whose_reader_leaves_and_goes_on(room: ChatRoom, run: Run, workspace: Workspace) -> None:
    conversation = room.open(run.id, "base", LONG, "cpu")
    answer = room.ask(conversation, QUESTION)
    taken = [next(answer) for _ in range(2)]
    assert isinstance(answer, Iterator)
    answer.close()  # type: ignore[attr-defined]
    list(room.ask(conversation, QUESTION, SHORT))
    first, second = (event for event in logged(workspace, conversation) if event.role == "assistant")
    assert first.attributes["finish"] == "stopped"
    assert first.content.startswith(texts(taken)["base"])
    assert second.attributes["finish"] == "length"


def test_room_stop_ends_the_answers_and_who_reads_them_sees_it(room: ChatRoom, run: Run) -> None:
    conversation = room.open(run.id, "both", LONG, "cpu")
    pieces: list[Piece] = []
    for piece in room.ask(conversation, QUESTION):
        pieces.append(piece)
        if len(pieces) == 2:
            room.stop(conversation)
    assert [(piece.side, piece.finish) for piece in pieces if piece.done] == [("base", "stopped"), ("adapter", "stopped")]


def test_room_reset_begins_a_conversation_that_remembers_nothing(room: ChatRoom, run: Run, workspace: Workspace) -> None:
    old = room.open(run.id, "base", SHORT, "cpu")
    list(room.ask(old, QUESTION))
    new = room.reset(old)
    list(room.ask(new, QUESTION))
    assert new.id != old.id
    assert [event.tokens_in for event in logged(workspace, old)] == [event.tokens_in for event in logged(workspace, new)]
    with pytest.raises(ModelError, match=f"the conversation with '{run.id}' has ended: it was closed; expected an open one"):
        list(room.ask(old, QUESTION))
    room.close_conversation(new)
    room.close_conversation(new)
    with pytest.raises(ModelError, match="it was closed"):
        room.reset(new)
    outcomes = {session.id: session.outcome for session in SessionLog.open(workspace).sessions()}
    assert outcomes[old.id] == "finished"


def test_room_that_loads_another_target_ends_the_conversations_before_and_says_so(room: ChatRoom, run: Run, tiny_folder: Path) -> None:
    before = room.open(run.id, "base", SHORT, "cpu")
    said = texts(list(room.ask(before, QUESTION)))["base"]
    other = room.open(str(tiny_folder), None, SHORT, "cpu")
    assert other.sides == ("model",)
    assert texts(list(room.ask(other, QUESTION))) == {"model": said}
    for ask in (lambda: list(room.ask(before, QUESTION)), lambda: room.reset(before)):
        with pytest.raises(ModelError, match=f"'{run.id}' has ended: '{tiny_folder}' was loaded in its place; .* begin a new conversation"):
            ask()


def test_room_refuses_what_a_chat_refuses_and_goes_on(room: ChatRoom, run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    conversation = room.open(run.id, "base", SHORT, "cpu")
    with pytest.raises(RunError, match="is a model, not a run"):
        room.open(str(tiny_folder), "adapter", SHORT, "cpu")
    with pytest.raises(RunError, match="'nobody' is unknown"):
        room.open("nobody", None, SHORT, "cpu")
    with pytest.raises(ModelError, match="expected fewer than the 256 of"):
        list(room.ask(conversation, "word " * 300))
    assert list(room.ask(conversation, QUESTION))
    with pytest.raises(ModelError, match=r"config\.json"):
        room.open(str(tmp_path), None, SHORT, "cpu")


def test_room_whose_process_is_killed_in_the_middle_of_an_answer_says_so_from_then_on(
    room: ChatRoom, run: Run, workspace: Workspace
) -> None:
    conversation = room.open(run.id, "base", LONG, "cpu")
    answer = room.ask(conversation, QUESTION)
    next(answer)
    pid = room._talks[conversation.id].life.pid
    assert b"CUDA_VISIBLE_DEVICES=\0" in Path(f"/proc/{pid}/environ").read_bytes()
    os.kill(pid, signal.SIGKILL)
    said = r"the model's process ended \(killed by signal 9 \(SIGKILL\)\); .* is in the log; begin a new conversation"
    for ask in (lambda: list(answer), lambda: list(room.ask(conversation, QUESTION)), lambda: room.reset(conversation)):
        with pytest.raises(ModelError, match=said):
            ask()
    assert [event.content for event in logged(workspace, conversation)] == [QUESTION]


@pytest.fixture
def gpu_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatRoom]:
    """A room on a machine with a GPU; who talks in it only stands for a model."""
    monkeypatch.setattr(chats, "HANDLER", "tests.services.child_handler:Talker")
    monkeypatch.setattr(chats, "GPU_POLL_SECONDS", 0.02)
    with ChatRoom(Workspace(tmp_path / "workspace"), has_gpu=lambda: True) as made:
        yield made


def training_run(workspace: Workspace) -> Run:
    """A run that is on the GPU, and lives as long as this process."""
    training = Made(workspace).running("On the GPU")
    training.resolved.write_text(compose(environ={}).resolved_yaml())
    return training


def test_room_lets_the_gpu_go_to_a_run_that_begins_and_then_offers_the_processor(gpu_room: ChatRoom, tmp_path: Path) -> None:
    conversation = gpu_room.open("codex-tiny", None, SHORT)
    assert conversation.device == "cuda"
    answer = gpu_room.ask(conversation, QUESTION)
    next(answer)
    training = training_run(Workspace(tmp_path / "workspace"))
    assert list(answer)[-1].finish == "stopped"  # nobody else stops it
    with pytest.raises(ModelError, match=rf"has ended: the model's process ended \(run '{training.id}' needs the GPU\)"):
        list(gpu_room.ask(conversation, QUESTION))
    with pytest.raises(RunError, match=f"run '{training.id}' holds the GPU.*Choose the CPU as device; or wait"):
        gpu_room.open("codex-tiny", None, SHORT)
    other = gpu_room.open("codex-tiny", None, SHORT, "cpu")
    assert other.device == "cpu"
    answer = gpu_room.ask(other, QUESTION)
    assert [next(answer).side for _ in range(20)] == ["model"] * 20


def test_room_that_loads_on_another_device_ends_the_conversations_before_and_says_so(gpu_room: ChatRoom) -> None:
    before = gpu_room.open("codex-tiny", None, SHORT)
    gpu_room.open("codex-tiny", None, SHORT, "cpu")
    with pytest.raises(ModelError, match="'codex-tiny' was loaded in its place"):
        list(gpu_room.ask(before, QUESTION))
    gpu_room.close_conversation(before)


def test_room_reaches_a_hub_only_for_a_model_that_was_named_there(gpu_room: ChatRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for target, switch in (("codex-tiny", "1"), ("hub:owner/name", "online")):
        answer = gpu_room.ask(gpu_room.open(target, None, SHORT), QUESTION)
        assert next(answer).text == switch


def test_room_whose_process_dies_while_it_loads_says_what_it_wrote_and_opens_again(gpu_room: ChatRoom) -> None:
    with pytest.raises(
        ModelError, match=r"while 'codex-tiny' was loaded \(exit code 139\); it wrote: Segmentation fault; .* Open it again\."
    ):
        gpu_room.open("codex-tiny", None, ChatSettings(seed=13))
    assert gpu_room.open("codex-tiny", None, SHORT)


class Loading:
    """A room whose model loads until told, and what its process noted."""

    def __init__(self, room: ChatRoom, folder: Path) -> None:
        self.room = room
        self._folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "hold").touch()

    def begin(self, target: str) -> Opening:
        """Ask for a conversation; waits until the process loads, if nothing else is loaded."""
        return self.room.opening(target, None, ChatSettings(seed=14))

    def noted(self, name: str, lines: int) -> list[str]:
        """What the process noted, once it has this many lines."""
        deadline = time.monotonic() + 20
        while len(found := self._lines(name)) < lines and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        return path.read_text().split() if path.exists() else []

    def loaded(self) -> None:
        """Let it load."""
        (self._folder / "hold").unlink()


@pytest.fixture
def loading(gpu_room: ChatRoom, tmp_path: Path) -> Loading:
    return Loading(gpu_room, tmp_path / "workspace")


def test_opening_that_is_left_ends_the_waiting_at_once_and_begins_no_conversation(loading: Loading, tiny_folder: Path) -> None:
    first = loading.begin("codex-tiny")
    assert loading.noted("loads", 1) == ["codex-tiny"]
    second = loading.begin(str(tiny_folder))  # waits for the first
    began = time.monotonic()
    for each in (second, first, first):
        each.leave()
    assert (first.wait(), second.wait()) == (None, None)
    assert time.monotonic() - began < 0.5
    assert (first.left, second.left) == (True, True)
    loading.loaded()
    assert loading.begin("codex-tiny").wait() is not None
    assert loading.noted("loads", 2) == ["codex-tiny", "codex-tiny"], "nobody waited for the second one when its turn came"
    assert loading.noted("begun", 1) == ["codex-tiny"]
    assert len(loading.room._talks) == 1


def test_opening_that_is_left_behind_an_answer_loads_nothing(loading: Loading, tiny_folder: Path) -> None:
    answer = loading.room.ask(loading.room.open("codex-tiny", None, SHORT), QUESTION)
    next(answer)
    waiting = loading.begin(str(tiny_folder))
    waiting.leave()
    assert waiting.wait() is None
    answer.close()  # type: ignore[attr-defined]
    loading.loaded()
    assert loading.begin("codex-tiny").wait() is not None
    assert loading.noted("loads", 1) == ["codex-tiny"]


def test_opening_that_is_left_as_it_ends_leaves_no_conversation(loading: Loading) -> None:
    loading.loaded()
    opening = loading.begin("codex-tiny")
    assert loading.noted("begun", 1)
    deadline = time.monotonic() + 10
    while not loading.room._talks and time.monotonic() < deadline:
        time.sleep(0.01)
    opening.leave()
    assert opening.wait() is None
    assert not loading.room._talks


def test_opening_that_was_waited_for_is_not_left_any_more(loading: Loading) -> None:
    loading.loaded()
    opening = loading.begin("codex-tiny")
    conversation = opening.wait()
    assert conversation is not None
    opening.leave()
    assert loading.room.is_open(conversation)


def test_opening_that_goes_wrong_says_so_to_whoever_waits(loading: Loading) -> None:
    with pytest.raises(ModelError, match="Segmentation fault"):
        loading.room.opening("codex-tiny", None, ChatSettings(seed=13)).wait()
    left = loading.room.opening("nobody", None, SHORT)
    left.leave()
    assert left.wait() is None


def test_handler_begins_no_conversation_for_nobody(workspace: Workspace, tiny_folder: Path) -> None:
    handler = ChatHandler(workspace)
    asked = {"target": str(tiny_folder), "side": None, "settings": {}, "confirm_download": False, "device": "cpu"}
    before = len(SessionLog.open(workspace).sessions())
    with contextlib.closing(handler):
        assert handler.open(lambda: True, **asked) is None
    assert len(SessionLog.open(workspace).sessions()) == before


def test_room_that_is_closed_ends_its_conversations_and_opens_no_more(gpu_room: ChatRoom) -> None:
    conversation = gpu_room.open("codex-tiny", None, SHORT)
    gpu_room.close()
    for ask in (lambda: list(gpu_room.ask(conversation, QUESTION)), lambda: gpu_room.open("codex-tiny", None, SHORT)):
        with pytest.raises(ModelError, match="the chats were closed"):
            ask()


def test_targets_are_runs_with_a_result_newest_first_and_the_tiny_model(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    made = Made(workspace)
    first, whole, damaged = made.finished("First"), made.finished("Whole"), made.finished("Damaged")
    for path in whole.adapter.iterdir():
        path.unlink()
    for path in tiny_model_folder().iterdir():
        (whole.adapter / path.name).symlink_to(path)
    (damaged.adapter / "adapter_config.json").write_text("{")
    made.run("Nothing yet")
    assert ChatRoom(workspace).targets() == [
        Target("Whole (r-0002)", whole.id),
        Target("First (r-0001)", first.id, ("both", "base", "adapter")),
        Target("codex-tiny", "codex-tiny"),
    ]


@pytest.mark.parametrize(("form", "alone"), [("messages", False), ("prompt-completion", True), ("text", True), (None, False)])
def test_messages_to_what_was_trained_on_single_prompts_stand_alone(tmp_path: Path, form: str | None, alone: bool) -> None:
    workspace = Workspace(tmp_path / "workspace")
    run = Made(workspace).finished("First")
    told = json.loads(run.report.read_text())
    run.report.write_text(json.dumps(told if form is None else {**told, "data": {"form": form}}))
    assert ChatRoom(workspace).alone(run.id) == alone
    assert not ChatRoom(workspace).alone("codex-tiny")


@pytest.mark.parametrize(
    ("device", "there", "holds"),
    [("auto", True, True), ("auto", False, False), ("cuda", False, True), ("cpu", True, False), ("?", True, True)],
)
def test_gpu_holder_is_a_run_that_works_on_the_gpu_of_this_machine(tmp_path: Path, device: str, there: bool, holds: bool) -> None:
    workspace = Workspace(tmp_path / "workspace")
    made = Made(workspace)
    has_gpu: Callable[[], bool] = lambda: there  # noqa: E731
    resolved = compose(environ={}).resolved_yaml().replace("device: auto", f"device: {device}")
    ended, elsewhere, training = made.run("Ended", state="failed"), made.running("Elsewhere", host="other"), made.running("Here")
    for each in (ended, elsewhere):
        each.resolved.write_text(resolved)
    made.tell(training, state="queued")
    assert gpu_holder(workspace, has_gpu) is None
    here = made.running("Here again")
    here.resolved.write_text(resolved)
    assert gpu_holder(workspace, has_gpu) == (here.id if holds else None)


def test_handler_lets_go_of_the_conversation_that_was_not_used_for_longest(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_child, "MOST_TALKS", 2)
    handler = ChatHandler(workspace)
    asked = {"target": run.id, "side": "base", "settings": {"max_new_tokens": 2}, "confirm_download": False, "device": None}

    def ask(told: dict[str, Any] | None) -> None:
        assert told is not None
        list(handler.ask(lambda: False, conversation=told["id"], text=QUESTION, settings=None))

    with contextlib.closing(handler):
        first, second = (handler.open(lambda: False, **asked) for _ in range(2))
        ask(first)
        third = handler.open(lambda: False, **asked)
        ask(first)
        ask(third)
        with pytest.raises(ModelError, match="has ended: 2 others were used since"):
            ask(second)
