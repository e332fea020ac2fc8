"""What is said of events, when it is not what we would have written."""

from __future__ import annotations

from typing import Any

import pytest

from codex.core.errors import UserError
from codex.sessionlog import Ingested, Selection, SessionLog
from tests.sessionlog.logs import write_segments
from tests.sessionlog.said import ODD, TALK, hostile, ratings_of, said


@pytest.mark.parametrize("compacted", [False, True])
def test_log_with_any_annotation_in_it_can_be_read(log: SessionLog, compacted: bool) -> None:
    events = hostile(300, seed=5)
    wanted = ratings_of(events)
    assert {-1, 0, 1} == {rating for rating in wanted.values() if rating is not None}
    write_segments(log.folder, [*TALK, *events])
    if compacted:
        assert log.compact().events == len(TALK) + len(events)
    assert {seq: each.rating for seq, each in log.annotations("s").items()} == wanted
    good, bad = ({seq for seq, rating in wanted.items() if rating == value} for value in (1, -1))
    (info,) = log.find(Selection(sessions=("s",)))
    assert (info.rated_good, info.rated_bad) == (len(good), len(bad))
    assert [event.seq for event in log.scan(Selection(sessions=("s",), rating=1))] == sorted(good & set(range(4)))
    assert {hit.event.seq for hit in log.search("hello", Selection(rating=-1))} == bad & set(range(4))
    assert len(log.sessions()) == len(log.rows("select id from sessions")) == 1 + len(events)
    assert log.check().ok and log.purge(150.0, dry_run=True).sessions >= 1


BAD: list[tuple[str, dict[str, Any]]] = [
    ("`about`", {"about": "s"}),
    ("`about`", {"about": ["s", 0]}),
    ("`about.session`", {"about": {"seq": 0}}),
    ("`about.session`", {"about": {"session": 5, "seq": 0}}),
    ("`about.seq`", {"about": {"session": "s"}}),
    *(("`about.seq`", {"about": {"session": "s", "seq": odd}}) for odd in ODD if type(odd) is not int or not 0 <= odd <= 2**53),
    *(("`rating`", {"rating": odd}) for odd in ODD if odd is not None and (type(odd) is not int or odd not in (-1, 0, 1))),
    ("`note`", {"note": {"a": 1}}),
    ("`edit`", {"edit": 5}),
]


def test_import_refuses_what_is_no_annotation_and_adds_nothing(log: SessionLog) -> None:
    for name, attributes in BAD:
        with pytest.raises(UserError, match="so nothing was imported") as refused:
            log.ingest([*TALK, said({"about": {"session": "s", "seq": 1}, **attributes}, 7)])
        assert str(refused.value).startswith(f"{name} of annotation 0 of session 'said-7' is ")
    assert not log.folder.exists() or log.events("s") == []


def test_import_takes_every_annotation_of_ours(log: SessionLog) -> None:
    about = {"session": "s", "seq": 1}
    ours = [{"about": about, "rating": rating} for rating in (-1, 0, 1, None)]
    ours += [{"about": about, "note": "n", "edit": ""}, {"session_event": "opened"}, {"about": None}, {}]
    assert log.ingest([*TALK, *(said(attributes, number) for number, attributes in enumerate(ours))]) == Ingested(12, 0)
    assert log.annotations("s")[1].rating == 1
