"""Queries that no person should get through with, a workspace that they are let loose on, and what tells whether they changed it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from codex.core.paths import Workspace
from codex.sessionlog import SessionLog

SECRET = "the-secret-of-another-file"

REFUSED = (
    # statements that write
    "copy (select 1) to '{new}'",
    "copy events to '{new}' (format csv)",
    "copy (select 1 as a) to '{part}' (format parquet, use_tmp_file false)",
    "copy (pivot events on role using count(*)) to '{part}' (use_tmp_file false)",
    "export database '{new}'",
    "import database '{log}'",
    "attach '{new}' as other",
    "attach '{database}' (type sqlite)",
    "detach memory",
    "use memory",
    "install httpfs",
    "load httpfs",
    "load '{database}'",
    "update extensions",
    "pragma version",
    "pragma enable_profiling",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "set memory_limit = '100GB'",
    "reset threads",
    "set variable x = 1",
    "create table t as select 1",
    "create temp table t as select 1",
    "create or replace view events as select 1",
    "create table t as pivot events on role using count(*)",
    "create macro f() as 1",
    "create secret (type http)",
    "insert into events select * from events",
    "insert into events pivot events on role using count(*)",
    "update events set content = ''",
    "delete from events",
    "truncate events",
    "merge into events using events as other on true when matched then delete",
    "drop view events",
    "alter view events rename to gone",
    "comment on view events is 'x'",
    "call pragma_version()",
    "call enable_logging()",
    "checkpoint",
    "vacuum",
    "begin",
    "prepare p as select 1",
    "execute p",
    "connect 'x'",
    # statements within statements
    "with x as (copy (select 1 as a) to '{part}' (format parquet, use_tmp_file false)) select * from x",
    "with x as materialized (copy (select 1) to '{new}') select * from x",
    "with a as (with b as (insert into events values (1) returning *) select 1) select 1",
    "with x as (delete from events returning *) select * from x",
    "with x as (/* no */ truncate events) select 1",
    "explain analyze copy (select 1) to '{new}'",
    "explain (analyze, format json) copy (select 1 as a) to '{part}' (use_tmp_file false)",
    "explain analyze create table t as select 1",
    "explain analyze with a as (select 1) insert into events select 1",
    "explain set threads = 100",
    "explain analyze (with x as (copy (select 1) to '{new}') select 1)",
    # several statements
    "select 1; drop view events",
    "select 1; -- only one\ncopy (select 1) to '{new}'",
    "select 1 /* ; */; copy (select 1) to '{new}'; --",
    "explain select 1; attach '{new}'",
    "-- select 1\ndrop view events",
    "/* select */ /* from /* nested */ events */ drop view events",
    # files and the network
    "select * from read_csv('/etc/passwd')",
    "select * from read_csv('{status}')",
    "select * from read_json('{status}')",
    "select * from read_json_objects('{status}')",
    "select * from read_text('{status}')",
    "select * from read_blob('{database}')",
    "select * from read_text('{root}/*/*/*.json')",
    "select * from read_text(['{status}'])",
    "select * from read_text('{part}/../../../../mlflow.db')",
    "select * from read_text('{days}/../../mlflow.db')",
    "select * from read_text('{log}/../mlflow.db')",
    "select * from read_text('file://{status}')",
    "select * from read_text('/proc/self/environ')",
    "select * from read_text('/proc/self/maps')",
    "select * from read_parquet('{log}/**/*.parquet', filename = true)",
    "select * from parquet_metadata('{new}')",
    "select * from sniff_csv('{status}')",
    "select * from glob('{root}/**')",
    "select * from '/etc/passwd'",
    "select * from '{status}'",
    "from '{database}'",
    "select * from 'https://127.0.0.1:1/x.csv'",
    "select * from read_csv('http://127.0.0.1:1/x.csv')",
    "select * from read_parquet('s3://bucket/x.parquet')",
    "select * from read_duckdb('{database}')",
    "select * from query('copy (select 1) to ''{new}''')",
    "select * from query('select * from read_text(''{status}'')')",
    "select * from query_table('{status}')",
    "select * from duckdb_secrets()",
    "select * from which_secret('s3://x', 's3')",
    "select getenv('HOME')",
    "select * from enable_logging()",
    "select * from enable_profiling()",
    "select * from create_external_resource('x')",
    "select * from json_execute_serialized_sql(json_serialize_sql('select * from read_text(''{status}'')'))",
    # nothing, and too much of it
    "",
    "   ;;  ",
    "selct 1",
    "{",
    "select '",
    "select 'x",
    'select "',
    "select " + "(" * 10_000 + "1" + ")" * 10_000,
    "select " + "[" * 10_000 + "]" * 10_000,
    "select " + "not " * 20_000 + "true",
    "select 1" + "+1" * 40_000,
    "select nonsense from events",
    "select repeat('x', 10000000000)",
    "select range(10000000000)",
    "select factorial(1000000000)",
    "select error('x') from events",
    "pivot (select range as a from range(200000)) on a using count(*)",
)
"""None of these is answered."""

HARMLESS = (
    "select * from read_blob('{part}')",
    "select * from parquet_file_metadata('{part}')",
    "select * from checkpoint()",
    "select * from truncate_duckdb_logs()",
    "select * from duckdb_settings()",
    "select * from duckdb_functions()",
    "select * from query_table('events')",
    "explain analyze select * from events",
    'select 1 as copy, 2 as "drop table", \'delete from events; --\' as "insert"',
    "select write_log('x')",
    "select * from test_all_types()",
    "select regexp_matches(repeat('a', 100000) || 'b', '(a*)*(a*)*(a*)*c')",
    "select (repeat('[', 100000) || repeat(']', 100000))::json",
    "with recursive r as (select 1 as n union all select n + 1 from r) select n from r",
)
"""These may be answered; they show nothing but the log, and change nothing."""

TOO_LARGE = (
    "select repeat('x', 4000000000)",
    "select list_transform(range(1000000000), lambda x: x)",
    "select list(range) from range(1000000000000)",
    "select string_agg(repeat('x', 1000000), '') from range(1000000)",
    "select array_agg(a) from (select unnest(range(1000000)) as a from range(1000000))",
    "select * from range(1000000000) order by random()",
)
"""These need more memory than they may have, or more time."""

ENDLESS = (
    "with recursive r as (select 1 as n union all select n + 1 from r) select max(n) from r",
    "select count(*) from " + ", ".join(f"events as e{number}" for number in range(9)),
    "select sleep_ms(1000000)",
    "select count(*) from generate_series(1000000000000)",
    "with recursive r as (select 1 as n union select n + 1 from r) select max(n) from r",
    "select sum(range) from range(1000000000000)",
    "select regexp_replace(repeat('a', 10000000), '(a?){1000}', 'b', 'g')",
    "select printf('%2000000000d', 1)",
    "select lpad('x', 2000000000, 'y')",
    "select list_sort(range(100000000))",
    "select md5(repeat('x', 1000000000)) from range(100)",
    "with c0 as (select 1 as x union all select 2), "
    + ", ".join(f"c{number} as (select a.x from c{number - 1} as a, c{number - 1} as b)" for number in range(1, 30))
    + " select count(*) from c29",
)
"""These would never end."""

UNSENDABLE = ("select '" + "x" * 10_000_000 + "'", "select 1\0", "select '\ud800'")
"""No process is started for these."""


def make_workspace(root: Path) -> Workspace:
    """A workspace with a compacted and a live part of a log, and files that are nobody's business."""
    with SessionLog.open(root) as log, log.session("chat", "compacted") as session:
        for number in range(50):
            session.append("user", f"question {number}", tokens_in=number)
    with SessionLog.open(root) as log:
        log.compact()
        with log.session("chat", "live") as session:
            for number in range(50):
                session.append("assistant", f"answer {number}", tokens_out=number, model="codex-tiny")
    (root / "runs" / "r-0001").mkdir(parents=True)
    (root / "runs" / "r-0001" / "status.json").write_text(json.dumps({"state": SECRET}))
    (root / "mlflow.db").write_text(SECRET)
    return Workspace(root)


