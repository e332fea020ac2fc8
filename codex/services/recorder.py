"""Where a training run's steps and its verdict go: the run's status, the session log and MLflow."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from codex.config.schema import RunConfig
from codex.core.errors import MissingExtra
from codex.core.files import write_atomic
from codex.core.paths import Workspace
from codex.runs.context import RunContext, StopRequested
from codex.services.compacting import compact_in_background
from codex.services.metrics import series, session_of
from codex.services.tracking import MlflowTracker
from codex.sessionlog import SessionLog

if TYPE_CHECKING:
    from codex.evaluation.verdict import Verdict
    from codex.training.engine import StepMetrics


_NEVER = object()
"""No loss equals it."""


class Recorder:
    """Hooks of one training run; a context manager that closes what it opened.

    A step that is replayed after a resume is written again only when it came out differently, and then counts instead of the old one.

    Args:
        context: the supervised run.
        config: what it was asked to do.
    """

    def __init__(self, context: RunContext, config: RunConfig) -> None:
        self._context = context
        self._config = config
        self._workspace = Workspace(context.run.folder.parent.parent)
        self._log = SessionLog.open(self._workspace)
        self._session_id = session_of(context.run)
        self._points = series(self._log, self._session_id)
        self._known = {(point.step, point.split): point.loss for point in self._points}
        self._session = self._log.session(kind="training", title=context.run.title, id=self._session_id, run_id=context.run.id)
        self._last = (time.monotonic(), 0)
        self.tracking_problem: str | None = None
        self.last_loss = self._last_known("train")
        self.tracker: MlflowTracker | None = None
        if config.tracking.mlflow:
            self._guarded(self._open_tracker)

    def _last_known(self, split: str) -> float | None:
        return next((point.loss for point in reversed(self._points) if point.split == split), None)

    def figures_so_far(self) -> dict[str, float]:
        """The losses that were logged last when this attempt began, as the status shows them."""
        known = {"loss": self._last_known("train"), "heldout_loss": self._last_known("heldout")}
        return {name: loss for name, loss in known.items() if loss is not None}

    def _open_tracker(self) -> None:
        """Start MLflow's run, or go on with the one of an earlier attempt, with the steps that it had not written when that died."""
        kept = self._context.run.folder / "mlflow_run"
        earlier = kept.read_text().strip() if kept.exists() else ""
        self.tracker = MlflowTracker(self._workspace, self._config, self._context.run.title, earlier or None)
        write_atomic(kept, self.tracker.run_id)
        for point in self._points:
            self._to_tracker(self.tracker, point.step, point.split, point.loss, point.numbers)
        self.tracker.flush()
        self.tracker.last_step = max([self.tracker.last_step, *(point.step for point in self._points)])

    def __enter__(self) -> Recorder:
        self._session.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self.tracker is not None:
                self._track(lambda tracker: tracker.end(self._mlflow_status(error)))
        finally:
            if error is None or isinstance(error, StopRequested):
                self._session.close("finished" if error is None else "stopped")
            else:
                self._session.__exit__(kind, error, trace)
            self._log.close()
            compact_in_background(self._workspace)

    def _mlflow_status(self, error: BaseException | None) -> str:
        if error is None:
            return "FINISHED"
        return "KILLED" if isinstance(error, StopRequested) else "FAILED"

    def _track(self, act: Callable[[MlflowTracker], None]) -> None:
        """Do something with MLflow, as long as it takes what it is given."""
        tracker = self.tracker
        if tracker is not None:
            self._guarded(lambda: act(tracker))

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do something with MLflow; when that fails, training goes on, and the log and the report say so."""
        try:
            act()
        except MissingExtra:
            raise
        except Exception as error:  # noqa: BLE001 - a tracker's fault, whatever it is, must not end hours of training
            self.tracker = None
            self.tracking_problem = f"MLflow stopped taking metrics: {type(error).__name__}: {error}"
            self._session.append("warning", self.tracking_problem)

    def stop_requested(self) -> bool:
        """Whether a person asked to stop."""
        return self._context.stop_requested

    def on_step(self, step: int) -> None:
        """`step` optimizer steps are done."""
        self._context.progress(step=step)

    def on_metrics(self, metrics: StepMetrics) -> None:
        """A logged step was measured: into the status, the log and MLflow."""
        split = "heldout" if metrics.loss is None else "train"
        loss = metrics.heldout_loss if metrics.loss is None else metrics.loss
        rate = self._tokens_per_second(metrics) if split == "train" else None
        numbers = {
            "learning_rate": metrics.learning_rate,
            "grad_norm": metrics.grad_norm,
            "tokens": metrics.tokens,
            "tokens_per_s": rate,
            **(_memory() if self._config.tracking.system_metrics else {}),
        }
        present = {key: value for key, value in numbers.items() if value is not None}
        shown = {"loss": loss, "tokens_per_s": rate} if split == "train" else {"heldout_loss": loss}
        figures: dict[str, Any] = {key: value for key, value in shown.items() if value is not None}
        self._context.progress(step=metrics.step, note="training", **figures)
        self.last_loss = loss if split == "train" else self.last_loss
        self._track(lambda tracker: self._to_tracker(tracker, metrics.step, split, loss, present))
        if self._known.get((metrics.step, split), _NEVER) == loss:
            return
        self._session.append(
            "info",
            attributes={"split": split, "attempt": self._context.attempt, **present},
            step=metrics.step,
            loss=loss if loss is not None and math.isfinite(loss) else None,
        )

    def _to_tracker(self, tracker: MlflowTracker, step: int, split: str, loss: float | None, present: dict[str, float]) -> None:
        if step > tracker.last_step:
            named = {"loss" if split == "train" else "heldout_loss": loss, **present}
            tracker.log(step, {key: value for key, value in named.items() if value is not None})

    def _tokens_per_second(self, metrics: StepMetrics) -> float | None:
        before, tokens = self._last
        self._last = (time.monotonic(), metrics.tokens)
        elapsed = self._last[0] - before
        return (metrics.tokens - tokens) / elapsed if tokens and elapsed > 0 else None

    def verdict(self, verdict: Verdict) -> None:
        """The judgement: one durable event, and MLflow metrics."""
        self._session.append("assistant", verdict.sentence, attributes={"verdict": verdict.summary()})
        self._track(lambda tracker: tracker.log(self._config.training.steps, verdict.numbers()))


def _memory() -> dict[str, float]:
    """Memory of this process, GiB."""
    import psutil
    import torch

    figures = {"memory_gib": psutil.Process(os.getpid()).memory_info().rss / 2**30}
    if torch.cuda.is_available():
        figures["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return figures
