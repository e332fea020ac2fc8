"""Frames: one event as one line that says itself whether it is whole.

A frame is a JSON object on one line whose last key is `"crc":"xxxxxxxx"`: the CRC32, in hexadecimal, of all bytes of the
line before `,"crc"`. A line that is torn or damaged fails the sum and is skipped and counted, never read as good.
"""

from __future__ import annotations

import codecs
import reprlib
import zlib
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, cast

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticSerializationError

from codex.core.errors import UserError
from codex.core.events import Event, Int64, whole_microseconds

TORN = "the writer ended within this frame"
GARBLED = "no frame begins so"
_CONTROLS = bytes(range(32))
_START = b'{"session":"'
_CRC_KEY = b',"crc":"'
_TAIL = len(_CRC_KEY) + 8 + len(b'"}')


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that are no good frame.

    Args:
        segment: the file's name.
        offset: where they begin, in bytes.
        size: how many they are.
        reason: why they were not read.
    """

    segment: str
    offset: int
    size: int
    reason: str


class _Wide(Event):
    """An event with all values that a log could hold before they were bounded; they are written no more, and read for ever."""

    seq: Annotated[int, Field(ge=0, lt=2**63)]
    ts: Annotated[float, Field(ge=-62_135_596_800, lt=253_402_300_800, allow_inf_nan=False), AfterValidator(whole_microseconds)]
    tokens_in: Int64 | None = None
    tokens_out: Int64 | None = None
    redacted: Annotated[int, Field(ge=0, lt=2**63)] = 0


class Good(NamedTuple):
    """A good frame: the event, and the line without its newline.

    Who keeps many keeps lines, and decodes again what is asked for, for lines take a third of the memory.
    """

    event: Event
    line: bytes


@dataclass(frozen=True)
class Parsed:
    """What a stretch of a segment holds.

    Args:
        good: the good frames, in their order.
        bad: what was skipped.
        consumed: bytes up to and with the last newline; what follows is torn or still being written.
    """

    good: list[Good] = field(default_factory=list[Good])
    bad: list[Damage] = field(default_factory=list[Damage])
    consumed: int = 0


def encode(event: Event) -> bytes:
    """`event` as a frame, newline included.

    Text that is no Unicode (a lone surrogate) is stored with U+FFFD in its place.

    Raises:
        UserError: an attribute is of a type that JSON has no form for.
    """
    try:
        text = event.model_dump_json(exclude_defaults=True)
    except PydanticSerializationError:
        mended = Event.model_construct(**_without_surrogates(event.model_dump()))
        try:
            text = mended.model_dump_json(exclude_defaults=True)
        except PydanticSerializationError as error:
            raise UserError(
                f"attributes {reprlib.repr(event.attributes)} cannot be stored ({error})",
                "expected text, numbers, booleans, None, and lists and dictionaries of them",
                "Convert the value first, for example by `float(x)` or `x.tolist()`.",
            ) from error
    body = text.encode().removesuffix(b"}")
    return b'%b%b%08x"}\n' % (body, _CRC_KEY, zlib.crc32(body))


def decode(line: bytes) -> Event | None:
    """The event of one line without its newline; None when the line is damaged."""
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if not body or tail != b'%b%08x"}' % (_CRC_KEY, zlib.crc32(body)):
        return None
    try:
        return Event.model_validate_json(body + b"}")
    except ValidationError:
        return _decode_wide(body + b"}")


def _decode_wide(text: bytes) -> Event | None:
    try:
        wide = _Wide.model_validate_json(text)
    except ValidationError:
        return None
    return Event.model_construct(wide.model_fields_set, **{name: getattr(wide, name) for name in Event.model_fields})


def plain_lines(data: bytes) -> bool:
    """Whether `data` is whole frames and nothing else, by their checksums alone."""
    if not data.endswith(b"\n"):
        return False
    crc32, tail = zlib.crc32, _TAIL
    return all(line[-tail:] == b'%b%08x"}' % (_CRC_KEY, crc32(line[:-tail])) for line in data[:-1].split(b"\n"))


def parse(segment: str, data: bytes, offset: int = 0) -> Parsed:
    """Read every whole line of `data`, which begins at `offset` of the file called `segment`."""
    parsed = Parsed(consumed=data.rfind(b"\n") + 1)
    at = offset
    for line in data[: parsed.consumed].split(b"\n")[:-1]:
        good = _good(line)
        if good:
            parsed.good.append(good)
        elif line:
            _skip(parsed, segment, at, line)
        at += len(line) + 1
    return parsed


def tail(segment: str, data: bytes, offset: int) -> Damage:
    """What follows the last newline of a segment that nobody writes to: torn by a kill, or, where no frame begins so, damaged."""
    return Damage(segment, offset, len(data), TORN if _begins_frame(data) else GARBLED)


def _begins_frame(data: bytes) -> bool:
    """Whether `data` may be a frame of which the rest was not written; nothing but its end can be missing then."""
    if not _START.startswith(data[: len(_START)]) or data.translate(None, _CONTROLS) != data:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)  # a character may be cut in two
    except UnicodeDecodeError:
        return False
    return decode(data[:-1]) is None  # else the frame was whole, and its newline is something else now


def _good(line: bytes) -> Good | None:
    event = decode(line)
    return None if event is None else Good(event, line)


def _skip(parsed: Parsed, segment: str, at: int, line: bytes) -> None:
    """Count a damaged line, but keep the frame behind it when what is damaged is the newline between the two."""
    damaged = len(line)
    start = line.find(_START, 1)
    while start > 0:
        good = _good(line[start:])
        if good:
            parsed.good.append(good)
            damaged = start
            break
        start = line.find(_START, start + 1)
    parsed.bad.append(Damage(segment, at, damaged, "the checksum does not match"))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {_without_surrogates(key): _without_surrogates(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in cast("list[Any]", value)]
    return value