def filled_in(query: str, workspace: Workspace) -> str:
    """`query` with the workspace's own paths in it."""
    root = workspace.root
    part = next(iter(sorted(root.glob("log/parts/*/*.parquet"))))
    names = {
        "new": root / "new",
        "part": part,
        "days": part.parent.parent,
        "log": workspace.log,
        "root": root,
        "status": root / "runs" / "r-0001" / "status.json",
        "database": root / "mlflow.db",
    }
    for name, path in names.items():
        query = query.replace(f"{{{name}}}", str(path))
    return query


def contents(workspace: Workspace) -> dict[str, bytes | None]:
    """The bytes of every file in the workspace by its name; None for a folder."""
    return {str(path.relative_to(workspace.root)): path.read_bytes() if path.is_file() else None for path in workspace.root.rglob("*")}


def fingerprint(workspace: Workspace) -> str:
    """SHA-256 over the names, sizes and bytes of everything in the workspace."""
    whole = hashlib.sha256()
    for name, data in sorted(contents(workspace).items()):
        whole.update(f"{name}\0{data is None}\0{len(data or b'')}\0".encode() + (data or b""))
    return whole.hexdigest()


def changed_bytes(before: dict[str, bytes | None], after: dict[str, bytes | None]) -> int:
    """How many bytes, and names, are not as they were; a file that changed counts whole."""
    changed = [name for name in before.keys() | after.keys() if name not in before or name not in after or before[name] != after[name]]
    return sum(1 + max(len(before.get(name) or b""), len(after.get(name) or b"")) for name in changed)
