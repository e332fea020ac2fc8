"""Chats from a process that must not load torch: the model is in a process beside it, and every conversation is a session in the log."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from codex.core.errors import ConfigError, ModelError, RunError
from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.runs.status import host_name
from codex.runs.store import RunStore
from codex.runs.views import RunView
from codex.services import machine
from codex.services.chat import ChatSettings, Found, Piece, Side, find
from codex.services.children import Birth, Child, ChildDied, Life, Request, last_of
from codex.services.results import Result, result_of

NAME = "The model's process"
HANDLER = "codex.services.chat_child:ChatHandler"
GPU_POLL_SECONDS = 1.0
"""How soon a model leaves the GPU to a run that has begun: before that has imported what it needs to use it."""
HUB = "hub:"

Place = Literal["auto", "cpu"]


@dataclass(frozen=True)
class Target:
    """Whom one can talk to.

    Args:
        label: what people read.
        value: what `ChatRoom.open` takes.
        sides: what can be chosen as its `side`; empty where there is only one.
    """

    label: str
    value: str
    sides: tuple[Side, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """A conversation that was opened.

    Args:
        id: of its session in the log.
        sides: who answers, in order: "base", "adapter" or both; "model" where there is only one.
        name: of the run or model.
        device: where the weights are: "cpu" or "cuda".
    """

    id: str
    sides: tuple[str, ...]
    name: str
    device: str


@dataclass
class _Talk:
    """An open conversation: the process that holds its model, and the question that is being answered."""

    life: Life
    asking: Request | None = None

    def stop(self) -> None:
        if self.asking is not None:
            self.asking.cancel()


class Opening:
    """A conversation that is being opened, in a thread of its own, so that whoever waits for it can go.

    Args:
        open: opens it; is given this object, and asks it between two steps whether anybody waits.
        close: ends one that was opened when nobody waited any more.
    """

    def __init__(self, open: Callable[[Opening], Conversation | None], close: Callable[[Conversation], None]) -> None:
        self._close = close
        self._ends: SimpleQueue[Conversation | Exception | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._left = False
        self._request: Request | None = None
        threading.Thread(target=self._work, args=(open,), daemon=True).start()

    @property
    def left(self) -> bool:
        """Whether nobody waits for it."""
        return self._left

    def wait(self) -> Conversation | None:
        """The conversation; None when it was left. To be called once.

        Raises:
            CodexError: as `ChatRoom.open`.
        """
        end = self._ends.get()
        with self._guard:
            if not self._left:
                self._left = True  # nobody waits from now on
                if isinstance(end, Exception):
                    raise end
                return end
        self._let_go_of(end)
        return None

    def leave(self) -> None:
        """Wait no longer. A model that is being loaded goes on being loaded; no conversation is begun with it."""
        with self._guard:
            if self._left:
                return
            self._left = True
            request = self._request
        self._ends.put(None)
        if request is not None:
            request.cancel()

    def sent(self, request: Request) -> Request:
        """Remember what was asked of the model's process."""
        with self._guard:
            self._request = request
            left = self._left
        if left:
            request.cancel()
        return request

    def _work(self, open: Callable[[Opening], Conversation | None]) -> None:
        end: Conversation | Exception | None
        try:
            end = open(self)
        except Exception as error:  # noqa: BLE001 - whoever waits raises it; one who left has no use for it
            end = error
        with self._guard:
            if not self._left:
                self._ends.put(end)
                return
        self._let_go_of(end)

    def _let_go_of(self, end: Conversation | Exception | None) -> None:
        if isinstance(end, Conversation):
            self._close(end)


