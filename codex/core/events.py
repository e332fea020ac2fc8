"""What the session log stores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from codex.core import clock

Role = Literal["system", "user", "assistant", "tool", "info", "warning", "error"]
Kind = Literal["chat", "agent", "training", "evaluation", "decision", "serving", "notebook", "annotation"]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number that a column of the log can hold."""


def whole_microseconds(ts: float) -> float:
    """`ts` as the log keeps it: to the microsecond."""
    return clock.microseconds(ts) / 1e6


Seconds = Annotated[float, Field(ge=-62_135_596_800, lt=253_402_300_800, allow_inf_nan=False), AfterValidator(whole_microseconds)]
"""Seconds since the epoch, UTC, to the microsecond, of the years 1 to 9999."""


class Event(BaseModel):
    """One thing that happened.

    `session` and `seq` (from 0, without gaps while its writers live) name an event; `ts` is seconds since the epoch, UTC, to
    the microsecond. The columns from `tool` on are promoted from `attributes` because they are asked for often. As JSON, a
    loss that is not finite is "NaN" or "Infinity", for JSON has no such numbers and a run that diverged must say so.
    `redacted` counts the secrets that were taken out before it was written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    session: str
    seq: int = Field(ge=0, lt=2**63)
    ts: Seconds
    role: Role
    kind: str
    content: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)
    tool: str | None = None
    model: str | None = None
    latency_ms: float | None = None
    tokens_in: Int64 | None = None
    tokens_out: Int64 | None = None
    run_id: str | None = None
    step: Int64 | None = None
    loss: float | None = None
    redacted: Int64 = Field(default=0, ge=0)
