"""The body of a training run, as its worker process executes it: prepare, train, save, judge, report."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex.config.composed import load_resolved
from codex.config.schema import RunConfig
from codex.core.clock import iso, now
from codex.core.files import write_atomic, write_json_atomic
from codex.core.paths import Workspace
from codex.core.registry import register
from codex.runs import checkpoints
from codex.runs.context import RunContext, StopRequested
from codex.runs.record import json_object
from codex.services import judge
from codex.services.devices import check_device
from codex.services.encoding import DATA_DIGEST, EncodedRun, encode_run, same_data_as_before
from codex.services.learnt_form import keep_form
from codex.services.recorder import Recorder
from codex.services.resuming import check_newest_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from codex.data.load import Dataset
    from codex.evaluation.verdict import Verdict
    from codex.training.engine import TrainingResult

ADAPTER = "adapter"
COST = "cost.json"
"""What the last attempt that trained cost."""
UNJUDGED = "The result is saved; the verdict is missing."
"""What a run that is stopped while it is judged leaves, in its reason."""


@dataclass
class Prepared:
    """What training needs, loaded and encoded.

    Args:
        data: the examples.
        encoded: the same as tokens.
        model: with the weights that train requiring gradients.
        tokenizer: the model's.
    """

    data: Dataset
    encoded: EncodedRun
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@register("run")
def training(context: RunContext) -> None:
    """Train as `resolved.yaml` says, from the newest complete checkpoint if there is one."""
    config = load_resolved(context.run.folder / "resolved.yaml")
    checkpoints.sweep(context.run.folder)
    check_newest_checkpoint(context.run)
    with Recorder(context, config) as recorder:
        newest = checkpoints.newest_checkpoint(context.run.folder)
        done = checkpoints.checkpoint_step(newest) if newest is not None else None
        before = recorder.figures_so_far() if done else {}
        context.progress(step=done, total=config.training.steps, note="reading the data", **before)
        prepared = _prepare(context, config)
        base_scores = _score_base_first(context, config, prepared)
        result = _train(context, config, prepared, recorder)
        _keep_cost(context, result)
        if result.stopped:
            raise StopRequested
        _save(context, config, prepared)
        verdict = _judge(context, config, prepared, base_scores)
        if verdict is not None:
            recorder.verdict(verdict)
        _report(context, config, prepared, result, verdict, recorder)


def _prepare(context: RunContext, config: RunConfig) -> Prepared:
    """Load data, tokenizer and model, put on what will train, and turn examples into tokens.

    Everything that can be wrong with the data is found before weights are loaded.
    """
    import torch

    from codex.data.load import load
    from codex.models.load import describe, load_model, load_tokenizer
    from codex.models.scratch import new_model, train_tokenizer
    from codex.training.engine import hush_deprecations

    hush_deprecations()
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    check_device(config)
    workspace = Workspace(context.run.folder.parent.parent)
    data = load(config.data, config.seed, workspace, judged=config.evaluation.judge)
    same_data_as_before(context.run, data.fingerprint)
    write_atomic(context.run.folder / DATA_DIGEST, data.fingerprint)
    keep_form(context.run, data.train[0].form)
    shape = config.model.scratch
    if shape is not None:
        context.progress(note="training the tokenizer")
        tokenizer = train_tokenizer((text for example in data.train for text in example.answers), shape.vocabulary, shape.context)
    else:
        tokenizer = load_tokenizer(config.model, workspace)
    length = shape.context if shape is not None else describe(config.model, workspace).context
    context.progress(note="encoding the data")
    encoded = encode_run(config, data, tokenizer, length)
    context.progress(note="loading the model")
    if shape is not None:
        model = new_model(shape, tokenizer, config.seed)
    else:
        model = load_model(config.model, workspace, quantization=config.method.quantization())
    model = config.method.attach(model, config.seed)
    return Prepared(data, encoded, model, tokenizer)


def _train(context: RunContext, config: RunConfig, prepared: Prepared, recorder: Recorder) -> TrainingResult:
    """Train what is left to train; nothing, when the last checkpoint is that of the last step."""
    from codex.training.engine import fit

    context.check_stop()
    newest = checkpoints.newest_checkpoint(context.run.folder)
    context.progress(note="training")
    return fit(
        prepared.model,
        prepared.tokenizer,
        (prepared.encoded.train, prepared.encoded.watched),
        config,
        context.run.folder,
        recorder,
        resume_from=newest,
    )


def _save(context: RunContext, config: RunConfig, prepared: Prepared) -> None:
    from codex.training.adapters import save_whole

    context.progress(note="saving")
    save_whole(prepared.model, prepared.tokenizer, context.run.folder / ADAPTER)


def _score_base_first(context: RunContext, config: RunConfig, prepared: Prepared) -> judge.Scorer | None:
    """Full training changes the base itself, so the base is scored before it; an adapter can be switched off later."""
    if prepared.encoded.judged is None or not config.method.trains_all_weights:
        return None
    from codex.inference.local import LocalModel

    context.progress(note="judging the base")
    model = LocalModel(prepared.model, prepared.tokenizer, name="base")
    both = (prepared.encoded.judged.items, prepared.encoded.judged.shuffled)
    kept = {items: model.score(items, batch_size=config.evaluation.batch_size, check_stop=context.check_stop) for items in both}
    return lambda items: kept[tuple(items)]


def _judge(context: RunContext, config: RunConfig, prepared: Prepared, base_scores: judge.Scorer | None) -> Verdict | None:
    if prepared.encoded.judged is None:
        return None
    from codex.inference.local import LocalModel

    def before_each(note: str) -> None:
        context.progress(note=note)

    def check_stop() -> None:
        context.check_stop(UNJUDGED)

    model = LocalModel(prepared.model, prepared.tokenizer, name=context.run.id)
    base, adapter = judge.scorers(model, config, before_each, check_stop)
    return judge.judge(prepared.encoded.judged, base_scores or base, adapter, config, prepared.data.noun, prepared.data.group_noun)


def _unjudged(config: RunConfig, prepared: Prepared) -> list[str]:
    """Why a verdict that was asked for is absent."""
    if prepared.encoded.judged is not None or not config.evaluation.judge:
        return []
    return [
        "No verdict: whole text is learnt, so there are no answers to compare. Its held-out loss is watched by `training.evaluate_every`."
    ]


def _keep_cost(context: RunContext, result: TrainingResult) -> None:
    """Keep what training cost, for an attempt that only judges: the run may be stopped before it has a report."""
    if result.tokens:
        seconds, tokens = round(result.cpu_seconds, 1), result.tokens
        write_json_atomic(context.run.folder / COST, {"cpu_seconds_last_attempt": seconds, "tokens_last_attempt": tokens})


def _cost(context: RunContext) -> tuple[float | None, int | None]:
    """CPU seconds and tokens of the last attempt that trained, as it kept them; before it did, as a report says; None when nothing does."""
    for read in (lambda: _object_in(context.run.folder / COST), lambda: _object_in(context.run.report)["training"]):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            kept = read()
            return float(kept["cpu_seconds_last_attempt"]), int(kept["tokens_last_attempt"])
    return None, None


def _object_in(path: Path) -> dict[str, Any]:
    return json_object(path.read_text(encoding="utf-8"))


def _report(
    context: RunContext, config: RunConfig, prepared: Prepared, result: TrainingResult, verdict: Verdict | None, recorder: Recorder
) -> None:
    """Write `report.json`: what was trained on what, what it cost, and the verdict."""
    folder, data = context.run.folder, prepared.data
    seconds, tokens = _cost(context)
    trained = sum(parameter.numel() for parameter in prepared.model.parameters() if parameter.requires_grad)
    report = {
        "run": context.run.id,
        "written": iso(now()),
        "recipe": config.recipe,
        "seed": config.seed,
        "model": {"source": config.model.source, "trained_parameters": trained},
        "data": {
            "source": data.source,
            "form": data.train[0].form,
            "fingerprint": data.fingerprint,
            "train": len(data.train),
            "heldout": len(data.heldout),
            "notes": [*data.notes, *_unjudged(config, prepared)],
            **prepared.encoded.audit,
        },
        "training": {
            "steps": result.step,
            "attempts": context.attempt,
            "cpu_seconds_last_attempt": seconds,
            "tokens_last_attempt": tokens,
            "last_loss": recorder.last_loss,
        },
        "adapter": str(folder / ADAPTER),
        "tracking": {"mlflow_run": recorder.tracker.run_id if recorder.tracker else None, "problem": recorder.tracking_problem},
        "verdict": verdict.to_json() if verdict else None,
    }
    write_json_atomic(folder / "report.json", report)
