"""The JSON routes of "Make a data set": what it would be, and writing it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel

from codex.services import log_data
from codex.services.log_data import Choice, DataKind
from codex.services.sessions import Filters
from codex_ui.api import Fields, as_answer
from codex_ui.context import AppContext
from codex_ui.render import render

SHOWN = 2


class Asked(BaseModel):
    """What the panel says.

    Args:
        filters: the filters of the page's address, by name.
        session: only this one; "" for all that the list shows.
        kind: of data set.
        min_rating: which answers; see `Choice`.
    """

    filters: dict[str, str]
    session: str = ""
    kind: DataKind = "chat"
    min_rating: int = 0

    def choice(self, context: AppContext) -> Choice:
        """As the service takes it.

        Raises:
            UserError: no session fits, or a filter is wrong.
        """
        if self.session:
            return Choice(sessions=(self.session,), kind=self.kind, min_rating=self.min_rating)
        return Choice(context.sessions.chosen(Filters.of(self.filters)), kind=self.kind, min_rating=self.min_rating)


def data_routes(context: AppContext) -> APIRouter:
    """`/api/data/*` over one workspace."""
    router = APIRouter(prefix="/api/data")

    @router.post("/preview")
    @as_answer
    def preview(asked: Asked) -> Any:
        """What would be written, as HTML."""
        found = log_data.choose(context.workspace, asked.choice(context), shown=SHOWN)
        examples = [json.dumps(each, indent=2, ensure_ascii=False) for each in found.examples]
        return {"html": str(render("data-preview.html", found=found, examples=examples)), "examples": found.counts.examples}

    @router.post("/write")
    @as_answer
    def write(asked: Asked, name: Annotated[str, Body()]) -> Fields:
        """Write it into the workspace's `datasets`."""
        made = log_data.write(context.workspace, asked.choice(context), name)
        return {"html": str(render("data-written.html", made=made)), "source": made.source}

    return router
