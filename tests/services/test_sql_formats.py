"""Answers leave as they are: every type of DuckDB's, as rows, CSV, JSON and Parquet, and no more than fits."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from codex.services import sql_formats
from codex.services.sql_formats import Broken
from codex.services.sql_frames import Frame, Frames, Replies

MILLION = 10**6
Send = Callable[..., tuple[tuple[int, bool], list[Frame]]]


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """What a sender sends of a query's answer: what it returns, and the frames."""

    def sent(sender: Callable[..., Any], query: str, **limits: int) -> tuple[tuple[int, bool], list[Frame]]:
        path = tmp_path / "frames"
        with open(path, "wb") as file:
            told = sender(duckdb.connect(":memory:").sql(query), Replies(file.fileno()), **{"most_bytes": MILLION, **limits})
        return told, list(Frames().add(path.read_bytes()))

    return sent


def _rows(frames: list[Frame]) -> list[Any]:
    return [row for frame in frames if isinstance(frame, dict) for row in frame.get("rows", ())]


def _file(frames: list[Frame]) -> bytes:
    return b"".join(frame for frame in frames if isinstance(frame, bytes))


VALUES = """
select 1::tinyint as small, 18446744073709551615::ubigint as large, sum(170141183460469231731687303715884105)::hugeint as wide,
    1.50::decimal(10, 2) as price, 'nan'::double as nan, '-infinity'::float as inf, 0.1::double as tenth, true as yes, null as nothing,
    'a"b,é' || chr(10) || '🦉' as text, '' as empty, '\\x00a'::blob as raw,
    date '2026-11-23' as day, timestamp '2026-11-23 10:00:00.5' as time,
    interval 3 day as span, [1, null] as list, {'a': 'x', 'b': [1.5]} as struct, map {'k': 1} as map, '{"a": 1}'::json as json,
    'b'::enum('a', 'b') as choice, '0b5e3fcb-2d5f-4a7a-9d3a-0d3c6a6f9d11'::uuid as uuid
"""


def test_row_holds_numbers_as_numbers_and_the_rest_as_text(send: Send) -> None:
    (rows, truncated), frames = send(sql_formats.send_rows, VALUES, most_rows=10)
    assert (rows, truncated) == (1, False)
    assert isinstance(frames[0], dict)
    columns = frames[0]["columns"]
    row = dict(zip([name for name, *_ in columns], _rows(frames)[0], strict=True))
    assert math.isnan(row.pop("nan")) and row.pop("inf") == -math.inf
    assert row == {
        "small": 1,
        "large": 2**64 - 1,
        "wide": 170141183460469231731687303715884105,
        "price": "1.50",
        "tenth": 0.1,
        "yes": True,
        "nothing": None,
        "text": 'a"b,é\n🦉',
        "empty": "",
        "raw": "\\x00a",
        "day": "2026-11-23",
        "time": "2026-11-23 10:00:00.5",
        "span": "3 days",
        "list": "[1,null]",
        "struct": '{"a":"x","b":[1.5]}',
        "map": '{"k":1}',
        "json": '{"a": 1}',
        "choice": "b",
        "uuid": "0b5e3fcb-2d5f-4a7a-9d3a-0d3c6a6f9d11",
    }
    assert {name for name, _, numeric in columns if numeric} == {"small", "large", "wide", "price", "nan", "inf", "tenth"}
    assert [kind for name, kind, _ in columns if name in ("price", "list")] == ["DECIMAL(10,2)", "INTEGER[]"]


@pytest.mark.parametrize("sender", [sql_formats.send_rows, *sql_formats.WRITERS.values()])
def test_every_type_of_duckdb_can_be_sent(send: Send, sender: Callable[..., Any]) -> None:
    # Numbers above 38 digits are in no file: they are an error of DuckDB's there.
    too_wide = "" if sender is sql_formats.send_rows else "exclude (bignum, hugeint, uhugeint)"
    limits = {"most_rows": 10} if sender is sql_formats.send_rows else {}
    assert send(sender, f"select * {too_wide} from test_all_types()", **limits)[0] == (3, False)


def test_whole_number_that_no_file_holds_is_an_error(send: Send) -> None:
    with pytest.raises((duckdb.ConversionException, Broken), match="170141183460469231731687303715884105727"):
        send(sql_formats.send_csv, "select 170141183460469231731687303715884105727::hugeint")


def test_csv_is_read_back_as_it_was(send: Send) -> None:
    _, frames = send(sql_formats.send_csv, VALUES)
    (row,) = csv.DictReader(io.StringIO(_file(frames).decode(), newline=""))
    assert row["text"] == 'a"b,é\n🦉' and row["price"] == "1.50" and row["wide"] == "170141183460469231731687303715884105"
    assert (row["nan"], row["inf"], row["yes"], row["nothing"]) == ("nan", "-inf", "true", "")
    assert row["struct"] == '{"a":"x","b":[1.5]}' and row["day"] == "2026-11-23"


def test_json_is_one_valid_document(send: Send) -> None:
    _, frames = send(sql_formats.send_json, f"{VALUES} from range(3)")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(_file(frames), parse_constant=refuse)
    row = dict(zip(document["columns"], document["rows"][0], strict=True))
    assert (row["nan"], row["inf"], row["large"], row["nothing"]) == ("NaN", "-Infinity", 2**64 - 1, None)
    assert document["truncated"] is False and document["types"][0] == "TINYINT"


