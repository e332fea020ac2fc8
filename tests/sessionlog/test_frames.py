"""Frames are whole or not read, whatever happens to the bytes."""

from __future__ import annotations

import json
import math
import random
import zlib
from pathlib import Path

import numpy as np
import pytest

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog import SessionLog
from codex.sessionlog.frames import GARBLED, TORN, Damage, decode, encode, parse, tail

TEXTS = (
    "",
    "plain",
    'a "quoted" \\ word',
    "two\nlines\r\nand \u2028 \u0085 more",
    "nul \x00 inside",
    "Ω≈ç√ 漢字 🦉",
    '{"session":"x","seq":1}',
    "x" * 3000,
)


def an_event(seq: int, content: str = "hello", **fields: object) -> Event:
    return Event.model_validate({"session": "s", "seq": seq, "ts": 1763.25, "role": "info", "kind": "chat", "content": content, **fields})


@pytest.mark.parametrize("content", TEXTS, ids=range(len(TEXTS)))
def test_frame_is_one_json_line_that_reads_back(content: str) -> None:
    event = an_event(3, content, attributes={"session": {"deep": [1, 2.5, None, True, content]}}, tool="grep", tokens_in=2**53)
    frame = encode(event)
    assert frame.endswith(b'"}\n') and frame.count(b"\n") == 1
    assert decode(frame[:-1]) == event
    as_json = json.loads(frame)
    assert list(as_json)[-1] == "crc" and as_json["content" if content else "session"] == (content or "s")


def test_values_of_before_their_bounds_are_read_and_not_taken_for_damage() -> None:
    wide = {"seq": 2**63 - 1, "ts": 253_402_300_799.5, "tokens_in": 2**63 - 1, "tokens_out": -1}
    event = Event.model_construct(**{**an_event(0).model_dump(), **wide})
    read = decode(encode(event)[:-1])
    assert read == event and type(read) is Event


def test_frame_carries_the_crc32_of_what_precedes_it() -> None:
    frame = encode(an_event(0, "é"))
    body, _, rest = frame.rpartition(b',"crc":"')
    assert int(rest[:8], 16) == zlib.crc32(body)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_loss_that_is_not_finite_survives_as_valid_json(loss: float) -> None:
    frame = encode(an_event(0, loss=loss, attributes={"grad_norm": loss}))
    json.loads(frame, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    read = decode(frame[:-1])
    assert read is not None and str(read.loss) == str(loss)
    assert float(read.attributes["grad_norm"]) == pytest.approx(loss, nan_ok=True)


def test_lone_surrogates_become_replacement_characters() -> None:
    event = Event.model_construct(
        session="s", seq=0, ts=0.0, role="info", kind="chat", content="a\ud800b", attributes={"\udfff": ["\ud83d\ude00"]}
    )
    read = decode(encode(event)[:-1])
    assert read is not None
    assert (read.content, read.attributes) == ("a\ufffdb", {"\ufffd": ["😀"]})


def test_attribute_that_json_cannot_hold_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"float32.*Convert"):
        encode(an_event(0, attributes={"x": np.float32(1)}))


@pytest.mark.parametrize("line", [b"", b"{}", b'"}', b',"crc":"00000000"}', b'{"session":"s"}', b"\0" * 64])
def test_line_that_is_no_frame_is_not_read(line: bytes) -> None:
    assert decode(line) is None


def test_good_checksum_over_something_else_is_not_read() -> None:
    body = b'{"session":"s","seq":-1,"ts":0,"role":"info","kind":"chat"'
    assert decode(b'%b,"crc":"%08x"}' % (body, zlib.crc32(body))) is None


@pytest.mark.parametrize("content", TEXTS, ids=range(len(TEXTS)))
def test_every_beginning_of_a_frame_is_torn_and_no_damage(content: str) -> None:
    frame = encode(an_event(3, content, tool="grep"))
    for end in range(1, len(frame)):
        assert tail("a", frame[:end], 7) == Damage("a", 7, end, TORN)


@pytest.mark.parametrize("at", range(3, 60, 7))
def test_end_of_a_segment_that_no_kill_leaves_is_damage(at: int) -> None:
    frame = encode(an_event(3, "Ω≈ç√ 漢字"))
    for garbled in (frame[:at] + bytes(200), frame[:at] + b"\xff\xfe" + frame[at:-1], frame[:-1] + b"J", frame[:-1] + b"\x1a", frame[1:-1]):
        assert tail("a", garbled, 7) == Damage("a", 7, len(garbled), GARBLED)


def test_offsets_of_damage_are_those_in_the_file() -> None:
    first, second, third = (encode(an_event(seq)) for seq in range(3))
    parsed = parse("name", first + b"junk\n" + second + third[:-4], offset=1000)
    assert [good.event.seq for good in parsed.good] == [0, 1]
    assert [(damage.segment, damage.offset, damage.size) for damage in parsed.bad] == [("name", 1000 + len(first), 4)]
    assert parsed.consumed == len(first) + 5 + len(second)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Event]]:
    """A real segment of 62 varied events, and the events as `append` returned them."""
    root = tmp_path_factory.mktemp("written")
    chance = random.Random(5)
    with SessionLog.open(root) as log:
        with log.session("agent", id="s") as session:
            for number in range(60):
                nested = {"session": "s", "seq": number, "crc": "00000000"} if number % 7 == 0 else {}
                session.append(
                    "info", chance.choice(TEXTS), attributes={"calls": [nested, {"n": number}]}, step=number, loss=1 / (number + 1)
                )
        events = log.events("s")
    (path,) = (root / "log" / "segments").iterdir()
    return path.read_bytes(), events


def read_damaged(root: Path, data: bytes) -> list[Event]:
    folder = root / "log" / "segments"
    folder.mkdir(parents=True)
    (folder / "one.ndjson").write_bytes(data)
    return SessionLog.open(root).events("s")


def untouched(data: bytes, events: list[Event], first: int, end: int) -> list[Event]:
    """The events no byte of whose frames lies in `[first, end)`; frames are told apart by the undamaged file's newlines."""
    kept, at = [], 0
    for event, line in zip(events, data.splitlines(keepends=True), strict=True):
        if at + len(line) <= first or at >= end:
            kept.append(event)
        at += len(line)
    return kept


def test_200_truncations_lose_only_what_was_cut(written: tuple[bytes, list[Event]], tmp_path: Path) -> None:
    data, events = written
    chance = random.Random(11)
    for number in range(200):
        cut = chance.randrange(len(data))
        assert read_damaged(tmp_path / str(number), data[:cut]) == untouched(data, events, cut, len(data)), f"cut at {cut}"


def test_200_corruptions_lose_only_the_frames_they_touch(written: tuple[bytes, list[Event]], tmp_path: Path) -> None:
    data, events = written
    chance = random.Random(13)
    newlines = [at for at, byte in enumerate(data) if byte == 10]
    for number in range(200):
        size = 1 if number % 2 else chance.choice((2, 16, 300, 5000))
        first = chance.choice(newlines) if number % 10 == 0 else chance.randrange(len(data) - size)
        old = data[first : first + size]
        new = bytes(chance.choice((0, 10, 34, 65, byte ^ 1, byte ^ 32)) for byte in old)
        changed = [at for at, (was, now) in enumerate(zip(old, new, strict=True)) if was != now]
        damaged = data[:first] + new + data[first + len(old) :]
        span = (first + changed[0], first + changed[-1] + 1) if changed else (0, 0)
        assert read_damaged(tmp_path / str(number), damaged) == untouched(data, events, *span), f"{old!r} at {first} became {new!r}"
