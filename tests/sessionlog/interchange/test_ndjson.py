"""JSON lines: ours come back as they went, those of others are read or refused as a whole."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog import SessionLog
from codex.sessionlog.frames import encode
from codex.sessionlog.interchange import ndjson
from tests.sessionlog.interchange.made import EVENTS, an_event, values

PLAIN = b'{"ts": 1763.25, "session_id": "s", "role": "user", "message": "hello"}\n'


def read(text: bytes) -> list[Event]:
    return list(ndjson.read(io.BytesIO(text)))


def refusal(text: bytes) -> str:
    with pytest.raises(UserError) as caught:
        next(ndjson.read(io.BytesIO(text)), None)
    return str(caught.value)


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_events_come_back_as_they_went(events: list[Event]) -> None:
    stream = io.BytesIO()
    assert ndjson.write(stream, iter(events)) == len(events)
    lines = stream.getvalue().split(b"\n")
    assert lines.pop() == b"" and all(list(json.loads(line)) == list(Event.model_fields) for line in lines)
    assert [values(event) for event in read(stream.getvalue())] == [values(event) for event in events]


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz"])
def test_file_is_packed_by_its_name(tmp_path: Path, name: str) -> None:
    events = [an_event(seq) for seq in range(3)]
    assert ndjson.write(tmp_path / name, events) == 3
    raw = (tmp_path / name).read_bytes()
    assert (gzip.decompress(raw) if name.endswith("gz") else raw).count(b"\n") == 3
    assert list(ndjson.read(tmp_path / name)) == events


def test_existing_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"mine")
    with pytest.raises(UserError, match="is there already"):
        ndjson.write(tmp_path / "a.ndjson", [an_event()])
    assert (tmp_path / "a.ndjson").read_bytes() == b"mine"


def test_segment_of_a_log_is_read(log: SessionLog, segments: Path) -> None:
    with log.session("training", "a run", id="t", run_id="r1") as session:
        session.append("info", step=1, loss=float("inf"))
        session.append("user", "hé \x00 🦉", attributes={"deep": {"a": [1, None]}})
    (segment,) = segments.iterdir()
    assert list(ndjson.read(segment)) == log.events("t")


def test_damaged_frame_is_named_and_nothing_is_given() -> None:
    frames = [encode(an_event(seq)) for seq in range(3)]
    frames[1] = frames[1].replace(b"hello", b"hullo")
    assert "`crc` is" in refusal(b"".join(frames)) and "(line 2 of the input)" in refusal(b"".join(frames))
    assert [event.seq for event in read(frames[0] + frames[2])] == [0, 2]


@pytest.mark.parametrize(
    "line", [PLAIN, PLAIN.replace(b"session_id", b"session").replace(b"message", b"content"), b"\xef\xbb\xbf" + PLAIN, PLAIN.strip()]
)
def test_plain_row_is_read_under_either_name(line: bytes) -> None:
    assert read(line) == [an_event()]


def test_empty_lines_and_an_empty_input_are_nothing() -> None:
    assert read(b"") == [] and read(b"\n\r\n  \n") == [] and len(read(b"\n" + PLAIN + b"\r\n" + PLAIN)) == 2


def test_rows_without_seq_are_numbered_in_their_order() -> None:
    rows = [(9, "a"), (1, "b"), (3, "a"), (2, "a"), (1, "b")]
    lines = b"".join(json.dumps({"ts": ts, "session": session, "role": "ai", "message": ""}).encode() + b"\n" for ts, session in rows)
    assert [(event.session, event.seq, event.ts) for event in read(lines)] == [
        ("a", 0, 9),
        ("b", 0, 1),
        ("a", 1, 3),
        ("a", 2, 2),
        ("b", 1, 1),
    ]


@pytest.mark.parametrize("numbered", [PLAIN.replace(b"{", b'{"seq": 5, '), encode(an_event(5))], ids=["plain", "frame"])
def test_rows_with_and_without_seq_are_not_mixed(numbered: bytes) -> None:
    assert "only some lines have `seq` (line 2 of the input)" in refusal(PLAIN + numbered)
    assert "only some lines have `seq` (line 2 of the input)" in refusal(numbered + PLAIN)


@pytest.mark.parametrize("line", [b"{", b"[1]", b"null", b"text", b'{"a": 1} {"b": 2}', b"\xff\xfe", b'{"a":' * 10_000])
def test_line_that_is_no_object_is_refused(line: bytes) -> None:
    assert "(line 2 of the input); expected one JSON object a line" in refusal(PLAIN + line)


def test_bad_lines_are_all_counted_and_nothing_is_given() -> None:
    message = refusal(PLAIN + PLAIN.replace(b"user", b"robot") * 30 + b"oops\n")
    assert message.count("`role` is 'robot'") == 20 and "'the input' has 31 problems" in message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seq": 2**63 - 1}, "`seq` is 9223372036854775807 (line 1 of the input); expected less than or equal to 9007199254740992"),
        ({"tokens_in": 2**63 - 1}, "`tokens_in` is 9223372036854775807 (line 1 of the input); expected less than"),
        ({"ts": 253_402_300_799.5}, "(line 1 of the input); expected a time from 0001-01-03 to 9999-12-29, UTC"),
    ],
)
@pytest.mark.parametrize("framed", [False, True])
def test_value_that_sums_and_calendars_cannot_hold_is_refused(fields: dict[str, object], said: str, framed: bool) -> None:
    event = Event.model_construct(**{**an_event().model_dump(), **fields})
    assert said in refusal(encode(event) if framed else event.model_dump_json().encode())


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    assert read(PLAIN.replace(b"hello", rb"cut \ud83d"))[0].content == "cut \ufffd"


def test_pipe_is_read_whether_it_comes_as_a_stream_or_as_a_path(tmp_path: Path) -> None:
    def feed(write: Callable[[bytes], object]) -> threading.Thread:
        thread = threading.Thread(target=write, args=(PLAIN * 3,))
        thread.start()
        return thread

    reading, writing = os.pipe()
    with open(writing, "wb") as end, open(reading, "rb") as stream:
        feed(lambda data: (end.write(data), end.close())).join()
        assert len(list(ndjson.read(stream))) == 3
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    thread = feed(fifo.write_bytes)
    assert len(list(ndjson.read(fifo))) == 3
    thread.join()


def test_lines_that_are_added_meanwhile_are_not_given(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(PLAIN * 2)
    events = ndjson.read(path)
    first = next(events)
    with open(path, "ab") as file:
        file.write(b"never checked\n")
    assert [first.seq, *(event.seq for event in events)] == [0, 1]


@pytest.mark.parametrize(
    "content", [b"not packed", gzip.compress(PLAIN)[:-12], gzip.compress(PLAIN * 99)[:20] + b"x" * 30], ids=["plain", "torn", "damaged"]
)
def test_packed_file_that_is_damaged_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.ndjson\.gz' cannot be read"):
        list(ndjson.read(path))


def test_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="cannot be read"):
            list(ndjson.read(path))


def test_what_was_exported_goes_into_another_log(log: SessionLog, tmp_path: Path) -> None:
    with log.session("chat", "t", id="c") as session:
        session.append("user", "question")
        session.append("assistant", "answer", model="m", latency_ms=2.5)
    ndjson.write(tmp_path / "a.ndjson.gz", log.scan())
    with SessionLog.open(tmp_path / "other") as other:
        other.ingest(ndjson.read(tmp_path / "a.ndjson.gz"))
        assert other.events("c") == log.events("c")