def test_parquet_keeps_types(send: Send) -> None:
    _, frames = send(sql_formats.send_parquet, VALUES)
    table = pl.read_parquet(io.BytesIO(_file(frames)))
    row = table.row(0, named=True)
    assert row["price"] == Decimal("1.50") and row["wide"] == 170141183460469231731687303715884105 and row["raw"] == b"\x00a"
    assert row["day"].isoformat() == "2026-11-23" and row["time"].isoformat() == "2026-11-23T10:00:00.500000"
    assert table.schema["small"] == pl.Int8 and math.isnan(row["nan"]) and row["list"] == "[1,null]"


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_answer_without_rows_is_a_whole_file(send: Send, format: str) -> None:
    told, frames = send(sql_formats.WRITERS[format], "select 1 as a, 'x' as b where false")
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet, "json": lambda file: pl.DataFrame(schema=json.load(file)["columns"])}[format]
    table = read(io.BytesIO(_file(frames)))
    assert told == (0, False) and table.columns == ["a", "b"] and table.height == 0


def test_columns_of_one_name_stay_apart(send: Send) -> None:
    query = 'select 1 as a, 2 as a, 3 as a_2, 4 as "say ""a"""'
    _, frames = send(sql_formats.send_rows, query, most_rows=1)
    assert isinstance(frames[0], dict)
    assert [name for name, *_ in frames[0]["columns"]] == ["a", "a", "a_2", 'say "a"'] and _rows(frames) == [[1, 2, 3, 4]]
    table = pl.read_parquet(io.BytesIO(_file(send(sql_formats.send_parquet, query)[1])))
    assert table.columns == ["a", "a_2", "a_2_2", 'say "a"'] and table.row(0) == (1, 2, 3, 4)


def test_order_is_kept_over_many_batches(send: Send) -> None:
    told, frames = send(sql_formats.send_rows, "select range as n from range(10000) order by n desc", most_rows=20_000)
    assert told == (10_000, False) and _rows(frames) == [[number] for number in reversed(range(10_000))]


@pytest.mark.parametrize(("most", "sent"), [(1, (1, True)), (9_999, (9_999, True)), (10_000, (10_000, False)), (10_001, (10_000, False))])
def test_rows_beyond_the_limit_are_left_out_and_said(send: Send, most: int, sent: tuple[int, bool]) -> None:
    told, frames = send(sql_formats.send_rows, "select range as n from range(10000)", most_rows=most)
    assert told == sent and _rows(frames) == [[number] for number in range(sent[0])]


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
@pytest.mark.parametrize("most_bytes", [200, 5_000, 50_000])
def test_file_ends_with_the_last_row_that_fits(send: Send, format: str, most_bytes: int) -> None:
    (rows, truncated), frames = send(
        sql_formats.WRITERS[format], "select range as n, 'é' || n as t from range(100000)", most_bytes=most_bytes
    )
    data = _file(frames)
    assert truncated and 0 < rows < 100_000
    if format == "json":
        document = json.loads(data)
        numbers = [number for number, _ in document["rows"]]
        assert document["truncated"]
    else:
        numbers = (pl.read_csv if format == "csv" else pl.read_parquet)(io.BytesIO(data))["n"].to_list()
    assert numbers == list(range(rows))
    if format != "parquet":
        assert most_bytes * 0.7 < len(data) <= most_bytes


@pytest.mark.parametrize("most_bytes", range(40_000, 40_008))
def test_file_is_as_large_as_it_may_be_to_the_row(send: Send, most_bytes: int) -> None:
    (rows, truncated), frames = send(sql_formats.send_json, "select 1000 + range as n from range(9000)", most_bytes=most_bytes)
    size = len(_file(frames))
    assert truncated and rows > sql_formats.BATCH_ROWS and most_bytes - len(",\n[1000]") <= size + 1 and size <= most_bytes


def test_rows_end_with_the_last_that_fits(send: Send) -> None:
    (rows, truncated), frames = send(sql_formats.send_rows, "select repeat('x', 98) from range(5000)", most_rows=5000, most_bytes=300_000)
    assert truncated and rows == len(_rows(frames)) == 300_000 // 102


def test_error_in_the_middle_is_told_apart(send: Send) -> None:
    with pytest.raises(Broken, match="Invalid Input Error: late"):
        send(
            sql_formats.send_rows, "select case when range > 50000 then error('late') else range end from range(100000)", most_rows=200_000
        )


@pytest.mark.parametrize("step", [1, 4096, 10**7])
def test_frames_come_together_whatever_the_pieces(tmp_path: Path, step: int) -> None:
    path = tmp_path / "frames"
    size = 10 if step == 1 else 2**20 + 1
    with open(path, "wb") as file:
        replies = Replies(file.fileno())
        replies.message(a=1, inf=math.inf)
        replies.data(b"x" * size)
        replies.rows(["[1]", "[2]"])
    data, frames = path.read_bytes(), Frames()
    got = [frame for at in range(0, len(data), step) for frame in frames.add(data[at : at + step])]
    assert got == [{"a": 1, "inf": math.inf}, *([b"x" * 10] if step == 1 else [b"x" * 2**20, b"x"]), {"rows": [[1], [2]]}]
