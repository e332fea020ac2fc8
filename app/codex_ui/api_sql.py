"""The JSON routes of the SQL tab: run a query and stop it, its whole answer as a file, queries that are kept.

Each query runs in a process of its own, which can only read the log and is killed at its limit: see `codex.services.ask`.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from codex.core.errors import UserError
from codex.services import queries
from codex.services.ask import Limits, ask, write_answer
from codex_ui.api import Fields, as_answer, in_words
from codex_ui.context import AppContext

SHOWN_ROWS: Final = 1_000
AT_ONCE: Final = 2
"""Queries that may run at the same time: each may take as much memory as the limits allow."""
WAIT_SECONDS: Final = 10.0
EXACT: Final = 2**53
"""Whole numbers beyond this a browser would round."""
FILE_LIMITS: Final = Limits(seconds=30.0)
MEDIA: Final = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class Desk:
    """The queries that run now, by the name that their page gave them."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._guard = threading.Lock()
        self._running: dict[str, threading.Event] = {}

    @contextmanager
    def place(self, name: str) -> Iterator[threading.Event]:
        """Room for one query; gives what stops it when set.

        Raises:
            UserError: others take all the room there is.
        """
        cancel = threading.Event()
        with self._guard:
            self._running[name] = cancel
        try:
            if not self._places.acquire(timeout=WAIT_SECONDS):
                raise UserError(f"{AT_ONCE} other queries run", "expected one of them to end soon", "Stop one, or run this one again.")
            try:
                yield cancel
            finally:
                self._places.release()
        finally:
            with self._guard:
                if self._running.get(name) is cancel:
                    del self._running[name]

    def stop(self, name: str) -> bool:
        """End a query; whether there was one of this name."""
        with self._guard:
            cancel = self._running.get(name)
        if cancel is not None:
            cancel.set()
        return cancel is not None


def sql_routes(context: AppContext) -> APIRouter:
    """`/api/sql/*` over one workspace."""
    router, desk = APIRouter(prefix="/api/sql"), Desk()
    _asking(router, context, desk)
    _keeping(router, context)
    return router


def _asking(router: APIRouter, context: AppContext, desk: Desk) -> None:
    @router.post("/run")
    @as_answer
    def run(query: Annotated[str, Body()], name: Annotated[str, Body(max_length=64)]) -> Any:
        """The first rows of an answer; `name` is for stopping it."""
        with desk.place(name) as cancel:
            answer = ask(query, workspace=context.workspace, limits=Limits(rows=SHOWN_ROWS), cancel=cancel)
        return {
            "columns": [{"name": each.name, "type": each.type, "numeric": each.numeric} for each in answer.columns],
            "rows": [[_shown(value) for value in row] for row in answer.rows],
            "truncated": answer.truncated,
            "seconds": answer.seconds,
        }

    @router.post("/stop")
    def stop(name: Annotated[str, Body(embed=True)]) -> Fields:
        return {"stopped": desk.stop(name)}

    @router.post("/download")
    @in_words
    def download(query: Annotated[str, Body()], format: Annotated[Literal["csv", "parquet"], Body()]) -> Any:
        """The whole answer as a file."""
        folder = TemporaryDirectory(prefix="codex-answer-")
        try:
            path = Path(folder.name) / f"answer.{format}"
            with desk.place(f"file {id(folder)}") as cancel:
                write_answer(query, path, format, workspace=context.workspace, limits=FILE_LIMITS, cancel=cancel)
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(path, media_type=MEDIA[format], filename=path.name, background=BackgroundTask(folder.cleanup))


def _keeping(router: APIRouter, context: AppContext) -> None:
    @router.post("/queries")
    @in_words
    def save(title: Annotated[str, Body()], query: Annotated[str, Body()], overwrite: Annotated[bool, Body()] = False) -> Any:
        kept = queries.Query(file_name(title), title, query)
        queries.save(kept, workspace=context.workspace, overwrite=overwrite)
        context.now.forget()
        return {"say": f"Saved as {kept.name}.sql in the workspace's `queries`.".replace("`", ""), "name": kept.name}

    @router.post("/queries/{name}/delete")
    @in_words
    def delete(name: str) -> Any:
        queries.delete(name, workspace=context.workspace)
        context.now.forget()
        return {"say": f"{name} is deleted."}


def file_name(title: str) -> str:
    """A file's name for a title: "Slow tools, 2026" → "slow_tools_2026".

    Raises:
        UserError: nothing of it can stand in one.
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:64].rstrip("_")
    if not name:
        raise UserError(f"the name {title[:80]!r} cannot be a query's", "expected letters or digits in it", "Choose another one.")
    return name


def _shown(value: Any) -> Any:
    """A value that a browser reads as it is: what its numbers cannot hold comes as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT else value
