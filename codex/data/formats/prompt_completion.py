"""Rows that hold a prompt and what follows it: `{"prompt": "…", "completion": "…"}`, as plain text or as lists of turns."""

from __future__ import annotations

from typing import Any

from codex.core.errors import DataError
from codex.core.registry import register
from codex.data.examples import Example
from codex.data.fields import messages_of, must_end_with_answer, no_tools, shown, text_of


@register("dataset_format")
class PromptCompletion:
    """A prompt, which is given, and its completion, which is learnt."""

    keys = ("prompt", "completion")

    def detect(self, row: dict[str, Any]) -> bool:
        """Whether the row has both keys."""
        return "prompt" in row and "completion" in row

    def read(self, row: dict[str, Any], origin: str) -> Example:
        """The pair; with lists of turns it is a conversation in which only the completion's answers are learnt.

        Raises:
            DataError: the row is not as it should be.
        """
        no_tools(row, origin)
        prompt, completion = row.get("prompt"), row.get("completion")
        if isinstance(prompt, list) and isinstance(completion, list):
            return self._conversation(prompt, completion, origin)
        if isinstance(prompt, list) or isinstance(completion, list):
            raise DataError(
                f"`prompt` is {shown(prompt)} and `completion` is {shown(completion)}",
                "expected text in both, or a list of turns in both",
                "Write both in the same way.",
                origin,
            )
        return Example(
            prompt=text_of(prompt, "prompt", origin, why_not_empty="Write the prompt, or give text without one as `text`."),
            completion=text_of(completion, "completion", origin, why_not_empty="Write what shall be learnt, or remove the row."),
            group=origin,
            origin=origin,
        )

    def _conversation(self, prompt: list[Any], completion: list[Any], origin: str) -> Example:
        given = messages_of(prompt, "prompt", origin)
        learnt = messages_of(completion, "completion", origin)
        must_end_with_answer(learnt, "completion", origin)
        if given[0].role == "assistant":
            raise DataError("`prompt[0].role` is 'assistant'", "expected a system or user turn first", "Put the user's turn first.", origin)
        return Example(messages=given + learnt, loss_from=len(given), group=origin, origin=origin)
