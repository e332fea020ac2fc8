"""Which events are calls, and what their spans say."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from codex.core.events import Event
from codex.sessionlog.interchange.spans import Calls, attribute
from tests.sessionlog.interchange.made import an_event

INTERNAL, CLIENT = 1, 3


def spans(*events: Event, content: bool = False) -> list[dict[str, Any]]:
    return list(Calls(content).spans(events))


def plain(value: dict[str, Any]) -> Any:
    """An AnyValue as Python has it."""
    if "kvlistValue" in value:
        return {item["key"]: plain(item["value"]) for item in value["kvlistValue"]["values"]}
    if "arrayValue" in value:
        return [plain(item) for item in value["arrayValue"]["values"]]
    return int(value["intValue"]) if "intValue" in value else next(iter(value.values()), None)


def said(span: dict[str, Any]) -> dict[str, Any]:
    assert len({item["key"] for item in span["attributes"]}) == len(span["attributes"])
    return {item["key"]: plain(item["value"]) for item in span["attributes"]}


def agent(seq: int, role: str = "info", content: str = "", **fields: Any) -> Event:
    return an_event(seq, role, content, **{"kind": "agent", "session": "a", **fields})


def test_answer_is_a_chat_with_its_model_usage_and_settings() -> None:
    settings = {
        "side": "base",
        "temperature": 1,
        "seed": 0,
        "finish": "end",
        "top_k": 5,
        "top_p": 0.5,
        "max_tokens": 64,
        "response_id": "x",
    }
    (span,) = spans(an_event(2, "assistant", model="m", tokens_in=0, tokens_out=5, latency_ms=1500, run_id="r", attributes=settings))
    assert (span["name"], span["kind"], "status" in span, "parentSpanId" in span) == ("chat m", INTERNAL, False, False)
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("1763750000000", "1765250000000")
    assert said(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "s",
        "gen_ai.provider.name": "codex-ml",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.top_k": 5.0,
        "gen_ai.request.seed": 0,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.id": "x",
        "codex.seq": 2,
        "codex.run_id": "r",
    }
    doubles = {item["key"] for item in span["attributes"] if "doubleValue" in item["value"]}
    assert doubles == {f"gen_ai.request.{name}" for name in ("temperature", "top_p", "top_k")}


def test_values_of_another_type_than_the_convention_says_are_left_out() -> None:
    odd = {
        "temperature": "hot",
        "seed": 1.5,
        "top_p": True,
        "max_tokens": None,
        "response_id": 7,
        "finish": ["end"],
        "provider": 3,
        "top_k": 10**400,
    }
    (span,) = spans(an_event(2, "assistant", attributes=odd))
    assert span["name"] == "chat" and span["kind"] == INTERNAL
    assert list(said(span)) == ["gen_ai.operation.name", "gen_ai.conversation.id", "gen_ai.provider.name", "codex.seq"]


def test_answer_of_a_provider_is_a_call_to_it() -> None:
    (span,) = spans(an_event(2, "assistant", model="m", attributes={"provider": "openai"}))
    assert span["kind"] == CLIENT and said(span)["gen_ai.provider.name"] == "openai"


def test_tool_event_is_an_execution() -> None:
    (span,) = spans(
        an_event(3, "tool", "found", tool="grep", latency_ms=1, attributes={"tool_call_id": "c1", "tool_type": "function", "arguments": {}})
    )
    assert (span["name"], span["kind"]) == ("execute_tool grep", INTERNAL)
    assert said(span) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.conversation.id": "s",
        "gen_ai.tool.name": "grep",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.type": "function",
        "codex.seq": 3,
    }
    assert spans(an_event(3, "tool"))[0]["name"] == "execute_tool"


@pytest.mark.parametrize("kind", ["training", "evaluation", "decision", "annotation"])
@pytest.mark.parametrize("role", ["assistant", "tool", "error"])
def test_what_is_said_outside_of_chats_is_no_call(kind: str, role: str) -> None:
    calls = Calls(False)
    assert not list(calls.spans([an_event(0, role, kind=kind, model="m", tool="t")])) and calls.skipped == 1


@pytest.mark.parametrize("kind", ["chat", "agent", "serving", "notebook", "of others"])
def test_answers_elsewhere_are_calls(kind: str) -> None:
    assert spans(an_event(0, "assistant", kind=kind))[0]["name"] == "chat"


@pytest.mark.parametrize("role", ["system", "user", "info", "warning", "error"])
def test_other_roles_are_no_calls(role: str) -> None:
    calls = Calls(False)
    assert not list(calls.spans([an_event(0, role)])) and calls.skipped == 1


@pytest.mark.parametrize(
    ("fields", "name", "error"),
    [
        ({"role": "error", "model": "m", "attributes": {"exception": "TimeoutError"}}, "chat m", "TimeoutError"),
        ({"role": "error", "model": "m", "tool": "grep"}, "execute_tool grep", "_OTHER"),
        ({"role": "tool", "tool": "grep", "attributes": {"error": "no such file"}}, "execute_tool grep", "_OTHER"),
        ({"role": "assistant", "attributes": {"exception": "ValueError"}}, "chat", "ValueError"),
    ],
)
def test_failed_call_has_the_status_of_an_error(fields: dict[str, Any], name: str, error: str) -> None:
    event = an_event(1, content="what went wrong", **fields)
    (span,) = spans(event)
    assert (span["name"], said(span)["error.type"], span["status"]) == (name, error, {"code": 2})
    (span,) = spans(event, content=True)
    assert span["status"] == {"code": 2, "message": "what went wrong"}
    assert "gen_ai.tool.call.result" not in said(span)
    assert ("gen_ai.output.messages" in said(span)) == (event.role == "assistant")


@pytest.mark.parametrize("attributes", [{"error": None}, {"error": ""}, {"error": False}])
def test_attribute_that_says_no_error_is_none(attributes: dict[str, Any]) -> None:
    assert "status" not in spans(an_event(1, "tool", attributes=attributes))[0]


@pytest.mark.parametrize(
    ("ts", "latency", "start", "end"),
    [
        (10.0, None, 10_000_000_000, 10_000_000_000),
        (10.0, -5.0, 10_000_000_000, 10_000_000_000),
        (10.0, float("nan"), 10_000_000_000, 10_000_000_000),
        (10.0, float("inf"), 10_000_000_000, 10_000_000_000),
        (10.0, 1.8e302, 0, 10_000_000_000),
        (10.0, 0.5, 9_999_500_000, 10_000_000_000),
        (1.0, 5000.0, 0, 1_000_000_000),
        (-1.0, 5.0, 0, 0),
        (1_795_401_288.960001, None, 1_795_401_288_960_001_000, 1_795_401_288_960_001_000),
        (253_402_000_000.0, 1.0, 2**64 - 1 - 1_000_000, 2**64 - 1),
    ],
)
def test_times_stay_within_what_otlp_can_say(ts: float, latency: float | None, start: int, end: int) -> None:
    (span,) = spans(an_event(1, "assistant", ts=ts, latency_ms=latency))
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == (str(start), str(end))


def test_agent_has_a_span_around_its_calls() -> None:
    first = agent(0, attributes={"agent": "planner", "agent_version": "1", "provider": "openai", "session_event": "opened"}, ts=100)
    call = agent(1, "assistant", model="m", ts=101, latency_ms=2000)
    tool = agent(2, "tool", tool="grep", ts=102, attributes={"agent": "another", "agent_id": "7"})
    ended = agent(3, ts=103, attributes={"session_event": "ended", "outcome": "finished"})
    chat, execution, root = spans(first, call, tool, ended)
    assert (root["name"], root["kind"], "parentSpanId" in root, "status" in root) == ("invoke_agent planner", INTERNAL, False, False)
    assert (
        chat["parentSpanId"] == execution["parentSpanId"] == root["spanId"]
        and len({span["spanId"] for span in (chat, execution, root)}) == 3
    )
    assert chat["traceId"] == execution["traceId"] == root["traceId"] == hashlib.sha256(b"a").hexdigest()[:32]
    assert (root["startTimeUnixNano"], root["endTimeUnixNano"]) == ("99000000000", "103000000000")
    assert said(root) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "a",
        "gen_ai.agent.name": "planner",
        "gen_ai.agent.id": "7",
        "gen_ai.agent.version": "1",
    }


def test_agent_that_failed_says_so() -> None:
    ended = agent(1, "error", "KeyError: x", attributes={"session_event": "ended", "outcome": "failed", "exception": "KeyError"})
    (root,) = spans(agent(0), ended)
    assert root["name"] == "invoke_agent" and root["status"] == {"code": 2} and said(root)["error.type"] == "KeyError"
    *_, root = spans(agent(0), agent(1, "error", tool="grep"), agent(2))
    assert "status" not in root


def test_sessions_that_follow_one_another_are_apart() -> None:
    found = spans(agent(0), agent(1, "assistant"), agent(0, session="b"), agent(1, "assistant", session="b"), an_event(0, "assistant"))
    assert [span["name"] for span in found] == ["chat", "invoke_agent", "chat", "invoke_agent", "chat"]
    assert len({span["traceId"] for span in found}) == 3 and len({span["spanId"] for span in found}) == 5
    assert found[2]["parentSpanId"] == found[3]["spanId"] and "parentSpanId" not in found[4]


def test_session_and_seq_that_run_together_alike_have_ids_of_their_own() -> None:
    one, other = spans(an_event(12, "assistant", session="a"), an_event(2, "assistant", session="a1"))
    assert one["spanId"] != other["spanId"]


def test_agents_session_in_two_pieces_is_refused() -> None:
    with pytest.raises(ValueError, match="session 'a' come in two pieces"):
        spans(agent(0), an_event(0), agent(1))


def test_messages_are_what_came_since_the_sides_last_answer() -> None:
    found = spans(
        an_event(0, "info", "a title"),
        an_event(1, "system", "be brief"),
        an_event(2, "user", "one"),
        an_event(3, "assistant", "base 1", attributes={"side": "base", "finish": "context"}),
        an_event(4, "assistant", "adapter 1", attributes={"side": "adapter"}),
        an_event(5, "tool", "found", tool="grep", attributes={"tool_call_id": "c1"}),
        an_event(6, "user", "two"),
        an_event(7, "assistant", "base 2", attributes={"side": "base"}),
        content=True,
    )
    system, one, two = (
        {"role": role, "parts": [{"type": "text", "content": text}]}
        for role, text in [("system", "be brief"), ("user", "one"), ("user", "two")]
    )
    result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "found"}]}
    chats = [said(span) for span in found if span["name"] == "chat"]
    assert [chat["gen_ai.input.messages"] for chat in chats] == [[system, one], [system, one], [result, two]]
    assert chats[0]["gen_ai.output.messages"] == [
        {"role": "assistant", "parts": [{"type": "text", "content": "base 1"}], "finish_reason": "length"}
    ]
    assert chats[1]["gen_ai.output.messages"][0]["finish_reason"] == "unknown"
    assert said(found[2])["gen_ai.tool.call.result"] == "found"


def test_tool_arguments_are_told_as_they_are() -> None:
    arguments = {"a": [1, 2.5, None, True, "é"], "big": 2**63, "low": -(2**63), "bad": float("nan"), "no": {}}
    (span,) = spans(an_event(1, "tool", "x", tool="t", attributes={"arguments": arguments}), content=True)
    assert said(span)["gen_ai.tool.call.arguments"] == {**arguments, "big": str(2**63), "bad": "NaN"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, {"boolValue": True}),
        (1, {"intValue": "1"}),
        (2**63, {"stringValue": "9223372036854775808"}),
        (1.0, {"doubleValue": 1.0}),
        (float("inf"), {"doubleValue": "Infinity"}),
        (float("-inf"), {"doubleValue": "-Infinity"}),
        ("x", {"stringValue": "x"}),
        (None, {}),
        ((1,), {"arrayValue": {"values": [{"intValue": "1"}]}}),
        ({"k": []}, {"kvlistValue": {"values": [{"key": "k", "value": {"arrayValue": {"values": []}}}]}}),
    ],
)
def test_value_has_the_type_that_it_has(value: object, expected: dict[str, Any]) -> None:
    assert attribute("n", value) == {"key": "n", "value": expected}
