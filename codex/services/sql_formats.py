"""A query's answer on its way out, as rows or as a file, never all of it in memory.

Numbers up to 64 bits and booleans stay what they are. Dates, decimals, blobs and the like become DuckDB's own text, lists and structs
become JSON, except in Parquet, which has types for most of them.
"""

from __future__ import annotations

import json
import textwrap
from bisect import bisect_right
from collections.abc import Callable, Container, Iterator, Sequence
from io import BytesIO, RawIOBase
from itertools import accumulate, count
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from codex.services.sql_frames import Replies

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 2048
ROW_GROUP = 16_384
SHOWN_TYPE = 80

_EXACT = frozenset(
    {"boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint", "float", "double"}
)
_WIDE = frozenset({"hugeint", "uhugeint", "bignum"})
_NUMBERS = (_EXACT - {"boolean"}) | _WIDE | {"decimal"}
_NESTED = frozenset({"list", "array", "struct", "map", "tuple", "union"})
_IN_CSV = _EXACT | {"decimal"}
_IN_PARQUET = _IN_CSV | {"blob", "date", "time", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"}
_WIDE_IN_FILES = "decimal(38,0)"  # a value that needs more digits is an error of DuckDB's, not another value

Sent = tuple[int, bool]
"""How many rows were sent, and whether there were more."""


class Broken(Exception):
    """DuckDB broke off in the middle of its rows; Arrow has an error of its own for it, with DuckDB's message."""


def send_rows(relation: duckdb.DuckDBPyRelation, replies: Replies, *, most_rows: int, most_bytes: int) -> Sent:
    """Send the columns' names and types, then as many rows as may be."""
    kinds = [kind.id for kind in relation.types]
    shown = [textwrap.shorten(str(kind), SHOWN_TYPE, placeholder=" …") for kind in relation.types]
    replies.message(columns=list(zip(relation.columns, shown, [kind in _NUMBERS for kind in kinds], strict=True)))
    wide = [number for number, kind in enumerate(kinds) if kind in _WIDE]
    plain = _told(relation, _EXACT, "varchar", [str(number) for number in range(len(kinds))])
    sent = 0
    for batch in _batches(plain.to_arrow_reader(min(BATCH_ROWS, most_rows + 1))):
        texts = [json.dumps(_with_whole_numbers(row, wide)) for row in _values(batch)[: most_rows - sent]]
        fit = _how_many_fit(texts, most_bytes)
        replies.rows(texts[:fit])
        sent, most_bytes = sent + fit, most_bytes - sum(map(len, texts))
        if fit < batch.num_rows:
            return sent, True
    return sent, False


def send_csv(relation: duckdb.DuckDBPyRelation, replies: Replies, *, most_bytes: int) -> Sent:
    """Send it as CSV with a header; text stands in quotes, a missing value is nothing at all."""
    from pyarrow.csv import WriteOptions, write_csv  # pyright: ignore[reportMissingTypeStubs]

    def encode(part: Any, *, header: bool = False) -> bytes:
        made = BytesIO()
        write_csv(part, made, WriteOptions(include_header=header))
        return made.getvalue()

    reader = _told(relation, _IN_CSV, _WIDE_IN_FILES, _unique(relation.columns)).to_arrow_reader(BATCH_ROWS)
    head = encode(reader.schema.empty_table(), header=True)
    replies.data(head)
    return _send_parts(reader, encode, replies, most_bytes - len(head))


def send_json(relation: duckdb.DuckDBPyRelation, replies: Replies, *, most_bytes: int) -> Sent:
    """Send it as one JSON object, a row a line; numbers that are not finite are "NaN" and "Infinity", as in the log."""
    kinds = [kind.id for kind in relation.types]
    wide = [number for number, kind in enumerate(kinds) if kind in _WIDE]

    def encode(part: Any) -> bytes:
        return b",\n".join(to_json(_with_whole_numbers(row, wide), inf_nan_mode="strings") for row in _values(part))

    head = to_json({"columns": list(relation.columns), "types": [str(kind) for kind in relation.types]})[:-1] + b',"rows":[\n'
    replies.data(head)
    plain = _told(relation, _EXACT, "varchar", [str(number) for number in range(len(kinds))])
    room = most_bytes - len(head) - len(_end_of_json(False))
    rows, truncated = _send_parts(plain.to_arrow_reader(BATCH_ROWS), encode, replies, room, between=b",\n")
    replies.data(_end_of_json(truncated))
    return rows, truncated


def _end_of_json(truncated: bool) -> bytes:
    return b'\n],"truncated":%b}\n' % to_json(truncated)


def send_parquet(relation: duckdb.DuckDBPyRelation, replies: Replies, *, most_bytes: int) -> Sent:
    """Send it as Parquet; `most_bytes` are counted before it is compressed."""
    from pyarrow.parquet import ParquetWriter  # pyright: ignore[reportMissingTypeStubs]

    reader = _told(relation, _IN_PARQUET, _WIDE_IN_FILES, _unique(relation.columns)).to_arrow_reader(ROW_GROUP)
    rows = 0
    with ParquetWriter(_Sink(replies), reader.schema, compression="zstd") as writer:
        for batch in _batches(reader):
            fit = _fitting(batch, lambda part: part.nbytes, most_bytes)
            writer.write_batch(batch.slice(0, fit))
            rows, most_bytes = rows + fit, most_bytes - batch.nbytes
            if fit < batch.num_rows:
                return rows, True
    return rows, False


WRITERS: dict[str, Callable[..., Sent]] = {"csv": send_csv, "json": send_json, "parquet": send_parquet}


class _Sink(RawIOBase):
    """A file that is sent as it is written."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._replies.data(piece)
        self._at += len(piece)
        return len(piece)


def _send_parts(reader: Any, encode: Callable[[Any], bytes], replies: Replies, room: int, *, between: bytes = b"") -> Sent:
    """Send batch by batch, and of the one that does not fit into `room` bytes the rows that do."""
    rows = 0
    for batch in _batches(reader):
        lead = between if rows else b""
        data, fit = lead + encode(batch), batch.num_rows
        if len(data) > room:
            fit = _fitting(batch, lambda part, lead=lead: len(lead) + len(encode(part)), room)
            data = lead + encode(batch.slice(0, fit))
        if fit:
            replies.data(data)
            rows, room = rows + fit, room - len(data)
        if fit < batch.num_rows:
            return rows, True
    return rows, False


def _fitting(batch: Any, size: Callable[[Any], int], room: int) -> int:
    """How many of the first rows have at most so many bytes together."""
    if size(batch) <= room:
        return batch.num_rows
    return max(bisect_right(range(batch.num_rows), room, key=lambda rows: size(batch.slice(0, rows))) - 1, 0)


def _how_many_fit(texts: Sequence[str], room: int) -> int:
    return bisect_right(list(accumulate(map(len, texts))), room)


def _batches(reader: Any) -> Iterator[Any]:
    """The rows as they come."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except OSError as error:
            raise Broken(str(error)) from error
        yield batch


def _values(batch: Any) -> list[tuple[Any, ...]]:
    """The rows of a batch as Python's values."""
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _with_whole_numbers(row: Sequence[Any], wide: Sequence[int]) -> list[Any]:
    """The row with the numbers of more than 64 bits, which came as text, as numbers."""
    values = list(row)
    for number in wide:
        values[number] = None if values[number] is None else int(values[number])
    return values


def _told(relation: duckdb.DuckDBPyRelation, kept: Container[str], wide: str, names: Sequence[str]) -> duckdb.DuckDBPyRelation:
    """The answer with everything as text whose type is not in `kept`, and whole numbers of more than 64 bits as `wide`."""
    columns: list[str] = []
    for number, (kind, name) in enumerate(zip(relation.types, names, strict=True), 1):
        if kind.id in kept:
            value = f"#{number}"
        elif kind.id in _NESTED:
            value = f"to_json(#{number})::varchar"
        else:
            value = f"#{number}::{wide if kind.id in _WIDE else 'varchar'}"
        quoted = name.replace('"', '""')
        columns.append(f'{value} as "{quoted}"')
    return relation.project(", ".join(columns))


def _unique(names: Sequence[str]) -> list[str]:
    """`names`, each with a number behind it if it was there before; files cannot have a name twice."""
    given: list[str] = []
    for name in names:
        candidates = (name if number == 1 else f"{name}_{number}" for number in count(1))
        given.append(next(candidate for candidate in candidates if candidate not in given))
    return given
