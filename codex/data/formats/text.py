"""Rows that hold plain text: `{"text": "…"}`."""

from __future__ import annotations

from typing import Any

from codex.core.registry import register
from codex.data.examples import Example
from codex.data.fields import text_of


@register("dataset_format")
class Text:
    """Plain text, learnt from its first token to its last."""

    keys = ("text",)

    def detect(self, row: dict[str, Any]) -> bool:
        """Whether the row has `text`."""
        return "text" in row

    def read(self, row: dict[str, Any], origin: str) -> Example:
        """The text.

        Raises:
            DataError: the row is not as it should be.
        """
        text = text_of(row.get("text"), "text", origin, why_not_empty="Write the text, or remove the row.")
        return Example(text=text, group=origin, origin=origin)
