"""The log in numbers, against plain counting."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from codex.core.events import Event
from codex.core.paths import Workspace
from codex.services.log_stats import SLOWEST, DayCount, KindCount, ModelTokens, Stats, stats
from codex.services.logs import open_log
from codex.services.sessions import Sessions
from tests.sessionlog.logs import DAY, MIDNIGHT, some_events, write_segments

EVENTS = [
    event.model_copy(update={"redacted": at % 3} | ({"model": "codex-tiny", "tokens_in": 7} if event.role == "error" else {}))
    for at, event in enumerate(some_events(400))
]  # an error of a model is no answer


def _agrees(found: Stats, events: Sequence[Event]) -> None:
    """Whether the numbers are those of `events`."""
    assert (found.events, found.sessions) == (len(events), len({event.session for event in events}))
    assert found.redacted == sum(event.redacted for event in events)
    roles = Counter((event.kind, event.role) for event in events)
    assert found.kinds == tuple(
        KindCount(kind, role, count) for (kind, role), count in sorted(roles.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    )
    days: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        days[datetime.fromtimestamp(event.ts, UTC).date().isoformat()].append(event)
    assert found.days == tuple(
        DayCount(day, len(those), len({event.session for event in those}), sum(event.role == "error" for event in those))
        for day, those in sorted(days.items())
    )
    answers = [event for event in events if event.model and event.role == "assistant"]
    tokens = (sum(event.tokens_in or 0 for event in answers), sum(event.tokens_out or 0 for event in answers))
    assert found.models == (ModelTokens("codex-tiny", len(answers), *tokens),)


def test_stats_are_the_same_before_and_after_compaction(workspace: Workspace) -> None:
    write_segments(workspace.log, EVENTS)
    _agrees(stats(open_log(workspace)), EVENTS)
    open_log(workspace).compact()
    _agrees(stats(open_log(workspace)), EVENTS)


def test_stats_of_a_time_count_what_is_from_its_beginning_to_before_its_end(workspace: Workspace) -> None:
    write_segments(workspace.log, EVENTS)
    since, until = EVENTS[50].ts, EVENTS[300].ts
    assert since > MIDNIGHT and until < MIDNIGHT + 3 * DAY
    log = open_log(workspace)
    _agrees(stats(log, since=since, until=until), EVENTS[50:300])
    _agrees(stats(log, since=since), EVENTS[50:])


def test_stats_tools_are_the_slowest_by_their_95th_percentile(workspace: Workspace) -> None:
    calls = {f"tool-{number:02}": [float(number * each) for each in range(1, 41)] for number in range(1, 14)}
    calls["once-slow"] = [1.0] * 39 + [1e6]
    rows = [(tool, latency) for tool, those in calls.items() for latency in those] + [("unmeasured", None)]
    alike = {"session": "s", "ts": 1.7e9, "role": "tool", "kind": "agent"}
    with open_log(workspace) as log:
        log.ingest(Event.model_validate({**alike, "seq": seq, "tool": tool, "latency_ms": took}) for seq, (tool, took) in enumerate(rows))
    found = stats(log).tools
    assert [each.tool for each in found] == sorted(calls.keys() - {"once-slow"}, reverse=True)[:SLOWEST]
    slowest = calls["tool-13"]
    assert (found[0].calls, found[0].max_ms) == (40, max(slowest))
    assert found[0].median_ms == pytest.approx(statistics.median(slowest))
    assert found[0].p95_ms == pytest.approx(statistics.quantiles(slowest, n=100, method="inclusive")[94])


def test_stats_disk_adds_up_to_all_files(workspace: Workspace) -> None:
    write_segments(workspace.log, EVENTS)
    log = open_log(workspace)
    log.compact()
    found = stats(log).disk
    sizes = {path.relative_to(workspace.log): path.stat().st_size for path in workspace.log.rglob("*") if path.is_file()}
    assert found.total == sum(sizes.values())
    assert found.segments + found.parts + found.rollup + found.text + found.other == found.total
    for name, shown in (("segments", found.segments), ("parts", found.parts), ("text-1", found.text)):
        assert shown == sum(size for path, size in sizes.items() if path.parts[0] == name) > 0
    assert found.rollup == sum(size for path, size in sizes.items() if path.name.startswith("sessions-")) > 0
    assert found.per_event == found.total / len(EVENTS)


def test_stats_count_what_the_sessions_page_counts_and_ratings_by_themselves(workspace: Workspace) -> None:
    write_segments(workspace.log, EVENTS)
    with open_log(workspace) as log:
        log.annotate("s-1", 0, rating=1)
        log.annotate("s-1", 0, note="And a note.")
    _agrees(found := stats(open_log(workspace)), EVENTS)
    totals = Sessions(workspace).totals()
    assert (found.events, found.sessions, found.annotations) == (totals.events, totals.sessions, 2)
    assert stats(open_log(workspace), until=EVENTS[-1].ts).annotations == 0


def test_stats_of_no_log_are_zeros(workspace: Workspace) -> None:
    found = stats(open_log(workspace))
    assert (found.events, found.sessions, found.redacted, found.kinds, found.days, found.tools, found.models) == (0, 0, 0, (), (), (), ())
    assert (found.disk.total, found.disk.per_event) == (0, None)
    assert not workspace.root.exists()
