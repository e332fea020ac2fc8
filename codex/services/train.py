"""Set up a training run: compose and check everything that can be checked without weights, then start it, and resume it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex.core.errors import MissingExtra, RunError, UserError, WorkspaceError
from codex.core.paths import Workspace, is_there, typed_path
from codex.runs.store import Run, RunStore
from codex.services.resuming import check_newest_checkpoint

if TYPE_CHECKING:
    from codex.config.compose import Composed
    from codex.config.schema import RunConfig
    from codex.data.load import Dataset
    from codex.models.load import ModelInfo

KIND = "training"
_audited: dict[str, tuple[str, ...]] = {}
"""Audits of this process by what they depend on: a form asks again after every change."""
SPARE_BYTES = 200 * 2**20
"""Room for the log, MLflow and the report."""


@dataclass(frozen=True)
class Plan:
    """A run that could be started: its configuration, and what was found out about its model and data.

    Args:
        composed: configuration, its origins and its changes against the recipe.
        model: what is known of the model without loading weights; None when it is built from nothing.
        data: the examples, read and split.
        audit: what will be trained on, in sentences; empty when the tokenizer is yet to be trained.
        needed_bytes: room on disk that checkpoints and adapter will take, at least.
    """

    composed: Composed
    model: ModelInfo | None
    data: Dataset
    audit: tuple[str, ...]
    needed_bytes: int


def plan(
    recipe: str = "qlora-docstrings",
    overrides: Sequence[str] = (),
    *,
    workspace: Workspace,
    values: Mapping[str, Any] | None = None,
) -> Plan:
    """Check everything about a run that can be checked before weights are loaded. Makes nothing.

    Args:
        recipe: a shipped recipe's name or one of the workspace's own.
        overrides: `key=value` as typed.
        workspace: where it would run.
        values: dotted key → value, from Python; same rank as overrides.

    Raises:
        UserError: with every problem of the configuration, the first of model or data.
    """
    from codex.config.compose import compose
    from codex.data.load import load
    from codex.models.load import describe
    from codex.services.devices import check_device

    composed = _with_whole_paths(compose(recipe, overrides, workspace=workspace, values=values))
    config = composed.config
    if config.tracking.mlflow and importlib.util.find_spec("mlflow") is None:
        raise MissingExtra("mlflow", "tracking", "MLflow tracking (`tracking.mlflow=true`)")
    info = None if config.model.scratch is not None else describe(config.model, workspace)
    check_device(config)
    if info is not None:
        _check_target_modules(config, info)
    data = load(config.data, config.seed, workspace, judged=config.evaluation.judge)
    if info is not None and info.context is not None and config.data.max_tokens > info.context:
        raise UserError(
            f"`data.max_tokens` is {config.data.max_tokens}",
            f"expected at most {info.context}, the context of {config.model.source!r}",
            f"Set `data.max_tokens={info.context}`.",
        )
    needed = _needed_bytes(config, info)
    _check_room(workspace, needed)
    audit = _audit(config, info, data, workspace) if info is not None else ()
    return Plan(composed, info, data, audit, needed)


def _audit(config: RunConfig, info: ModelInfo, data: Dataset, workspace: Workspace) -> tuple[str, ...]:
    """See that the weights are the model's and encode everything, as the worker will, so that what fails there is said before."""
    from codex.models.load import load_tokenizer
    from codex.models.shapes import check_shapes
    from codex.services.encoding import encode_run

    check_shapes(info)
    asked = (info.folder, data.fingerprint, config.seed, config.data, config.evaluation, config.training.evaluate_every)
    key = repr(asked)
    if key not in _audited:
        encoded = encode_run(config, data, load_tokenizer(config.model, workspace), info.context)
        _audited[key] = tuple(encoded.audit["words"])
    return _audited[key]


def _with_whole_paths(composed: Composed) -> Composed:
    """`composed` with files and folders that are named from here as whole paths, for the worker works in the run's own folder."""
    config = composed.config
    data = config.data.model_copy(update={"source": _whole(config.data.source), "heldout": _whole(config.data.heldout)})
    model = config.model.model_copy(update={"source": _whole(config.model.source)})
    return replace(composed, config=config.model_copy(update={"data": data, "model": model}))


def _whole(name: str | None) -> str | None:
    """`name` as a whole path where something here is called so; names with a meaning of their own stay."""
    from codex.config.schema import BUILT_IN_DATA
    from codex.models.load import TINY

    if name is None or name in (*BUILT_IN_DATA, TINY, "scratch"):
        return name
    path = typed_path(name)
    return str(path.absolute()) if is_there(path) else name