class ChatRoom:
    """The conversations of a workspace, one loaded model at a time. Safe across threads; answers wait for one another.

    A conversation ends when another target is loaded in its model's place, when a run needs the GPU that the model is on, and when
    the process dies; its next question then says so.

    Args:
        workspace: where runs are, and whose log keeps the conversations.
        has_gpu: whether this machine has a GPU that runs use.
        idle_s: the model is let go of when nobody asked it anything for so long.
    """

    def __init__(self, workspace: Workspace, *, has_gpu: Callable[[], bool] | None = None, idle_s: float = 900.0) -> None:
        self._workspace = workspace
        self._has_gpu = has_gpu or nvidia_gpu
        self._idle_s = idle_s
        self._opening = threading.Lock()  # held while a model is loaded
        self._guard = threading.Lock()  # of which child there is
        self._closed = False
        self._child: Child | None = None
        self._kind: tuple[Place, bool] | None = None
        self._watched: Life | None = None
        self._talks: dict[str, _Talk] = {}

    def __enter__(self) -> ChatRoom:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def targets(self) -> list[Target]:
        """Every run that has trained something that can be loaded, newest first, and codex-tiny."""
        found = [(view.run, result_of(view.run)) for view in reversed(RunStore(self._workspace).list())]
        runs = [_target(run, result) for run, result in found if result is not None and result.kind != "damaged"]
        return [*runs, Target("codex-tiny", "codex-tiny")]

    def alone(self, target: str) -> bool:
        """Whether each message to `target`, one of `targets`, stands alone: it was trained on single prompts, not on conversations."""
        from codex.services.learnt_form import told_form

        run = next((view.run for view in RunStore(self._workspace).list() if view.run.id == target), None)
        return run is not None and told_form(run) in ("prompt-completion", "text")

    def open(
        self, target: str, side: Side | None, settings: ChatSettings, device: Place = "auto", *, confirm_download: bool = False
    ) -> Conversation:
        """Begin a conversation; its model is loaded unless it is the one that is loaded.

        Args:
            target: a run's id, number, title or `last`; or a model: `codex-tiny`, a folder, `hub:owner/name`.
            side: who answers; None takes both for a run with an adapter.
            settings: how answers are made.
            device: `auto` takes the GPU where there is one and the run was not configured otherwise; `cpu` never touches it.
            confirm_download: whether a hub model may be fetched that is not on this machine; a run's base too.

        Raises:
            RunError: a run holds the GPU, the run has no adapter yet, or there is no such side.
            ModelError: the model cannot be used, or its process died while loading it.
        """
        conversation = self.opening(target, side, settings, device, confirm_download=confirm_download).wait()
        assert conversation is not None, "nobody else could leave"
        return conversation

    def opening(
        self, target: str, side: Side | None, settings: ChatSettings, device: Place = "auto", *, confirm_download: bool = False
    ) -> Opening:
        """As `open`, for somebody who may not want to wait until the model is loaded; errors come from its `wait`."""

        def begin(opening: Opening) -> Conversation | None:
            found = find(target, side, workspace=self._workspace, confirm_download=confirm_download)
            if device == "auto":
                self._refuse_held_gpu()
            asked = {"target": target, "side": side, "settings": asdict(settings), "confirm_download": confirm_download}
            with self._opening:
                if opening.left:  # another model was loaded meanwhile, which this one would replace for nobody
                    return None
                life, told = self._ask_open(found, device, {**asked, "device": "cpu" if device == "cpu" else None}, opening)
            return None if told is None else self._keep(life, told)

        return Opening(begin, self.close_conversation)

    def ask(self, conversation: Conversation, text: str, settings: ChatSettings | None = None) -> Iterator[Piece]:
        """Answers of each side to `text`, piece by piece; closing the iterator ends the answer after its next token.

        Args:
            conversation: an open one.
            text: what to say.
            settings: how answers are made from now on; None leaves them.

        Raises:
            ModelError: the conversation has ended, the message says why; or it is too long for the model.
        """
        talk = self._talk(conversation)
        arguments = {"conversation": conversation.id, "text": text, "settings": asdict(settings) if settings is not None else None}
        try:
            talk.asking = asking = talk.life.ask("ask", **arguments)
            with contextlib.closing(asking.pieces()) as pieces:
                for piece in pieces:
                    yield Piece(**piece)
        except ChildDied as death:
            raise _lost(conversation, death) from death

    def is_open(self, conversation: Conversation) -> bool:
        """Whether a conversation can go on: it was not closed, and the process that holds its model lives."""
        talk = self._talks.get(conversation.id)
        return talk is not None and talk.life.alive

    def stop(self, conversation: Conversation) -> None:
        """End the answer that is being made after its next token; who reads it sees how it ended. One that waits its turn never begins."""
        self._talk(conversation).stop()

    def reset(self, conversation: Conversation) -> Conversation:
        """End a conversation and begin another one with the same model, sides and settings.

        Raises:
            ModelError: the conversation has ended; the message says why.
        """
        talk = self._talk(conversation)
        talk.stop()
        try:
            told = talk.life.call("reset", conversation=conversation.id)
        except ChildDied as death:
            raise _lost(conversation, death) from death
        self._talks.pop(conversation.id, None)
        return self._keep(talk.life, told)

    def close_conversation(self, conversation: Conversation) -> None:
        """End a conversation; nothing happens to one that has ended. Its model stays loaded."""
        talk = self._talks.pop(conversation.id, None)
        if talk is not None:
            talk.stop()
            with contextlib.suppress(ChildDied):  # then it has ended already
                talk.life.ask("end", conversation=conversation.id)

    def close(self) -> None:
        """End all conversations and the model's process."""
        with self._guard:
            self._closed, child = True, self._child
        if child is not None:
            child.close("the chats were closed")

    def _talk(self, conversation: Conversation) -> _Talk:
        talk = self._talks.get(conversation.id)
        if talk is None:
            raise over(conversation.name, "it was closed")
        return talk

    def _keep(self, life: Life, told: dict[str, Any]) -> Conversation:
        conversation = Conversation(**{**told, "sides": tuple(told["sides"])})
        self._talks[conversation.id] = _Talk(life)
        return conversation

    def _refuse_held_gpu(self) -> None:
        holder = gpu_holder(self._workspace, self._has_gpu)
        if holder is not None:
            raise RunError(
                f"run {holder!r} holds the GPU",
                "expected a free one, because two models on it may end the run",
                "Choose the CPU as device; or wait until the run has ended.",
            )

    def _ask_open(self, found: Found, device: Place, arguments: dict[str, Any], opening: Opening) -> tuple[Life, dict[str, Any] | None]:
        """The process that holds the model now, and what it says of the conversation; None where nobody waits for one."""
        child = self._child_for(found, device)
        while True:
            life = child.life()
            if device == "auto" and self._has_gpu():
                self._watch(life)
            try:
                return life, last_of(opening.sent(life.ask("open", **arguments)).pieces())
            except ChildDied as death:
                if death.began:
                    raise _died_loading(found.name, death) from death
                # It was about to leave for want of work when we asked; another one takes the request.

    def _child_for(self, found: Found, device: Place) -> Child:
        """The child that may be where the model shall go, and may reach a hub if the model is of one; the last one makes room."""
        kind = (device, found.source.startswith(HUB))
        with self._guard:
            if self._closed:
                raise ModelError("the chats were closed", "expected a program that goes on", "Start it again.")
            last = self._child
            if last is not None and self._kind == kind:
                return last
            hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
            self._child = child = Child(Birth(NAME, HANDLER, self._workspace, hidden, online=kind[1], idle_s=self._idle_s))
            self._kind = kind
        if last is not None:
            last.close(f"{found.name!r} was loaded in its place")
        return child

    def _watch(self, life: Life) -> None:
        """Let the GPU go to runs, also to those that are started elsewhere."""
        if life is not self._watched:
            self._watched = life
            threading.Thread(target=self._yield_gpu, args=(life,), daemon=True).start()

    def _yield_gpu(self, life: Life) -> None:
        while life.alive:
            holder = gpu_holder(self._workspace, self._has_gpu)
            if holder is not None:
                life.close(f"run {holder!r} needs the GPU")
            time.sleep(GPU_POLL_SECONDS)


