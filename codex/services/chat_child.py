"""The process that `chats` keeps beside the app: one loaded model, and the conversations with it."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from codex.core.paths import Workspace
from codex.services.chat import Chat, ChatSettings, Device, Found, Side, find, title_of
from codex.services.chats import over
from codex.services.child_host import ShouldStop

if TYPE_CHECKING:
    from codex.inference.local import LocalModel

MOST_TALKS = 64
"""Open conversations; each holds a file of the log open, and browsers leave without a word."""


@dataclass
class _Talk:
    """An open conversation, and whom it is with."""

    chat: Chat
    found: Found


class ChatHandler:
    """Opens conversations and answers in them.

    Args:
        workspace: where runs are, and whose log keeps the conversations.
    """

    def __init__(self, workspace: Workspace) -> None:
        # What libraries tell their own developers is no part of an answer.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|torch)\b")
        self._workspace = workspace
        self._model: LocalModel | None = None
        self._key = ""
        self._talks: dict[str, _Talk] = {}
        self._ended: dict[str, tuple[str, str]] = {}

    def open(
        self,
        should_stop: ShouldStop,
        *,
        target: str,
        side: Side | None,
        settings: dict[str, Any],
        confirm_download: bool,
        device: Device | None,
    ) -> dict[str, Any] | None:
        """Begin a conversation, after its model was loaded; None when nobody waits for it by then."""
        found = find(target, side, workspace=self._workspace, confirm_download=confirm_download, device=device)
        model = self._loaded(found)
        return None if should_stop() else self._begin(found, model, ChatSettings(**settings))

    def ask(self, should_stop: ShouldStop, *, conversation: str, text: str, settings: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        """Answer in a conversation, piece by piece."""
        talk = self._talk(conversation)
        self._talks[conversation] = self._talks.pop(conversation)  # now the last to be let go of
        chat = talk.chat
        if settings is not None:
            chat.settings = ChatSettings(**settings)
        for piece in chat.ask(text, should_stop):
            yield asdict(piece)

    def reset(self, should_stop: ShouldStop, *, conversation: str) -> dict[str, Any]:
        """End a conversation and begin another one like it."""
        talk = self._talk(conversation)
        assert self._model is not None, "the conversation would have ended with it"
        told = self._begin(talk.found, self._model, talk.chat.settings)
        self._end(conversation, "it was begun anew")
        return told

    def end(self, should_stop: ShouldStop, *, conversation: str) -> None:
        """End a conversation, if it has not ended."""
        if conversation in self._talks:
            self._end(conversation, "it was closed")

    def close(self) -> None:
        """End all conversations."""
        self._end_all("the process ended")

    def _begin(self, found: Found, model: LocalModel, settings: ChatSettings) -> dict[str, Any]:
        from codex.models.load import choose_device

        while len(self._talks) >= MOST_TALKS:
            self._end(next(iter(self._talks)), f"{MOST_TALKS} others were used since")
        chat = Chat(model, found.sides, self._workspace, settings, title_of(found))
        chat.__enter__()
        self._talks[chat.id] = _Talk(chat, found)
        return {"id": chat.id, "sides": chat.sides, "name": found.name, "device": choose_device(found.device)}

    def _loaded(self, found: Found) -> LocalModel:
        """The model of `found`, in the place of another one."""
        from codex.models.hub import Unconfirmed

        if self._model is not None and self._key == found.key:
            return self._model
        self._end_all(f"{found.name!r} was loaded in its place")
        self._model = None
        _give_memory_back()
        try:
            self._model = found.load()
        except Unconfirmed as error:
            raise error.confirmed_by("confirm the download") from None
        self._key = found.key
        return self._model

    def _talk(self, conversation: str) -> _Talk:
        talk = self._talks.get(conversation)
        if talk is None:
            raise over(*self._ended[conversation])
        return talk

    def _end_all(self, why: str) -> None:
        for conversation in list(self._talks):
            self._end(conversation, why)

    def _end(self, conversation: str, why: str) -> None:
        talk = self._talks.pop(conversation)
        self._ended[conversation] = (talk.found.name, why)
        talk.chat.__exit__(None, None, None)


def _give_memory_back() -> None:
    """Let go of a model's memory before the next one takes its own."""
    gc.collect()
    torch = sys.modules.get("torch")  # not imported to ask: where it is not loaded, nothing is held
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
