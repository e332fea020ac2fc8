"""Whether a run's settings go with the device that it gets."""

from __future__ import annotations

from codex.config.schema import RunConfig
from codex.core.errors import Problem, UserError


def check_device(config: RunConfig) -> None:
    """Refuse a run that asks for a GPU, or for what only a GPU has, where there is none; `model.device=auto` is resolved only then.

    Raises:
        UserError: with the first setting that does not go with the device.
    """
    from codex.models.load import choose_device

    problem = _needs_gpu(config)
    if (problem is not None or config.model.device == "cuda") and choose_device(config.model.device) == "cpu":
        assert problem is not None, "choose_device refuses a GPU that is asked for and is not there"
        raise UserError(problem.what, problem.expected, problem.fix)


def _needs_gpu(config: RunConfig) -> Problem | None:
    """The first setting that CPUs lack, or that libraries would pass over there without a word."""
    training = config.training
    where = f"`model.device` is {config.model.device!r} and PyTorch sees no GPU here"
    if training.optimizer == "paged_adamw_8bit":
        return Problem(
            f"`training.optimizer` is 'paged_adamw_8bit', {where}",
            "expected `paged_adamw_8bit` only on a GPU, whose memory it pages",
            "Set `training.optimizer=adamw`.",
        )
    if training.autocast == "fp16":
        return Problem(
            f"`training.autocast` is 'fp16', {where}",
            "expected `fp16` only on a GPU, for its gradients need a scaler that CPUs lack",
            "Set `training.autocast=bf16` or `training.autocast=no`.",
        )
    return None
