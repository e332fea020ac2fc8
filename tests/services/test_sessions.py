"""The session log as the Sessions page looks through it, against plain lists of what was written."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from codex.core.errors import UserError, WorkspaceError
from codex.core.events import Event
from codex.core.paths import Workspace
from codex.services import sessions as module
from codex.services.sessions import STRETCH, Filters, Sessions, day_start
from codex.sessionlog import SessionInfo, SessionLog
from tests.sessionlog.logs import flip, write_segments

NOON = datetime(2026, 11, 20, 12).astimezone().timestamp()
DAY = 86_400.0
SAID = {
    "chat-a": ("chat", 0, [("user", "Where is the zebra?", None), ("assistant", "In the zoo of Basel.", None)]),
    "chat-b": ("chat", 1, [("user", "Where is the lion?", None), ("assistant", "Zebras are eaten there.", None)]),
    "agent-a": ("agent", 2, [("tool", "zebra: not found", "files.search"), ("error", "gave up", None)]),
    "training-a": ("training", 3, [("info", "", None)] * 3),
}
"""Session → its kind, its day after the 20th, and what was said in it."""


def _events(name: str) -> list[Event]:
    kind, day, said = SAID[name]
    rows = [("info", f"Title of {name}", None), *said]
    marks = [{"session_event": "opened"}, *({} for _ in said)]
    steps = [
        {"step": seq, "loss": 4.0 - seq, "attributes": {"split": "train"}} if kind == "training" and seq else {} for seq in range(len(rows))
    ]
    return [
        Event(**{"session": name, "seq": seq, "ts": NOON + day * DAY + seq, "role": role, "kind": kind, "content": content, "tool": tool,
                 "attributes": marks[seq], **steps[seq]})
        for seq, (role, content, tool) in enumerate(rows)
    ]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose log holds SAID."""
    made = Workspace(tmp_path / "workspace").create()
    with SessionLog.open(made) as log:
        for name in SAID:
            log.ingest(_events(name))
    return made


@pytest.fixture
def sessions(workspace: Workspace) -> Iterator[Sessions]:
    """What is tested."""
    made = Sessions(workspace)
    yield made
    made.close()


def _listed(sessions: Sessions, **filters: str) -> list[str]:
    return [info.id for info in sessions.listed(Filters(**filters)).sessions]


NEWEST_FIRST = ["training-a", "agent-a", "chat-b", "chat-a"]


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, NEWEST_FIRST),
        ({"kind": "chat"}, ["chat-b", "chat-a"]),
        ({"role": "error"}, ["agent-a"]),
        ({"tool": "files.search"}, ["agent-a"]),
        ({"tool": "files"}, []),
        ({"since": "2026-11-22"}, ["training-a", "agent-a"]),
        ({"until": "2026-11-21"}, ["chat-b", "chat-a"]),
        ({"since": "2026-11-21", "until": "2026-11-22", "kind": "chat"}, ["chat-b"]),
        ({"kind": "decision"}, []),
    ],
)
def test_list_holds_what_fits_newest_first(sessions: Sessions, filters: dict[str, str], shown: list[str]) -> None:
    assert _listed(sessions, **filters) == shown


