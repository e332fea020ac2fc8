"""Rows of others become events, and nothing of them is lost or guessed."""

from __future__ import annotations

import hashlib
import math
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog.interchange.rows import ROLES, Findings, Unfit, column_types, event_of, parse_json, seconds, session_id
from codex.sessionlog.session import check_id

ROW = {"ts": 1763.25, "session_id": "s", "seq": 0, "role": "user", "message": "hello"}


def read(**row: Any) -> Event:
    findings = Findings("a.db")
    event = event_of({**ROW, **row}, "row 3", findings)
    findings.refuse()
    assert event is not None
    return event


def problems(row: dict[str, Any]) -> list[str]:
    findings = Findings("a.db")
    assert event_of(row, "row 3", findings) is None
    with pytest.raises(UserError) as caught:
        findings.refuse()
    assert all(problem.expected.startswith("expected") and problem.fix for problem in caught.value.problems)
    return [problem.what for problem in caught.value.problems[:-1]]


def test_row_with_four_columns_and_seq_is_a_chat_event() -> None:
    assert read() == Event(session="s", seq=0, ts=1763.25, role="user", kind="chat", content="hello")


def test_columns_of_ours_are_taken_over() -> None:
    columns = {"kind": "agent", "tool": "grep", "model": "m", "latency_ms": 1, "tokens_in": 2, "run_id": "r", "step": 3, "loss": "NaN"}
    event = read(**columns, attributes='{"a": [1, null]}', redacted=1)
    assert event.attributes == {"a": [1, None]} and event.redacted == 1
    assert event.loss is not None and math.isnan(event.loss)
    assert event.model_dump(include=columns.keys() - {"loss"}) == {name: columns[name] for name in columns if name != "loss"}


def test_columns_that_are_null_are_as_if_absent() -> None:
    nothing = dict.fromkeys(name for name in Event.model_fields if name not in ("session", "seq", "ts", "role", "content"))
    assert read(**nothing, note=None) == read()
    assert read(message=None).content == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1_795_401_288, 1_795_401_288.0),
        (1_795_401_288.96, 1_795_401_288.96),
        (1_795_401_288_960, 1_795_401_288.96),
        (1_795_401_288_960_001, 1_795_401_288.960001),
        (1_795_401_288_960_001_000, 1_795_401_288.960001),
        ("1795401288.96", 1_795_401_288.96),
        (" 1795401288960 ", 1_795_401_288.96),
        (-5, -5.0),
        (0, 0.0),
        (253_402_300_799, 253_402_300_799.0),
        (253_402_300_800, 253_402_300.8),
        ("2026-11-23T02:34:48.960000+00:00", datetime(2026, 11, 23, 2, 34, 48, 960_000, UTC).timestamp()),
        ("2026-11-23T02:34:48Z", datetime(2026, 11, 23, 2, 34, 48, tzinfo=UTC).timestamp()),
        ("2026-11-23 02:34:48", datetime(2026, 11, 23, 2, 34, 48, tzinfo=UTC).timestamp()),
        ("2026-11-23T04:34:48+02:00", datetime(2026, 11, 23, 2, 34, 48, tzinfo=UTC).timestamp()),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC).timestamp()),
    ],
)
def test_time_is_read_in_every_usual_form(given: object, expected: float) -> None:
    assert seconds(given) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("given", [None, True, "", "yesterday", "23.11.2026", float("nan"), float("inf"), "inf", 1e30, b"1795401288", []])
def test_time_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(Unfit, match="ISO 8601"):
        seconds(given)


def test_time_without_a_zone_is_utc_wherever_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert seconds("1970-01-01 00:00:10") == 10
    time.tzset()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("human", "user"),
        ("ai", "assistant"),
        ("gpt", "assistant"),
        ("function", "tool"),
        ("developer", "system"),
        ("debug", "info"),
        ("warn", "warning"),
        ("fatal", "error"),
    ],
)
def test_roles_of_other_programs_are_known(theirs: str, ours: str) -> None:
    assert read(role=theirs).role == ours


@pytest.mark.parametrize(("theirs", "ours"), ROLES.items())
def test_role_is_mapped_and_what_the_row_said_is_kept(theirs: str, ours: str) -> None:
    assert read(role=theirs).role == ours
    assert read(role=theirs).attributes == ({} if theirs == ours else {"imported": {"role": theirs}})
    assert read(role=f" {theirs.upper()}").attributes == {"imported": {"role": f" {theirs.upper()}"}}


def test_roles_of_ours_are_all_read() -> None:
    schema = Event.model_json_schema()["properties"]["role"]["enum"]
    assert all(ROLES[role] == role for role in schema) and set(ROLES.values()) == set(schema)


@pytest.mark.parametrize("role", ["robot", "", None, 3])
def test_unknown_role_names_row_value_and_expectation(role: object) -> None:
    findings = Findings("a.db")
    assert event_of({**ROW, "role": role}, "row 3", findings) is None
    with pytest.raises(UserError) as caught:
        findings.refuse()
    assert str(caught.value).startswith(
        f"`role` is {role!r} (row 3 of a.db); expected one of system, user, assistant, tool, info, warning, error"
    )


