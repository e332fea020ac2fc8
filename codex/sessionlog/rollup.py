"""The rollup: one row for each session, so that a list of sessions reads no events.

A row holds the session's first and last event in short, sums over all, and which roles, tools and models had a part in it.
Rows of the same session, one for what is compacted and one for what is not, fold into one.
"""

from __future__ import annotations

from typing import Final

from codex.sessionlog import schema

TYPES: Final = {
    "id": "varchar",
    "kind": "varchar",
    "title": "varchar",
    "started": "timestamp",
    "last": "timestamp",
    "first_seq": "bigint",
    "last_seq": "bigint",
    "events": "bigint",
    "run_id": "varchar",
    "outcome": "varchar",
    "errors": "bigint",
    "tokens_in": "bigint",
    "tokens_out": "bigint",
    "redacted": "bigint",
    "roles": "varchar[]",
    "tools": "varchar[]",
    "models": "varchar[]",
}
SETS: Final = ("roles", "tools", "models")
_SUMS: Final = ("tokens_in", "tokens_out", "redacted")
_MOST: Final = 2**63 - 1


def _sum(name: str) -> str:
    """SQL for the sum of a column; one that is larger than a column can hold is the largest that it can."""
    return f"least(greatest(coalesce(sum({name}), 0), {-_MOST}), {_MOST})::bigint as {name}"


_MARK = "case when contains(attributes::varchar, '\"session_event\"') then (attributes->>'$.session_event') end"


def of_events(rows: str) -> str:
    """SQL that makes the rollup of events.

    Args:
        rows: a table, view or subquery with the columns of parts.
    """
    return f"""
        select session as id,
            arg_min(kind, seq) as kind,
            arg_min(case when mark = 'opened' then content else '' end, seq) as title,
            min(time) as started,
            max(time) as last,
            min(seq) as first_seq,
            max(seq) as last_seq,
            count(*) as events,
            arg_min(run_id, seq) filter (run_id is not null) as run_id,
            arg_max_null(case when mark = 'ended' then coalesce(attributes->>'$.outcome', 'None') end, seq) as outcome,
            count(*) filter (role = 'error') as errors,
            {", ".join(_sum(name) for name in _SUMS)},
            list(distinct role order by role) as roles,
            coalesce(list(distinct tool order by tool) filter (tool is not null), []) as tools,
            coalesce(list(distinct model order by model) filter (model is not null), []) as models
        from (select *, {_MARK} as mark from {rows})
        group by session"""


def folded(rows: str) -> str:
    """SQL that folds rollup rows of the same session into one.

    Args:
        rows: a table or subquery with the columns of TYPES, each event counted in one row only.
    """
    sets = ", ".join(f"list_sort(list_distinct(flatten(list({name})))) as {name}" for name in SETS)
    return f"""
        select id,
            arg_min(kind, first_seq) as kind,
            arg_min(title, first_seq) as title,
            min(started) as started,
            max(last) as last,
            min(first_seq) as first_seq,
            max(last_seq) as last_seq,
            sum(events)::bigint as events,
            arg_min(run_id, first_seq) filter (run_id is not null) as run_id,
            arg_max_null(outcome, last_seq) as outcome,
            sum(errors)::bigint as errors,
            {", ".join(_sum(name) for name in _SUMS)},
            {sets}
        from {rows}
        group by id"""


def empty() -> str:
    """SQL for a rollup of nothing."""
    return schema.nothing(TYPES)