def _check_target_modules(config: RunConfig, info: ModelInfo) -> None:
    """Layers that an adapter shall stand beside must be in the model."""
    from codex.models.folder import tensors_of

    wanted = getattr(config.method, "target_modules", "all-linear")
    if isinstance(wanted, str):
        return
    matrices = {name.removesuffix(".weight") for name, tensor in tensors_of(info.folder).items() if len(tensor.shape) == 2}
    unknown = [name for name in wanted if not any(matrix == name or matrix.endswith(f".{name}") for matrix in matrices)]
    if unknown:
        names = sorted({matrix.rpartition(".")[2] for matrix in matrices})
        raise UserError(
            f"`method.target_modules` names {unknown[0]!r}, which {config.model.source!r} does not have",
            f"expected some of {', '.join(names)}",
            "Set `method.target_modules=all-linear`, or name some of these.",
        )


def _needed_bytes(config: RunConfig, info: ModelInfo | None) -> int:
    """Checkpoints hold the trained weights and two optimizer moments in float32; the result holds the weights once more."""
    return _trained_parameters(config, info) * 4 * (3 * (config.training.keep_checkpoints + 1) + 1) + SPARE_BYTES


def _trained_parameters(config: RunConfig, info: ModelInfo | None) -> int:
    """How many weights change, at most: an adapter has rank x (rows + columns) for each matrix that it may stand beside."""
    shape = config.model.scratch
    if shape is not None:
        attention = 2 * shape.hidden_size**2 + 2 * shape.hidden_size**2 * shape.kv_heads // shape.heads
        return shape.layers * (attention + 3 * shape.hidden_size * shape.mlp_size) + shape.vocabulary * shape.hidden_size
    assert info is not None, "a model is loaded or built"
    rank = getattr(config.method, "rank", None)
    if rank is None:
        return info.parameters
    from codex.models.folder import tensors_of

    return sum(rank * sum(tensor.shape) for tensor in tensors_of(info.folder).values() if len(tensor.shape) == 2)


def _check_room(workspace: Workspace, needed: int) -> None:
    free = shutil.disk_usage(workspace.check_writable()).free
    if free < needed:
        raise WorkspaceError(
            f"the disk of the workspace {str(workspace.root)!r} has {free / 2**30:.2f} GiB free",
            f"expected at least {needed / 2**30:.2f} GiB for checkpoints, adapter and log",
            "Free some, keep fewer checkpoints (`training.keep_checkpoints=1`), or name another workspace: `--workspace DIR`.",
        )


def start(planned: Plan, *, workspace: Workspace) -> Run:
    """Make the run's folder and start its worker, detached from this process.

    Raises:
        UserError: the workspace cannot be written, or the worker did not start; no half-made run is left.
    """
    return start_planned(*papers(planned), workspace=workspace)


def papers(planned: Plan) -> tuple[str, dict[str, str]]:
    """The run's title, and the files that its folder begins with."""
    composed = planned.composed
    files = {"asked.yaml": composed.asked_yaml(), "resolved.yaml": composed.resolved_yaml()}
    return composed.config.title or composed.config.recipe, files


def start_planned(title: str, files: Mapping[str, str], *, workspace: Workspace) -> Run:
    """Start what was planned, maybe in another process: `title` and `files` are the plan's papers; raises as `start` does."""
    store = RunStore(workspace.create())
    return store.start(kind=KIND, title=title, files=files)


def _check_data_again(run: Run, workspace: Workspace) -> None:
    """The data is there and is what the run began with; found out before the run is touched."""
    from codex.config.composed import load_resolved
    from codex.data.load import load
    from codex.services.encoding import same_data_as_before

    config = load_resolved(run.resolved)
    same_data_as_before(run, load(config.data, config.seed, workspace, judged=config.evaluation.judge).fingerprint)


def resume(name: str, *, workspace: Workspace) -> tuple[Run, Path | None]:
    """Start a run again from its newest complete checkpoint, or from the beginning where it has none.

    Returns:
        The run, and the checkpoint that it goes on from.

    Raises:
        RunError: it is unknown, it runs, or it is finished, or its newest checkpoint is damaged.
    """
    from codex.runs.checkpoints import newest_checkpoint

    check_resume(name, workspace=workspace)
    run = relaunch(name, workspace=workspace)
    return run, newest_checkpoint(run.folder)


def check_resume(name: str, *, workspace: Workspace) -> None:
    """Find out what keeps a run from going on, as far as its launch does not say it better.

    Raises:
        RunError: it is unknown or finished, or its newest checkpoint is damaged.
        DataError: the data is gone, or is not what the run began with.
    """
    store = RunStore(workspace)
    run = store.get(name)
    view = store.view(run)
    if view.state == "finished":
        raise RunError(
            f"run {run.id!r} is finished",
            "expected a run that was stopped or failed",
            f"Start a new run with the same configuration: `codex-ml runs config {run.id} --asked` shows it.",
        )
    if run.kind == KIND and not view.active:  # the launch says best why a run that runs cannot be resumed
        check_newest_checkpoint(run)
        _check_data_again(run, workspace)


def relaunch(name: str, *, workspace: Workspace) -> Run:
    """Start a run again that `check_resume` has looked at, maybe in another process.

    Raises:
        RunError: it is unknown, it runs, or it is finished.
    """
    store = RunStore(workspace)
    run = store.get(name)
    store.launch(run)
    return run
