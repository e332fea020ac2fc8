"""SQLite files: ours come back as they went, those of others are read or refused as a whole."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog.interchange import sqlite
from codex.sessionlog.interchange.rows import Findings
from tests.sessionlog.interchange.made import EVENTS, an_event, values

FOUR = "create table session_events (ts, session_id text, role text, message text)"
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A file of somebody else's: `make(statement, rows)`."""

    def made(create: str, rows: Sequence[Sequence[Any]] = (), *, more: Sequence[str] = ()) -> Path:
        path = tmp_path / "theirs.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(create)
            if rows:
                connection.executemany(f"insert into session_events values ({', '.join('?' * len(rows[0]))})", rows)
            for statement in more:
                connection.execute(statement)
            connection.commit()
        return path

    return made


def told(events: list[Event]) -> list[tuple[str, int, float, str]]:
    return [(event.session, event.seq, event.ts, event.content) for event in events]


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        next(sqlite.read(path), None)
    return str(caught.value)


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_events_come_back_as_they_went(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.db")
        assert sqlite.write(path, iter(events)) == len(events)
        expected = sorted(events, key=lambda event: (event.session, event.seq))
        assert [values(event) for event in sqlite.read(path)] == [values(event) for event in expected]


def test_written_file_is_what_the_interchange_table_says(tmp_path: Path) -> None:
    events = [
        an_event(0),
        an_event(1, "tool", "nul \x00", tool="grep", attributes={"a": [1, "é"]}, loss=float("inf"), latency_ms=float("nan")),
    ]
    sqlite.write(tmp_path / "a.db", events)
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        columns = [name for _, name, *_ in connection.execute("pragma table_info(session_events)")]
        rows = connection.execute("select ts, session_id, role, message, seq, attributes, loss, latency_ms from session_events").fetchall()
        plan = " ".join(map(str, connection.execute("explain query plan select * from session_events where session_id = 's' order by seq")))
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    assert columns[:5] == ["ts", "session_id", "role", "message", "seq"]
    assert set(columns) == {"session_id", "message", *Event.model_fields} - {"session", "content"}
    assert len(columns) == len(Event.model_fields)
    assert rows == [
        (1763.25, "s", "user", "hello", 0, "{}", None, None),
        (1764.25, "s", "tool", "nul \x00", 1, '{"a":[1,"é"]}', float("inf"), "NaN"),
    ]
    assert "session_events_by_session" in plan


def test_existing_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is there already"):
        sqlite.write(path, [an_event()])
    assert path.read_bytes() == b""


def test_failed_source_leaves_no_file(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError, match="two events have the same session and seq"):
        sqlite.write(tmp_path / "a.db", [an_event(0), an_event(0)])
    with pytest.raises(ZeroDivisionError):
        sqlite.write(tmp_path / "a.db", (an_event(1 // seq) for seq in (1, 0)))
    assert set(tmp_path.iterdir()) == before


def test_events_without_seq_are_numbered_by_time_then_row(make: Make) -> None:
    rows = [
        (30, "b", "user", "b2"),
        (20, "a", "user", "a1"),
        (10, "b", "user", "b0"),
        (20, "a", "human", "a2"),
        (20.0, "b", "ai", "b1"),
        (5, "a", "user", "a0"),
    ]
    events = list(sqlite.read(make(FOUR, rows)))
    assert told(events) == [
        ("a", 0, 5, "a0"),
        ("a", 1, 20, "a1"),
        ("a", 2, 20, "a2"),
        ("b", 0, 10, "b0"),
        ("b", 1, 20, "b1"),
        ("b", 2, 30, "b2"),
    ]


def test_times_in_several_forms_are_put_in_one_order(make: Make) -> None:
    rows = [
        ("1970-01-01T02:00:30+02:00", "a", "user", "30"),
        ("1970-01-01 00:00:20", "a", "user", "20"),
        (25, "a", "user", "25"),
        ("10.5", "a", "user", "10"),
    ]
    assert [event.content for event in sqlite.read(make(FOUR, rows))] == ["10", "20", "25", "30"]


def test_milliseconds_are_seen(make: Make) -> None:
    (event,) = sqlite.read(make(FOUR, [(1_795_401_288_960, "a", "user", "x")]))
    assert event.ts == 1_795_401_288.96


def test_seq_of_the_table_is_kept_with_its_gaps(make: Make) -> None:
    create = "create table session_events (ts, session_id text, role, message, seq)"
    rows = [(1, "a", "user", "x", 7), (2, "a", "user", "y", 2), (0, "b", "user", "z", 2**53)]
    assert told(list(sqlite.read(make(create, rows)))) == [("a", 2, 2, "y"), ("a", 7, 1, "x"), ("b", 2**53, 0, "z")]


def test_seq_that_is_always_null_is_as_if_absent(make: Make) -> None:
    create = "create table session_events (ts, session_id text, role, message, seq)"
    assert [event.seq for event in sqlite.read(make(create, [(2, "a", "user", "x", None), (1, "a", "user", "y", None)]))] == [0, 1]


def test_seq_that_is_sometimes_null_or_there_twice_is_refused(make: Make) -> None:
    create = "create table session_events (ts, session_id text, role, message, seq)"
    message = refusal(
        make(create, [(1, "a", "user", "x", 0), (2, "a", "user", "y", None), (3, "b", "user", "z", 0), (4, "b", "user", "z", 0)])
    )
    assert "`seq` is missing (row 2 of theirs.db)" in message and "(row 1 of" not in message
    assert "`seq` is 0, as in another row of session 'b' (row 4 of theirs.db)" in message
    assert "has 2 problems" in message


def test_numbers_and_text_that_look_alike_are_one_session(make: Make) -> None:
    rows = [(1, 5, "user", "x"), (2, "5", "user", "y"), (3, 40, "user", "z"), (4, 5, "user", "w")]
    events = list(sqlite.read(make("create table session_events (ts, session_id, role, message)", rows)))
    assert told(events) == [("40", 0, 3, "z"), ("5", 0, 1, "x"), ("5", 1, 2, "y"), ("5", 2, 4, "w")]


def test_columns_of_ours_and_of_others_are_read_whatever_their_case(make: Make) -> None:
    columns = 'ID integer primary key, TS real, Session_ID text, Role text, Message text, Kind text, Tokens_In int, "odd ""name" text'
    create = f"create table Session_Events ({columns})"
    (event,) = sqlite.read(make(create, [(4, 1.5, "a b", "Human", "x", "agent", 3, "y")]))
    assert (event.kind, event.tokens_in, event.role, event.session[:4]) == ("agent", 3, "user", "a-b-")
    assert event.attributes == {"imported": {"ID": 4, "session_id": "a b", "role": "Human", 'odd "name': "y"}}


@pytest.mark.parametrize(
    ("create", "more"),
    [
        ("create table session_events (ts, session_id text, role, message, primary key (session_id, ts)) without rowid", []),
        (
            "create table turns (at, chat, who, said)",
            ["create view session_events as select at as ts, chat as session_id, who as role, said as message from turns"],
        ),
    ],
    ids=["without rowid", "view"],
)
def test_table_without_rows_of_its_own_is_read(make: Make, create: str, more: list[str]) -> None:
    rows = [(2, "a", "user", "y"), (1, "a", "user", "x"), (3, "a", "robot", "z")]
    insert = [f"insert into {'turns' if more else 'session_events'} values {row}" for row in rows]
    path = make(create, more=[*more, *insert[:2]])
    assert told(list(sqlite.read(path))) == [("a", 0, 1, "x"), ("a", 1, 2, "y")]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(insert[2])
        connection.commit()
    assert "`role` is 'robot' (row 3 of theirs.db)" in refusal(path)


@pytest.mark.parametrize(
    "columns",
    ["n as ts, 'a' as session_id, 'user' as role, '' as message", "n as ts, 'a' as session_id, 'user' as role, '' as message, null as seq"],
)
def test_view_without_an_end_is_refused(make: Make, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setattr(sqlite, "VIEW_STEPS", 3_000_000)
    endless = "with recursive count (n) as (select 1 union all select n + 1 from count)"
    path = make("create table other (x)", more=[f"create view session_events as {endless} select {columns} from count"])
    assert "the view session_events of" in refusal(path) and "gives no row; expected one within 3,000,000 steps" in refusal(path)


def test_equal_times_without_rows_are_put_in_the_order_of_role_and_message(make: Make) -> None:
    create = "create table session_events (ts, session_id text, role, message, primary key (message desc)) without rowid"
    rows = [(1, "a", "user", "x"), (1, "a", "user", "y"), (1, "a", "assistant", "z")]
    assert [event.content for event in sqlite.read(make(create, rows))] == ["z", "x", "y"]


def test_bad_rows_are_all_counted_and_nothing_is_given(make: Make) -> None:
    rows: list[tuple[Any, ...]] = [(at, "a", "user", "fine") for at in range(50)]
    rows += [("later", None, "robot", b"\x00")] * 10
    path = make("create table session_events (ts, session_id, role, message)", rows)
    given: list[Event] = []
    with pytest.raises(UserError) as caught:
        given.extend(sqlite.read(path))
    assert not given and len(caught.value.problems) == 21
    assert "`ts` is 'later' (row 51 of theirs.db)" in str(caught.value) and "'theirs.db' has 40 problems" in str(caught.value)


def test_text_that_is_no_utf8_is_named_with_its_row(make: Make) -> None:
    path = make(FOUR, [(1, "a", "user", "fine")], more=["insert into session_events values (2, 'a', 'user', cast(x'636166e9' as text))"])
    assert "(row 2 of theirs.db); expected text in UTF-8" in refusal(path)


def test_file_without_the_table_says_what_it_has(make: Make) -> None:
    assert "the tables are messages, other" in refusal(make("create table messages (x)", more=["create table other (x)"]))


def test_table_without_a_column_says_which_it_has(tmp_path: Path, make: Make) -> None:
    message = refusal(make("create table session_events (ts, session_id, who, message)"))
    assert "'session_events' has the columns ts, session_id, who, message" in message and "create view" in message


def test_empty_table_gives_nothing(make: Make) -> None:
    assert list(sqlite.read(make(FOUR))) == []


@pytest.mark.parametrize("content", [None, b"", b"not a database, but long enough to look at" * 50], ids=["missing", "empty", "other"])
def test_what_is_no_sqlite_file_is_refused_and_not_made(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "odd ?#%name.db"
    if content is not None:
        path.write_bytes(content)
    assert "odd ?#%name.db" in refusal(path)
    assert (path.read_bytes() if path.exists() else None) == content


def test_locked_file_is_refused_in_words(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(FOUR, [(1, "a", "user", "x")])
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *arguments, **options: connect(*arguments, timeout=0, **options))
    with closing(connect(path)) as writer:
        writer.execute("begin exclusive")
        assert "database is locked" in refusal(path)


def test_reading_changes_no_byte_and_leaves_nothing_beside_the_file(make: Make, tmp_path: Path) -> None:
    path = make(FOUR, [(1, "a", "user", "x")])
    before, beside = path.read_bytes(), sorted(tmp_path.iterdir())
    assert len(list(sqlite.read(path))) == 1
    assert path.read_bytes() == before and sorted(tmp_path.iterdir()) == beside


def test_rows_that_are_written_meanwhile_are_not_given(make: Make) -> None:
    path = make(FOUR, [(1, "a", "user", "x"), (2, "a", "user", "y")])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma journal_mode = wal").fetchone() == ("wal",)  # else a reader keeps writers out
    events = sqlite.read(path)
    first = next(events)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("insert into session_events values ('never checked', 'a', 'user', 'z')")
        writer.commit()
    assert [first.content, *(event.content for event in events)] == ["x", "y"]
    assert "has 1 problem;" in refusal(path)


def test_rows_that_are_written_between_checking_and_giving_are_not_given(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(FOUR, [(1, "a", "user", "x")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")

    def write(findings: Findings) -> None:
        with closing(sqlite3.connect(path)) as writer:
            writer.execute("insert into session_events values (2, 'a', 'user', 'y')")
            writer.commit()

    monkeypatch.setattr(Findings, "refuse", write)
    assert [event.content for event in sqlite.read(path)] == ["x"]


def test_events_come_one_by_one(tmp_path: Path) -> None:
    taken: list[int] = []

    def source() -> Any:
        for seq in range(1000):
            taken.append(seq)
            yield an_event(seq)

    assert sqlite.write(tmp_path / "a.db", source()) == 1000 == len(taken)
    events = sqlite.read(tmp_path / "a.db")
    assert [next(events).seq, next(events).seq] == [0, 1]
    events.close()  # pyright: ignore[reportAttributeAccessIssue]
