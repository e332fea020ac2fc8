"""Parts: sorted Parquet files, each with the rows of one day, made from sealed segments or from smaller parts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from codex.core import files
from codex.core.events import Role
from codex.sessionlog import manifest as manifests
from codex.sessionlog import rollup, schema
from codex.sessionlog.frames import TORN, Damage, parse, plain_lines, tail
from codex.sessionlog.manifest import Part, StoredFile

if TYPE_CHECKING:
    import duckdb

FOLDER: Final = "parts"
SUFFIX: Final = ".parquet"
UNFINISHED: Final = "tmp_"  # how the name of a part begins that is being written
_SUM_CHARACTERS: Final = 32
ROW_GROUP_ROWS: Final = 16_384  # small enough to read one session without its neighbours, large enough to compress
_LINE_BYTES: Final = 2**20
_FILLED: Final = {"content": "coalesce(content, '')", "attributes": "coalesce(attributes, '{}'::json)", "redacted": "coalesce(redacted, 0)"}
"""What a frame leaves out because it is the default."""


@contextmanager
def workbench(folder: Path, memory_gib: float = 1.0) -> Generator[duckdb.DuckDBPyConnection]:
    """A DuckDB for making parts: it may spill into `folder`, and reaches nothing over the network."""
    import duckdb

    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": str(folder / "spill"),
        "memory_limit": f"{memory_gib}GiB",
        "threads": 1,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        connection.execute("set timezone = 'UTC'")
        yield connection
    finally:
        connection.close()


def quoted(text: str) -> str:
    """`text` as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def read_segments(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], scratch: Path) -> list[tuple[Path, Damage]]:
    """Put the good events of sealed segments into the table `fresh`, each event once; two others may stand under one number.

    A segment that is whole is read by DuckDB as it stands; of any other the good lines are written out first. What is good is
    decided as readers of live segments decide it: by the checksum and by `Event`.

    Args:
        connection: from `workbench`.
        paths: the segments, in the order in which they count when two hold the same event.
        scratch: a folder for what is written out.

    Returns:
        What was skipped, with its segment.
    """
    damaged: list[tuple[Path, Damage]] = []
    sources: dict[int, Path] = {}
    for at, path in enumerate(paths):
        source, bad = _whole(path, scratch)
        damaged += [(path, each) for each in bad]
        if source is not None:
            sources[at] = source
    if not _load(connection, sources):
        # A frame whose checksum is right but that is no event of ours: only looking at each finds it.
        sources = {at: _events_only(path, scratch) for at, path in enumerate(paths)}
        _load(connection, sources)
    _drop_repeated(connection)
    return damaged


def _whole(path: Path, scratch: Path) -> tuple[Path | None, list[Damage]]:
    """A file that holds just the good lines of a segment, and what else was there."""
    data = path.read_bytes()
    if not data:
        return None, []
    if plain_lines(data):
        return path, []
    parsed = parse(path.name, data)
    end = tail(path.name, data[parsed.consumed :], parsed.consumed)
    garbled = [end] if end.size and end.reason != TORN else []
    return _written(scratch, [good.line for good in parsed.good]), [*parsed.bad, *garbled]


def _events_only(path: Path, scratch: Path) -> Path:
    return _written(scratch, [good.line for good in parse(path.name, path.read_bytes()).good])


def _written(scratch: Path, lines: Sequence[bytes]) -> Path:
    path = scratch / f"{secrets.token_hex(8)}.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def _load(connection: duckdb.DuckDBPyConnection, sources: Mapping[int, Path]) -> bool:
    """Fill `fresh` from files of frames, each with the number that its rows have as `source`; False when a row is no event."""
    import duckdb

    columns = ", ".join(f"{name}: '{kind}'" for name, kind in schema.FRAME_TYPES.items())
    listed = ", ".join(quoted(str(path)) for path in sources.values())
    options = f"format = 'newline_delimited', columns = {{{columns}}}, maximum_object_size = {_longest(sources.values())}, filename = true"
    read = f"read_json([{listed}], {options})" if sources else schema.nothing({**schema.FRAME_TYPES, "filename": "varchar"})
    chosen = ", ".join(f"{_FILLED.get(name, name)} as {name}" for name in schema.STORED if name != "time")
    ranks = " ".join(f"when {quoted(str(path))} then {at}" for at, path in sources.items())
    order = f"case filename {ranks} end" if sources else "0"
    try:
        connection.execute(
            f"create or replace temp table fresh as select {chosen}, {schema.INSTANT} as time, {schema.INSTANT}::date as day,"
            f" {order}::integer as source from {read}"
        )
        roles = ", ".join(quoted(role) for role in get_args(Role))
        wrong = connection.execute(
            "select count(*) from fresh where session is null or seq is null or seq < 0 or time is null or kind is null"
            f" or role is null or role not in ({roles}) or redacted < 0"
        ).fetchone()
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfRangeException):
        return False
    return wrong == (0,)


def _longest(sources: Iterable[Path]) -> int:
    """Room for the longest line, bytes; DuckDB takes twice of it at once, so it gets no more than it needs."""
    longest = _LINE_BYTES
    for path in sources:
        if path.stat().st_size > longest:
            with open(path, "rb") as file:
                longest = max(longest, *map(len, file))
    return longest


def _drop_repeated(connection: duckdb.DuckDBPyConnection) -> None:
    """Of an event that stands there twice, the first counts."""
    if are_repeated(connection):
        first = "row_number() over (partition by session, seq, time, hash(role, content) order by source) = 1"
        connection.execute(f"create or replace temp table fresh as select * from fresh qualify {first}")


