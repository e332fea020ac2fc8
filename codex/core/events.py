"""What the session log stores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from codex.core import clock

Role = Literal["system", "user", "assistant", "tool", "info", "warning", "error"]
Kind = Literal["chat", "agent", "training", "evaluation", "decision", "serving", "notebook", "annotation"]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number that a column of the log can hold."""
Count = Annotated[int, Field(ge=0, le=2**53)]
"""A number that is counted on: sums of it fit a column, and every program that reads JSON knows it exactly."""


def whole_microseconds(ts: float) -> float:
    """`ts` as the log keeps it: to the microsecond."""
    return clock.microseconds(ts) / 1e6


def _shown_everywhere(ts: float) -> float:
    if not clock.FIRST <= ts < clock.END:
        raise PydanticCustomError("time_of_a_calendar", "Input should be a time from 0001-01-03 to 9999-12-29, UTC")
    return ts


Seconds = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_shown_everywhere), AfterValidator(whole_microseconds)]
"""Seconds since the epoch, UTC, to the microsecond, of the years 1 to 9999 wherever on Earth it is shown."""


class Event(BaseModel):
    """One thing that happened.

    `session` and `seq` (from 0, without gaps while its writers live) name an event; `ts` is seconds since the epoch, UTC, to
    the microsecond. The columns from `tool` on are promoted from `attributes` because they are asked for often. As JSON, a
    loss that is not finite is "NaN" or "Infinity", for JSON has no such numbers and a run that diverged must say so.
    `redacted` counts the secrets that were taken out before it was written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    session: str
    seq: Count
    ts: Seconds
    role: Role
    kind: str
    content: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)
    tool: str | None = None
    model: str | None = None
    latency_ms: float | None = None
    tokens_in: Count | None = None
    tokens_out: Count | None = None
    run_id: str | None = None
    step: Int64 | None = None
    loss: float | None = None
    redacted: Count = 0
