"""Statements that change something are found wherever DuckDB would run them, and words that only look so are not."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex.sessionlog.statements import change_in

CHANGES = (
    "copy t to 'x'",
    "copy (select 1) to 'x'",
    "copy t from 'x'",
    "insert into t values (1) returning *",
    "update t set a = 1 returning *",
    "delete from t returning *",
    "merge into t using t as u on true when matched then delete",
    "truncate t",
    "create table u as select 1",
    "create table u as pivot t on a using count(*)",
    "insert into t pivot t on a using count(*)",
    "drop table t",
    "alter table t add column b int",
    "call pragma_version()",
    "set threads = 1",
    "pragma version",
    "vacuum",
    "prepare p as select 1",
)
WAYS_IN = (
    "{}",
    "with x as ({}) select 1",
    "with x as materialized ({}) from x",
    "with x as not materialized ({}) from x",
    "with y as (select 1), x(a, b) as ({}) from x",
    "select * from (with x as ({}) select 1)",
    "select (with x as ({}) select 1)",
    "with k as (select 1) {}",
    "explain {}",
    "explain analyze {}",
    "explain (format json) {}",
    "explain (analyze, format json) with k as (select 1) {}",
    "explain analyze with x as ({}) select 1",
    "explain (with x as ({}) select 1)",
)
CONNECTION = duckdb.connect(":memory:")
ASKING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)


def _admitted(query: str) -> bool:
    """Whether DuckDB itself takes the query for a question."""
    try:
        kinds = [statement.type for statement in CONNECTION.extract_statements(query)]
    except duckdb.Error:
        return False
    return len(kinds) == 1 and kinds[0] in ASKING


def test_change_that_duckdb_takes_for_a_question_is_found() -> None:
    admitted = [query for way in WAYS_IN for change in CHANGES if _admitted(query := way.format(change))]
    assert len(admitted) > 80, "these ways in are there; if DuckDB has closed them, so much the better"
    assert [query for query in admitted if change_in(query) is None] == []


@given(
    way=st.sampled_from([way for way in WAYS_IN if _admitted(way.format("copy t to 'x'"))]),
    gap=st.sampled_from((" ", "\n\t", "/* select */", " -- (\n", "/* ; */ ", "\r\n/**/")),
    upper=st.booleans(),
)
def test_change_is_found_behind_any_gap_and_in_any_case(way: str, gap: str, upper: bool) -> None:
    query = way.replace("{}", f"{gap}copy{gap}t{gap}to 'x'").replace("as (", f"as{gap}({gap}").replace("explain ", f"explain{gap}")
    assert change_in(query.upper() if upper else query)


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "(select 1)",
        "((select 1) union (select 2))",
        "; select 1 ;",
        "from events",
        "values (1)",
        "table events",
        "describe events",
        "summarize events",
        "show tables",
        "pivot events on role using count(*)",
        "explain select 1",
        "explain (select 1)",
        "explain (format json) select 1",
        "explain analyze from events",
        "with x as (select 1), y as materialized (from x) select * from y",
        'select \'copy t to x\', "delete", $$drop table t$$ from events as "insert" -- update\n/* create */',
        "select content from events where content = 'with x as (delete from t)'",
        "select replace(content, 'a', 'b'), 'é🦉' as copy, update from events",
        'select (1) as "update" from (values (1)) as t("delete")',
        "select cast(seq as varchar) from events",
        "",
        "selct 1",
        "select '",
    ],
)
def test_question_is_left_to_duckdb(query: str) -> None:
    assert change_in(query) is None


def test_what_is_found_is_named() -> None:
    assert change_in("EXPLAIN Analyze CREATE table t as select 1") == "it begins with CREATE"
    assert change_in("with x as (Copy t to 'x') from x") == "a part of it begins with COPY"
