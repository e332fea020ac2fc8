"""Prompts that a run was not trained on, to try it with."""

from __future__ import annotations

from codex.config.compose import compose
from codex.config.composed import load_resolved
from codex.core.paths import Workspace
from codex.data.examples import Example
from codex.data.load import load
from codex.runs.store import RunStore
from codex.services.judge import choose

LONGEST = 400
"""Characters of a prompt that a button can stand for."""


def heldout_prompts(run_name: str | None, *, workspace: Workspace, count: int) -> tuple[str, ...]:
    """At most `count` short prompts that were held out from a run, chosen by its seed.

    Args:
        run_name: whose; None for the default data's.
        workspace: where it is.
        count: how many.

    Raises:
        RunError: there is no such run.
        DataError: its data is gone.
    """
    if run_name is None:
        config = compose(workspace=workspace, environ={}).config
    else:
        config = load_resolved(RunStore(workspace).get(run_name).resolved)
    data = load(config.data, config.seed, workspace, judged=config.evaluation.judge)
    prompts = [prompt for prompt in map(_prompt_of, data.heldout) if prompt and len(prompt) <= LONGEST]
    return tuple(choose(prompts, count, config.seed))


def _prompt_of(example: Example) -> str:
    """What a person would type to get the example's answer; "" where nobody asks."""
    if example.prompt is not None:
        return example.prompt
    asked = [message.content for message in example.messages if message.role == "user"]
    return asked[0] if len(asked) == 1 else ""
