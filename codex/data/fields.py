"""Take text and messages out of a row, or say what is wrong with it."""

from __future__ import annotations

from typing import Any

from codex.core.errors import DataError
from codex.core.protocols import Message

ROLES = ("system", "user", "assistant")
LONGEST_SHOWN = 60

# Each of these changes what is learnt, so a row that has one must not be read as if it had not.
UNREAD = ("tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", "thinking", "weight")


def shown(value: Any) -> str:
    """`value` as it is quoted in a message: its repr, cut when it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def text_of(value: Any, name: str, origin: str, *, why_not_empty: str | None = None) -> str:
    """`value` as text.

    Args:
        value: what the row has.
        name: where in the row: `messages[1].content`.
        origin: where the row stands.
        why_not_empty: the fix for blank text; None lets it be blank.

    Raises:
        DataError: it is not text, is blank, or holds half a character.
    """
    if not isinstance(value, str):
        raise DataError(f"`{name}` is {shown(value)}", "expected text in quotes", f"Write `{name}` as one string.", origin)
    if why_not_empty is not None and not value.strip():
        raise DataError(f"`{name}` is {shown(value)}", "expected text that is not blank", why_not_empty, origin)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start : error.end]
        raise DataError(
            f"`{name}` holds {shown(half)} at character {error.start}",
            "expected whole Unicode characters; this is half of a surrogate pair",
            "Remove it, or write the character whole.",
            origin,
        ) from None
    return value


def _turn(value: Any, name: str, origin: str) -> Message:
    if not isinstance(value, dict):
        raise DataError(
            f"`{name}` is {shown(value)}", "expected an object with `role` and `content`", 'Write {"role": "user", "content": "…"}.', origin
        )
    for key in UNREAD:
        if value.get(key) not in (None, [], "") and not (key == "weight" and value[key] == 1):
            raise DataError(
                f"`{name}` has `{key}`: {shown(value[key])}",
                "expected turns of `role` and `content` alone; tool calls, separate reasoning and weights cannot be trained on yet",
                "Remove the row, or write what shall be learnt into `content`.",
                origin,
            )
    role = value.get("role")
    if role in ("tool", "function"):
        raise DataError(
            f"`{name}.role` is {role!r}",
            "expected 'system', 'user' or 'assistant'; tool turns cannot be trained on yet",
            "Remove the row, or end the conversation before its first tool turn.",
            origin,
        )
    if role not in ROLES:
        raise DataError(f"`{name}.role` is {shown(role)}", "expected 'system', 'user' or 'assistant'", "Rename the role.", origin)
    why = "Remove the turn, or write its answer: an empty one teaches to say nothing." if role == "assistant" else None
    return Message(role, text_of(value.get("content"), f"{name}.content", origin, why_not_empty=why))


def messages_of(value: Any, name: str, origin: str) -> tuple[Message, ...]:
    """`value` as turns of a conversation.

    Raises:
        DataError: it is no list of turns, or one of them is not as it should be.
    """
    if not isinstance(value, list) or not value:
        raise DataError(
            f"`{name}` is {shown(value)}",
            "expected a list of turns, each with `role` and `content`",
            'Write [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}].',
            origin,
        )
    return tuple(_turn(turn, f"{name}[{index}]", origin) for index, turn in enumerate(value))


def must_end_with_answer(messages: tuple[Message, ...], name: str, origin: str) -> None:
    """Refuse a conversation with nothing to learn at its end."""
    last = len(messages) - 1
    if messages[last].role != "assistant":
        raise DataError(
            f"`{name}[{last}].role` is {messages[last].role!r}, the last turn",
            "expected the last turn to be the assistant's, for it is what is learnt",
            "Add the answer, or remove the turns after the last answer.",
            origin,
        )


def no_tools(row: dict[str, Any], origin: str) -> None:
    """Refuse a row that offers tools: without them the model would learn another prompt than it will see."""
    if row.get("tools"):
        raise DataError(
            f"the row has `tools`: {shown(row['tools'])}",
            "expected no tools; they cannot be trained on yet",
            "Remove the row, or its `tools` if no turn needs them.",
            origin,
        )