def over(name: str, why: str) -> ModelError:
    """The answer to a question in a conversation that has ended."""
    return ModelError(
        f"the conversation with {name!r} has ended: {why}",
        "expected an open one",
        "What was said so far is in the log; begin a new conversation.",
    )


def _lost(conversation: Conversation, death: ChildDied) -> ModelError:
    return over(conversation.name, f"the model's process ended ({death.why})")


def _died_loading(name: str, death: ChildDied) -> ModelError:
    fix = "Choose a smaller model, or end other programs." if death.why == "out of memory" else "Open it again."
    said = f"; it wrote: {death.lines[-1].strip()}" if death.lines else ""
    return ModelError(f"the model's process ended while {name!r} was loaded ({death.why}){said}", "expected it to answer", fix)


def _target(run: Run, result: Result) -> Target:
    sides: tuple[Side, ...] = ("both", "base", "adapter") if result.kind == "adapter" else ()  # what trained all weights has another base
    return Target(f"{run.title} ({run.id})" if run.title else run.id, run.id, sides)


def nvidia_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, as its driver says.

    Not covered: a PyTorch that is built without CUDA, which would not use it.
    """
    return bool(machine.gpus().found) or any(Path("/proc/driver/nvidia/gpus").glob("*"))


def gpu_holder(workspace: Workspace, has_gpu: Callable[[], bool] = nvidia_gpu) -> str | None:
    """The id of the newest run of `workspace` that works on this machine's GPU; None when none does."""
    active = [view for view in RunStore(workspace).list() if view.active and view.status.host in ("", host_name())]
    return next((view.id for view in reversed(active) if _is_on_gpu(view, has_gpu)), None)


def _is_on_gpu(view: RunView, has_gpu: Callable[[], bool]) -> bool:
    from codex.config.composed import load_resolved

    try:
        device = load_resolved(view.run.resolved).model.device
    except ConfigError:  # it runs, so it may be anywhere
        device = "auto"
    return device == "cuda" or (device == "auto" and has_gpu())
