"""The services on a log whose annotations are not what we would have written."""

from __future__ import annotations

from codex.core.paths import Workspace
from codex.services import log_data, log_keeping, log_stats, logs
from codex.services.log_data import Choice, Selection
from codex.services.sessions import Filters, Sessions
from tests.sessionlog.logs import write_segments
from tests.sessionlog.said import TALK, hostile, ratings_of


def test_log_with_any_annotation_in_it_is_read_by_every_service(workspace: Workspace) -> None:
    events = hostile(100, seed=7)
    wanted = ratings_of(events)
    write_segments(workspace.log, [*TALK, *events])
    log = logs.open_log(workspace)
    pages = Sessions(workspace)
    assert pages.totals().sessions == 1
    for rating, value in (("good", 1), ("bad", -1)):
        listed = pages.listed(Filters(rating=rating)).sessions
        assert [each.id for each in listed] == (["s"] if value in wanted.values() else [])
    assert len(pages.search(Filters(text="hello")).hits) == 4
    assert pages.stretch("s").said.keys() == logs.timeline(log, "s").annotations.keys() == wanted.keys()
    assert log_stats.stats(log).events == 4
    assert log_data.choose(workspace, Choice(Selection())).counts.sessions == 1
    assert log_keeping.examine(log).ok
