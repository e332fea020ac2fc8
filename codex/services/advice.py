"""What to change after a run that failed: settings that make the next one ask for less, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codex.services.runs import RunSummary


@dataclass(frozen=True)
class Fix:
    """One thing to change.

    Args:
        overrides: what to set, as typed.
        effect: what it does, and what it costs, in words.
    """

    overrides: tuple[str, ...]
    effect: str


def fixes(run: RunSummary, settings: Mapping[str, Any]) -> tuple[Fix, ...]:
    """What to change so that `run`, which failed, gets further; empty where no setting is known to help.

    Args:
        run: how it ended.
        settings: its configuration, by dotted name.
    """
    reason = run.status.reason
    if run.status.state != "failed" or reason is None or reason.kind != "out of memory":
        return ()
    return tuple(_for_less_memory(settings))


def _for_less_memory(settings: Mapping[str, Any]) -> Iterator[Fix]:
    """Settings that lower the peak, those that leave the result as it is first."""
    batch, passes = settings.get("training.batch_size", 1), settings.get("training.gradient_accumulation", 1)
    if batch > 1 and batch % 2 == 0:
        overrides = (f"training.batch_size={batch // 2}", f"training.gradient_accumulation={passes * 2}")
        yield Fix(overrides, "Half the examples in memory at once, the same examples a step. Somewhat slower.")
    if not settings.get("training.gradient_checkpointing", False):
        yield Fix(("training.gradient_checkpointing=true",), "Activations are computed again instead of kept. About a third slower.")
    longest = settings.get("data.max_tokens", 0)
    if longest >= 128:
        yield Fix((f"data.max_tokens={longest // 2}",), "Longer examples are cut there; what is cut is not learnt.")
    if settings.get("method.name") in ("lora", "full") and settings.get("model.source") != "scratch":
        yield Fix(("method=qlora",), "The base is kept in 4 bits; another method, so another result.")
