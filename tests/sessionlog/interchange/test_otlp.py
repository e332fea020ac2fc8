"""OTLP's JSON, read by the protobuf parser of OpenTelemetry's own definitions."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog.interchange import Exported, otlp
from tests.sessionlog.interchange.made import EVENTS, an_event

ID_KEYS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


def parsed(text: str | bytes) -> TracesData:
    """One document, by the strict parser: an unknown key, a number of the wrong sort or size, and it fails.

    OTLP writes ids in hexadecimal where protobuf's JSON has base64; they are checked and changed here.
    """

    def ids(value: dict[str, Any]) -> dict[str, Any]:
        for key, digits in ID_KEYS.items():
            if key in value:
                assert re.fullmatch(rf"[0-9a-f]{{{digits}}}", value[key]) and int(value[key], 16)
                value[key] = base64.b64encode(bytes.fromhex(value[key])).decode()
        return value

    document = json.loads(text, object_hook=ids, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return json_format.ParseDict(document, TracesData())


def spans(document: TracesData) -> list[Span]:
    return [span for resource in document.resource_spans for scope in resource.scope_spans for span in scope.spans]


def written(events: list[Event], **options: bool) -> tuple[Exported, bytes]:
    stream = io.BytesIO()
    return otlp.write(stream, iter(events), **options), stream.getvalue()


CHAT = [
    an_event(0, "info", "a title", attributes={"session_event": "opened"}),
    an_event(1, content="question"),
    an_event(2, "assistant", "answer", model="codex-tiny", latency_ms=250.0, tokens_in=3, tokens_out=5),
]


def test_document_says_where_it_comes_from_and_which_convention_it_keeps() -> None:
    from codex import __version__

    document = parsed(written(CHAT)[1])
    (resource,) = document.resource_spans
    (scope,) = resource.scope_spans
    assert {item.key: item.value.string_value for item in resource.resource.attributes} == {
        "service.name": "codex-ml",
        "service.version": __version__,
    }
    assert (scope.scope.name, scope.scope.version) == ("codex.sessionlog", __version__)
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


def test_ids_are_strings_of_digits_and_times_strings_of_nanoseconds() -> None:
    (span,) = json.loads(written(CHAT)[1])["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["traceId"] == "043a718774c572bd8a25adbeb1bfcd5c"  # the first half of sha256("s")
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("1765000000000", "1765250000000")
    assert {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "3"}} in span["attributes"]


def test_what_is_no_call_is_skipped_and_counted() -> None:
    steps = [an_event(seq, "info", kind="training", step=seq, loss=1.0, session="t") for seq in range(5)]
    verdict = an_event(5, "assistant", "better", kind="training", session="t")
    exported, text = written([*CHAT, *steps, verdict])
    assert exported == Exported(spans=1, skipped=8) and len(spans(parsed(text))) == 1


def test_nothing_to_say_is_a_document_without_spans() -> None:
    for events in ([], CHAT[:1]):
        exported, text = written(events)
        assert exported == Exported(0, len(events)) and spans(parsed(text)) == [] and text.count(b"resourceSpans") == 1


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_any_events_are_valid_otlp_with_ids_of_their_own(events: list[Event]) -> None:
    events.sort(key=lambda event: (event.session, event.seq))
    for content in (False, True):
        exported, text = written(events, content=content)
        found = spans(parsed(text))
        assert len(found) == exported.spans == len({span.span_id for span in found})
        assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in found)
        assert written(events, content=content)[1] == text


def test_lines_hold_a_document_for_each_session() -> None:
    other = [event.model_copy(update={"session": "z", "seq": seq}) for seq, event in enumerate([CHAT[2], CHAT[1], CHAT[2]])]
    exported, text = written([*CHAT, *other], lines=True)
    documents = [parsed(line) for line in text.decode().splitlines()]
    assert exported.spans == 3 and [len(spans(document)) for document in documents] == [1, 2]
    assert [len({span.trace_id for span in spans(document)}) for document in documents] == [1, 1]
    assert written(CHAT[:1], lines=True) == (Exported(0, 1), b"")


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_file_is_packed_by_its_name_and_never_overwritten(tmp_path: Path, name: str) -> None:
    otlp.write(tmp_path / name, CHAT)
    raw = (tmp_path / name).read_bytes()
    assert (gzip.decompress(raw) if name.endswith("gz") else raw) == written(CHAT)[1]
    with pytest.raises(UserError, match="is there already"):
        otlp.write(tmp_path / name, CHAT)


def test_content_is_left_out_unless_asked_for() -> None:
    events = [
        *CHAT,
        an_event(3, "tool", "PRIVATE", tool="grep", attributes={"arguments": {"q": "PRIVATE"}, "note": "PRIVATE"}),
        an_event(4, "error", "PRIVATE", model="m", attributes={"exception": "TimeoutError"}),
        an_event(5, "system", "PRIVATE"),
        an_event(6, "assistant", "PRIVATE", model="m"),
    ]
    without, told = written(events)[1], written(events, content=True)[1]
    assert not re.search(rb"PRIVATE|question|answer|a title", without)
    assert told.count(b"PRIVATE") == 6 and b"question" in told and b"a title" not in told


def test_spans_are_written_one_by_one() -> None:
    stream = io.BytesIO()
    sizes: list[int] = []

    def source() -> Any:
        for seq in range(3):
            yield CHAT[2].model_copy(update={"seq": seq})
            sizes.append(len(stream.getvalue()))

    otlp.write(stream, source())
    assert 0 < sizes[0] < sizes[1]
