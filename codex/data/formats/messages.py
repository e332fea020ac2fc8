"""Rows that hold a conversation: `{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}`."""

from __future__ import annotations

from typing import Any

from codex.core.errors import DataError
from codex.core.registry import register
from codex.data.examples import Example
from codex.data.fields import messages_of, must_end_with_answer, no_tools


@register("dataset_format")
class Messages:
    """A conversation of system, user and assistant turns; every assistant turn is learnt."""

    keys = ("messages",)

    def detect(self, row: dict[str, Any]) -> bool:
        """Whether the row has `messages`."""
        return "messages" in row

    def read(self, row: dict[str, Any], origin: str) -> Example:
        """The conversation, ending with an assistant's turn.

        Raises:
            DataError: the row is not as it should be.
        """
        no_tools(row, origin)
        messages = messages_of(row.get("messages"), "messages", origin)
        must_end_with_answer(messages, "messages", origin)
        if messages[0].role == "assistant":
            raise DataError(
                "`messages[0].role` is 'assistant'",
                "expected a system or user turn first, for an answer is learnt from what stands before it",
                "Put the user's turn first, or remove this one.",
                origin,
            )
        return Example(messages=messages, group=origin, origin=origin)
