"""The app's JSON routes: what changes on a page, a run's series, and what a person does to a run."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse

from codex import __version__
from codex.core.errors import CodexError, Problem, UserError
from codex.services import runs
from codex.services.metrics import Point
from codex.services.tracking import newest_experiment
from codex_ui.context import AppContext
from codex_ui.page import Live, Query, all_pages
from codex_ui.shell import shell_parts

COLUMNS = ("learning_rate", "grad_norm", "tokens_per_s", "memory_gib", "gpu_memory_gib")
Fields = dict[str, Any]


def api_routes(context: AppContext) -> APIRouter:
    """`/api/*` over one workspace."""
    router = APIRouter(prefix="/api")
    _reading(router, context)
    _doing(router, context)
    return router


def in_words(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler`, whose errors become problems as JSON instead of a traceback."""
    return _in_words(handler, 400)


def as_answer(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler`, where what a person got wrong is an answer as good as any, and no failed request: a typo in SQL."""
    return _in_words(handler, 200)


def _in_words(handler: Callable[..., Any], refused: int) -> Callable[..., Any]:
    @wraps(handler)
    def answered(*arguments: Any, **named: Any) -> Any:
        try:
            return handler(*arguments, **named)
        except UserError as error:
            return problems_json(error.problems, refused)
        except CodexError as error:
            return problems_json([Problem(str(error), "expected it to work", "Try again; the app's output says more.")], 500)

    return answered


def problems_json(problems: Any, status: int) -> JSONResponse:
    """Problems as every face says them."""
    return JSONResponse({"problems": _told(problems)}, status_code=status)


def _told(problems: Any) -> list[Fields]:
    return [{"what": one.what, "expected": one.expected, "fix": one.fix, "where": one.where, "text": str(one)} for one in problems]


def _reading(router: APIRouter, context: AppContext) -> None:
    pages = {page.name: page for page in all_pages()}

    @router.get("/health")
    def health() -> Fields:
        return {"app": "codex-ui", "version": __version__, "workspace": str(context.workspace.root)}

    @router.get("/live/{name}")
    @in_words
    def live(name: str, request: Request, seen: str = "") -> Any:
        """What of a page is not as the browser has it: `seen` holds a mark for each part that it has.

        A page of a run that is not there still has its shell; what is wrong stands beside it.
        """
        if name not in pages:
            raise UserError(f"page {name!r} is unknown", f"expected one of {', '.join(pages)}", "Open `/`.")
        query = {key: value for key, value in request.query_params.items() if key != "seen"}
        marks, parts, rest = context.now.kept(("live", name, tuple(sorted(query.items()))), lambda: _parts(name, query))
        had = dict(mark.split(":", 1) for mark in seen.split(",") if ":" in mark)
        new = {part: html for part, html in parts.items() if had.get(part) != marks[part]}
        return {"parts": new, "seen": ",".join(f"{part}:{mark}" for part, mark in marks.items()), **rest}

    def _parts(name: str, query: Query) -> tuple[dict[str, str], dict[str, str], Fields]:
        try:
            found, wrong = pages[name].live(context, query), None
        except UserError as error:
            found, wrong = Live(), error.problems
        parts = {part: str(html) for part, html in (*shell_parts(context).items(), *found.parts.items())}
        marks = {part: f"{zlib.crc32(html.encode()):x}" for part, html in parts.items()}
        return marks, parts, {"done": found.done} if wrong is None else {"problems": _told(wrong)}

    @router.get("/runs")
    @in_words
    def all_runs() -> Any:
        return {"runs": [{key: value for key, value in run.to_json().items() if key != "report"} for run in context.now.runs()]}

    @router.get("/runs/{run_id}")
    @in_words
    def one_run(run_id: str) -> Any:
        return context.now.run(run_id).to_json()

    @router.get("/runs/{run_id}/metrics")
    @in_words
    def metrics(run_id: str, since: int = 0) -> Any:
        """The points after the first `since` ones, in columns; ask next with `next`."""
        run = context.now.run(run_id)
        points = context.now.points(run.run.id)
        return {
            "run": run.run.id,
            "title": run.run.title,
            "next": len(points),
            "total": run.status.total,
            "done": run.ended,
            **columns(points[max(since, 0) :]),
        }


def columns(points: list[Point]) -> dict[str, list[Any]]:
    """Points as columns: step, split, ts, loss and each figure, None where it was not measured."""
    fixed = {"step": [point.step for point in points], "split": [point.split for point in points], "ts": [point.ts for point in points]}
    figures = {name: [point.numbers.get(name) for point in points] for name in COLUMNS}
    return {**fixed, "loss": [point.loss for point in points], **figures}


def _exact(run_id: str) -> str:
    """`run_id`, when it is an id: what a page does must not hit another run that is called so, or is the last by now.

    Raises:
        UserError: it is none.
    """
    if not re.fullmatch(r"r-\d{4,12}", run_id, re.ASCII):
        raise UserError(f"{run_id[:60]!r} is no run's id", "expected one such as `r-0001`", "Open the run's page, and act there.")
    return run_id


def _doing(router: APIRouter, context: AppContext) -> None:
    @router.post("/runs")
    @in_words
    def start(overrides: Annotated[list[str], Body(embed=True)]) -> Any:
        run_id = context.planner.start(overrides)
        context.now.forget()
        return {"run": run_id, "go": f"/run?id={run_id}"}

    @router.post("/runs/{run_id}/stop")
    @in_words
    def stop(run_id: str) -> Any:
        runs.stop(_exact(run_id), workspace=context.workspace, wait_s=0.0)
        return _done(f"{run_id} saves and stops.")

    @router.post("/runs/{run_id}/resume")
    @in_words
    def resume(run_id: str) -> Any:
        return _done(f"{context.planner.resume(_exact(run_id))} goes on.")

    @router.post("/runs/{run_id}/rename")
    @in_words
    def rename(run_id: str, title: Annotated[str, Body(embed=True)]) -> Any:
        return _done(f"{run_id} is now called {runs.rename(_exact(run_id), title, workspace=context.workspace).title}.")

    @router.post("/runs/{run_id}/delete")
    @in_words
    def delete(run_id: str) -> Any:
        runs.delete(_exact(run_id), workspace=context.workspace)
        return {**_done(f"{run_id} is deleted."), "go": "/runs"}

    @router.post("/warm")
    def warm() -> Fields:
        """Somebody is about to start something: load what that takes."""
        context.planner.warm()
        return {}

    @router.post("/side/{name}")
    @in_words
    def side(name: str) -> Any:
        if name not in context.side:
            raise UserError(
                f"program {name!r} is unknown", f"expected one of {', '.join(context.side)}", "Use the links of the navigation."
            )
        address = context.side[name].open()
        experiment = newest_experiment(context.workspace) if name == "tracker" else None
        return {"go": address if experiment is None else f"{address}#/experiments/{experiment}/runs"}

    def _done(text: str) -> Fields:
        context.now.forget()
        return {"say": text}