def are_repeated(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a number stands in `fresh` more than once."""
    distinct = "(select count(*) from (select distinct session, seq from fresh))"
    return connection.execute(f"select count(*) - {distinct} from fresh").fetchone() != (0,)


def others_of(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Find the events of `fresh` whose numbers other events have, and say how many of each source they are.

    Those of the table `there` have them, then those whose source was written to last: who goes on with a session does it after what
    was lost. The table `others` has their `rowid` as `id`.
    """
    connection.execute("create or replace temp table spans as select session, source, max(time) as newest from fresh group by all")
    connection.execute(
        "create or replace temp table others as select f.rowid as id, f.source from fresh f semi join there using (session, seq)"
        " union select f.rowid as id, f.source from fresh f join spans s using (session, source)"
        " qualify row_number() over (partition by f.session, f.seq order by s.newest desc, f.source, f.time desc, f.rowid) > 1"
    )
    counts = connection.execute("select source, count(*) from others group by source").fetchall()
    return {int(source): int(count) for source, count in counts}


def days_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """The days, as `2026-11-25`, that rows of `table` are of."""
    return [str(day) for (day,) in connection.execute(f"select distinct day from {table} order by day").fetchall()]


def write_day(connection: duckdb.DuckDBPyConnection, table: str, day: str, folder: Path) -> Part:
    """Write the rows of `table` of one day as a part below `folder`, the log's, synced but not yet published.

    Rows are sorted by when their session began that day, then by session and seq: a session's rows lie together, and so do
    those of one time, which is what lets a reader skip most row groups, whatever it looks for.
    """
    home = folder / FOLDER / day
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{UNFINISHED}{secrets.token_hex(8)}{SUFFIX}"
    columns = ", ".join(f"t.{name}" for name in (*schema.STORED, "day"))
    began = f"(select session, min(time) as began from {table} where day = {quoted(day)} group by session)"
    connection.execute(
        f"copy (select {columns} from {table} t join {began} using (session) where t.day = {quoted(day)} order by began, session, seq)"
        f" to {quoted(str(path))} (format parquet, compression zstd, compression_level 6, row_group_size {ROW_GROUP_ROWS},"
        f" parquet_version v2, use_tmp_file false, kv_metadata {{codex_schema: '{schema.VERSION}'}})"
    )
    facts = connection.execute(
        f"select count(*), epoch_us(min(time)) / 1e6, epoch_us(max(time)) / 1e6 from {table} where day = {quoted(day)}"
    ).fetchone()
    assert facts is not None, "an aggregate gives one row"
    return _synced(folder, path, day, facts)


def _synced(folder: Path, path: Path, day: str, facts: tuple[Any, ...]) -> Part:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    path = path.rename(path.with_name(f"{secrets.token_hex(4)}-{manifests.sha256(path)[:_SUM_CHARACTERS]}{SUFFIX}"))
    for above in (path.parent, path.parent.parent, folder):
        files.fsync_folder(above)
    known = manifests.stored(folder, str(path.relative_to(folder)))
    rows, first, last = facts
    return Part(**known.model_dump(), day=day, rows=rows, first=first, last=last, schema_version=schema.VERSION)


def sum_in_name(name: str) -> str:
    """The beginning of its SHA-256 that a part's name ends with, for whoever has no MANIFEST; empty in the names of earlier parts."""
    _, dash, given = name.removesuffix(SUFFIX).rpartition("-")
    return given if dash and len(given) == _SUM_CHARACTERS else ""


def write_rollup(connection: duckdb.DuckDBPyConnection, rows: str, folder: Path, generation: int) -> StoredFile:
    """Write a rollup, folded from the rollup rows of `rows`, sorted by id; synced, not yet published."""
    path = folder / f"sessions-{generation:08}-{secrets.token_hex(4)}.parquet"
    connection.execute(
        f"copy (select {', '.join(rollup.TYPES)} from ({rollup.folded(rows)}) order by id) to {quoted(str(path))}"
        " (format parquet, compression zstd, row_group_size 16384)"
    )
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    files.fsync_folder(folder)
    return manifests.stored(folder, path.name)


def uncompressed_bytes(connection: duckdb.DuckDBPyConnection, folder: Path, part: Part) -> int:
    """How much a part holds before compression, as its footer says."""
    query = "select coalesce(sum(total_uncompressed_size), 0)::bigint from parquet_metadata(?)"
    return int(connection.execute(query, [str(folder / part.name)]).fetchall()[0][0])


def mergeable(connection: duckdb.DuckDBPyConnection, folder: Path, parts: Sequence[Part], *, least: int, limit: int) -> list[list[Part]]:
    """Groups of at least `least` of these parts, each with at most `limit` bytes before compression."""
    groups: list[list[Part]] = [[]]
    held = 0
    for part in sorted(parts, key=lambda part: part.first):
        size = uncompressed_bytes(connection, folder, part)
        if size > limit / least:
            continue  # large enough as it is
        if held + size > limit:
            groups.append([])
            held = 0
        groups[-1].append(part)
        held += size
    return [group for group in groups if len(group) >= least]


def rows_of(folder: Path, parts: Sequence[Part]) -> str:
    """SQL for all rows of `parts`, whatever version they are of, with the columns of today: STORED and `day`."""
    if not parts:
        typed = {**schema.FRAME_TYPES, "time": "timestamp", "day": "date"}
        return schema.nothing({name: typed[name] for name in (*schema.STORED, "day")})
    selects: list[str] = []
    for version in sorted({part.schema_version for part in parts}):
        listed = ", ".join(quoted(str(folder / part.name)) for part in parts if part.schema_version == version)
        older = schema.in_older(version)
        columns = ", ".join(f"{older[name]} as {name}" if name in older else name for name in (*schema.STORED, "day"))
        selects.append(f"select {columns} from read_parquet([{listed}])")
    return "(" + " union all ".join(selects) + ")"