def test_list_comes_in_pages(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_ROWS", 3)
    first, second = sessions.listed(Filters()), sessions.listed(Filters(), 1)
    assert [info.id for info in (*first.sessions, *second.sessions)] == NEWEST_FIRST
    assert (first.more, second.more) == (True, False)


def test_condition_in_sql_is_asked_in_a_process_of_its_own_and_kept(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = module.fitting
    monkeypatch.setattr(module, "fitting", lambda where, *more, **named: (asked.append(where), real(where, *more, **named))[1])
    monkeypatch.setattr(module, "PAGE_ROWS", 2)
    where = "errors = 0 and events > 1 -- and no more"
    pages = [sessions.listed(Filters(where=where), page) for page in (0, 1)]
    assert [[info.id for info in page.sessions] for page in pages] == [["training-a", "chat-b"], ["chat-a"]]
    assert [page.more for page in pages] == [True, False]
    assert {hit.event.session for hit in sessions.search(Filters(text="zebra", where=where)).hits} == {"chat-a", "chat-b"}, "no agent-a"
    assert len(asked) == 1


def test_condition_that_cannot_be_answered_is_told_and_not_asked_again_at_once(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(where: str, *more: object, **named: object) -> None:
        asked.append(where)
        raise UserError("the query is wrong", "expected SQL", "Mend it.")

    monkeypatch.setattr(module, "fitting", refuse)
    for _ in range(3):
        with pytest.raises(UserError, match="the query is wrong"):
            sessions.listed(Filters(where="nothing"))
    assert len(asked) == 1
    monkeypatch.setattr(module, "CONDITION_SECONDS", 0.0)
    with pytest.raises(UserError):
        sessions.listed(Filters(where="nothing"))
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("filters", "where", "what"),
    [
        ({"since": "yesterday"}, "listed", "the day `since` is 'yesterday'"),
        ({"until": "2026-13-01"}, "listed", "the day `until` is"),
        ({"rating": "fine"}, "listed", "the rating is 'fine'"),
        ({"text": "?!"}, "search", "has no word"),
    ],
)
def test_filter_that_is_none_is_told(sessions: Sessions, filters: dict[str, str], where: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        getattr(sessions, where)(Filters(**filters))


def test_day_begins_at_midnight_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert day_start("2026-11-20", "since") == datetime.fromisoformat("2026-11-20T00:00:00+09:00").timestamp()
        assert day_start("2026-11-20", "until", days_later=1) == datetime.fromisoformat("2026-11-21T00:00:00+09:00").timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_search_finds_beginnings_of_the_last_word_and_names_sessions(sessions: Sessions) -> None:
    found = sessions.search(Filters(text="zebr"))
    assert {(hit.event.session, hit.event.seq) for hit in found.hits} == {("chat-a", 1), ("chat-b", 2), ("agent-a", 1)}
    assert found.titles["chat-b"] == "Title of chat-b"
    assert {hit.event.session for hit in sessions.search(Filters(text="zebr", kind="chat")).hits} == {"chat-a", "chat-b"}
    assert sessions.search(Filters(text="giraffe")).hits == ()


def test_search_finds_events_whose_kind_no_session_has_and_takes_a_chosen_kind_as_that_of_sessions(
    sessions: Sessions, workspace: Workspace
) -> None:
    with SessionLog.open(workspace) as log, log.session("chat", "Weighed", id="chat-c") as session:
        session.append("info", "a giraffe was preferred", kind="decision")

    def found(**filters: str) -> list[tuple[str, int]]:
        return [(hit.event.session, hit.event.seq) for hit in sessions.search(Filters(text="giraffe", **filters)).hits]

    assert found() == found(kind="chat") == found(kind="chat", where="events > 2") == [("chat-c", 1)]
    assert found(kind="decision") == found(kind="training") == found(kind="chat", where="events > 9") == []
    sessions.say("chat-c", 1, note="no giraffe")
    assert found() == [("chat-c", 1)]
    assert [session.startswith("annotation-") for session, _ in found(kind="annotation")] == [True]


def test_ratings_select_and_are_themselves_not_listed(sessions: Sessions) -> None:
    sessions.say("chat-a", 2, rating=1, note="Right.")
    sessions.say("chat-b", 2, rating=-1, edit="In Africa.")
    assert _listed(sessions) == NEWEST_FIRST
    assert len(_listed(sessions, kind="annotation")) == 2
    assert (_listed(sessions, rating="good"), _listed(sessions, rating="bad")) == (["chat-a"], ["chat-b"])
    assert [hit.event.session for hit in sessions.search(Filters(text="zebra", rating="good")).hits] == ["chat-a"]
    assert _listed(sessions, rating="good", where="id <> 'chat-a'") == []
    assert _listed(sessions, rating="good", where="id <> 'chat-b'") == ["chat-a"]
    assert sessions.totals().sessions == len(SAID)
    event, said = sessions.event("chat-b", 2)
    assert said is not None
    assert (event.content, said.rating, said.edit, said.note) == ("Zebras are eaten there.", -1, "In Africa.", None)
    sessions.say("chat-a", 2, rating=0)
    assert _listed(sessions, rating="good") == []
    with pytest.raises(UserError, match="no event 99"):
        sessions.say("chat-a", 99, rating=1)


def test_totals_follow_the_log_and_are_counted_once_while_it_stays(
    sessions: Sessions, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = sessions.totals()
    assert (totals.sessions, totals.events, totals.tools) == (4, 13, ("files.search",))
    assert totals.kinds == ("agent", "chat", "training")
    assert totals.size > 0
    with monkeypatch.context() as still:
        still.setattr(sessions._log, "sql", None)
        assert sessions.totals() == totals
    with SessionLog.open(workspace) as log, log.session("evaluation", "One more"):
        pass
    assert sessions.totals().sessions == 5
    assert _listed(sessions)[0].startswith("evaluation-")


def _long(workspace: Workspace, seqs: list[int], name: str = "long") -> None:
    events = [Event(session=name, seq=seq, ts=NOON + 10 * DAY + seq, role="info", kind="agent", content=f"n{seq}") for seq in seqs]
    write_segments(workspace.log, events, 1, seed=len(name))


@pytest.mark.parametrize("compacted", [False, True])
def test_long_session_comes_in_stretches_forwards_and_backwards(sessions: Sessions, workspace: Workspace, compacted: bool) -> None:
    seqs = [*range(450), *range(1000, 1003)]  # a gap, as a damaged log has it
    _long(workspace, seqs)
    if compacted:
        SessionLog.open(workspace).compact()
    forwards, place = [], sessions.stretch("long")
    while True:
        forwards.append([event.seq for event in place.events])
        if not place.later:
            break
        place = sessions.stretch("long", first=place.events[-1].seq + 1)
        assert place.earlier
    assert [seq for part in forwards for seq in part] == seqs
    assert max(map(len, forwards)) == STRETCH
    assert place.position == 1003
    backwards, place = [], sessions.stretch("long", before=2**63 - 1)
    while True:
        backwards.insert(0, [event.seq for event in place.events])
        if not place.earlier:
            break
        place = sessions.stretch("long", before=place.events[0].seq)
        assert place.later
    assert [seq for part in backwards for seq in part] == seqs


def test_stretch_holds_the_event_that_was_asked_for(sessions: Sessions, workspace: Workspace) -> None:
    _long(workspace, [*range(450)])
    for seq in (0, 199, 200, 449):
        seqs = [event.seq for event in sessions.stretch("long", at=seq).events]
        assert seqs == list(range(max(0, seq - STRETCH // 2), min(450, max(STRETCH, seq + STRETCH // 2))))
    assert sessions.stretch("long", at=10**9).events == ()
    assert sessions.stretch("long", first=-5).events[0].seq == 0


def test_stretch_gives_events_as_they_were_written_and_says_whether_steps_are_among_them(sessions: Sessions) -> None:
    for name in SAID:
        shown = sessions.stretch(name)
        assert list(shown.events) == _events(name)
        assert shown.measured == (name == "training-a")
        assert (shown.info.title, shown.earlier, shown.later) == (f"Title of {name}", False, False)


def test_session_whose_part_is_damaged_has_its_head_and_says_that_its_events_cannot_be_read(workspace: Workspace) -> None:
    SessionLog.open(workspace).compact()
    flip(next((workspace.log / "parts").glob("2026-11-20/*")))
    sessions = Sessions(workspace)
    shown = sessions.stretch("chat-a")
    assert (shown.info.title, shown.info.events, shown.events, shown.later) == ("Title of chat-a", 3, (), False)
    said = "none of the 3 events of session 'chat-a' can be read; expected .* `codex-ml logs doctor`"
    assert re.match(said, str(shown.problem))
    with pytest.raises(UserError, match=said):
        sessions.event("chat-a", 1)
    assert sessions.stretch("chat-b").problem is None and len(sessions.stretch("chat-b").events) == 3


@pytest.mark.parametrize("again", [False, True])
def test_session_that_is_purged_while_it_is_opened_is_unknown_or_the_new_one(
    sessions: Sessions, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    real = sessions.info

    def info(session: str) -> SessionInfo:
        seen = real(session)
        monkeypatch.setattr(sessions, "info", real)
        SessionLog.open(workspace).purge(NOON + DAY / 2)
        if again:
            with SessionLog.open(workspace) as log, log.session("chat", "Anew", id=session):
                pass
        return seen

    monkeypatch.setattr(sessions, "info", info)
    if again:
        assert sessions.stretch("chat-a").events[0].content == "Anew"
    else:
        with pytest.raises(UserError, match="'chat-a' is unknown"):
            sessions.stretch("chat-a")


@pytest.mark.parametrize("where", ["segments", "."])
def test_log_that_is_no_folder_is_told_in_words(workspace: Workspace, where: str) -> None:
    shutil.rmtree(workspace.log / where)
    (workspace.log / where).write_text("a file")
    sessions = Sessions(workspace)
    for ask in (sessions.totals, lambda: sessions.listed(Filters()), lambda: sessions.search(Filters(text="zebra"))):
        with pytest.raises(WorkspaceError, match=r"cannot be read \(Not a directory\)"):
            ask()


@pytest.mark.parametrize("name", ["nothing", "", "../x", "'; select 1; --", "x" * 5000])
def test_unknown_session_is_told(sessions: Sessions, name: str) -> None:
    with pytest.raises(UserError, match="is unknown"):
        sessions.stretch(name)


def test_what_comes_later_is_newer(sessions: Sessions, workspace: Workspace) -> None:
    with SessionLog.open(workspace) as log, log.session("chat", "Grows", id="grows") as chat:
        chat.append("user", "One")
        position = sessions.stretch("grows").position
        assert sessions.newer("grows", position) == ([], position)
        chat.append("assistant", "Two")
        events, position = sessions.newer("grows", position)
        assert [event.content for event in events] == ["Two"]
        assert sessions.newer("grows", position)[0] == []


def test_event_that_is_not_there_is_told(sessions: Sessions) -> None:
    with pytest.raises(UserError, match="has no event 7"):
        sessions.event("chat-a", 7)


def test_chosen_are_the_sessions_of_all_pages(sessions: Sessions) -> None:
    sessions.say("chat-b", 2, rating=1)
    assert sessions.chosen(Filters()).sessions == ()
    assert sessions.chosen(Filters(kind="chat")).kinds == ("chat",)
    assert sessions.chosen(Filters(rating="good")).sessions == ("chat-b",)
    assert sessions.chosen(Filters(text="zebra")).sessions == ("agent-a", "chat-a", "chat-b")
    for filters in (Filters(text="giraffe"), Filters(rating="bad")):
        with pytest.raises(UserError, match="no session fits"):
            sessions.chosen(filters)


def test_filters_are_read_from_an_address() -> None:
    query = {"q": " zebra ", "kind": "chat", "where": "events > 1", "s": "chat-a", "nonsense": "x"}
    assert Filters.of(query) == Filters(text="zebra", kind="chat", where="events > 1")