@given(st.text(min_size=1))
def test_session_id_is_always_one_of_ours_and_the_same_again(text: str) -> None:
    assert check_id(session_id(text)) == session_id(text)


@given(st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=20))
def test_session_ids_that_differ_stay_different(texts: list[str]) -> None:
    assert len({session_id(text) for text in texts}) == len(texts)


def test_session_id_of_ours_stays_and_another_keeps_its_characters() -> None:
    assert session_id("chat-1.a_B") == "chat-1.a_B" and session_id(17) == "17"
    digits = hashlib.sha256(b"team/alice 1").hexdigest()[:12]
    assert session_id("team/alice 1") == f"team-alice-1-{digits}"
    assert session_id("漢字") == f"session-{hashlib.sha256('漢字'.encode()).hexdigest()[:12]}"
    assert len(session_id("x" * 500)) == 113


def test_mapped_session_id_is_kept_as_it_was() -> None:
    event = read(session_id="team/alice 1")
    assert event.session == session_id("team/alice 1") and event.attributes == {"imported": {"session_id": "team/alice 1"}}


def test_columns_of_others_are_kept_among_the_attributes() -> None:
    event = read(attributes={"side": "base"}, user="alice", raw=b"\x00\xff", id=7)
    assert event.attributes == {"side": "base", "imported": {"user": "alice", "raw": "00ff", "id": 7}}


def test_what_an_earlier_import_kept_is_kept_within() -> None:
    event = read(attributes={"imported": {"id": 1}}, id=7)
    assert event.attributes == {"imported": {"id": 7, "imported": {"id": 1}}}


def test_all_problems_of_a_row_come_at_once() -> None:
    row = {"ts": "soon", "session_id": "", "seq": -1, "role": "robot", "message": ["parts"], "tokens_in": "many", "attributes": "[1]"}
    assert problems(row) == [
        "`ts` is 'soon'",
        "`session_id` is ''",
        "`role` is 'robot'",
        "`message` is ['parts']",
        "`attributes` is '[1]'",
        "`seq` is -1",
        "`tokens_in` is 'many'",
    ]


def test_missing_columns_are_named() -> None:
    assert problems({}) == ["`message` is missing", *(f"`{name}` is missing" for name in ("session", "seq", "ts", "role"))]


def test_annotation_that_the_log_would_not_take_names_what_is_wrong() -> None:
    row = {**ROW, "kind": "annotation", "attributes": {"about": {"session": "s", "seq": "abc"}, "rating": "great"}}
    assert problems(row) == ["`about.seq` is 'abc'"]
    assert problems({**row, "attributes": '{"about": {"session": "s", "seq": 0}, "rating": true}'}) == ["`rating` is True"]
    assert read(**{**row, "kind": "chat"}).attributes == row["attributes"], "in another event these are anybody's attributes"


def test_one_column_under_two_names_is_refused() -> None:
    assert problems({**ROW, "content": "else"}) == ["`content` is 'else'"]
    assert problems({**ROW, "session": "s"}) == ["`session` is 's'"]


@pytest.mark.parametrize("column", ["message", "session_id", "tool", "of_theirs"])
def test_text_that_is_no_utf8_is_refused(column: str) -> None:
    assert len(problems({**ROW, column: b"caf\xe9".decode(errors="surrogateescape")})) == 1


def test_findings_show_the_first_twenty_and_count_all() -> None:
    findings = Findings("a.db")
    for row in range(1, 1235):
        findings.add(f"row {row}", f"`x` is {row}", Unfit("expected none", "Mend."))
    with pytest.raises(UserError) as caught:
        findings.refuse()
    assert len(caught.value.problems) == 21
    assert "row 20 of a.db" in str(caught.value) and "row 21 of a.db" not in str(caught.value)
    assert str(caught.value).splitlines()[-1].startswith("'a.db' has 1,234 problems; expected none, so nothing was imported.")


def test_findings_without_a_problem_refuse_nothing() -> None:
    Findings("a.db").refuse()


def test_halves_of_surrogate_pairs_become_replacement_characters() -> None:
    assert parse_json(rb'{"a": "cut \ud83d", "b": "\ud83e\udd89", "c": [1e400]}') == {"a": "cut \ufffd", "b": "🦉", "c": [float("inf")]}
    for text in (b"{", rb'{"a": "\u00e9"', b"[" * 100_000, b'"\\u0041"' + b"[" * 100_000, b"[" * 100_000 + b'"\\ud83d"'):
        with pytest.raises(ValueError):
            parse_json(text)


def test_every_column_has_a_type_of_sqlite() -> None:
    types = column_types()
    assert list(types) == list(Event.model_fields)
    assert {name for name, kind in types.items() if kind == "REAL"} == {"ts", "latency_ms", "loss"}
    assert {name for name, kind in types.items() if kind == "INTEGER"} == {"seq", "tokens_in", "tokens_out", "step", "redacted"}
