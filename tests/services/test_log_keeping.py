"""Files of others in and out, and keeping the log, on real logs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from codex.core.errors import UserError
from codex.core.events import Event
from codex.core.paths import Workspace
from codex.services import log_keeping
from codex.services.log_keeping import Exported, Format, Ingested, export_events, format_of, import_events
from codex.services.logs import Selection, SessionLog, open_log
from tests.sessionlog.logs import by_key, some_events, write_segments

EVENTS = some_events(200)


@pytest.fixture
def log(workspace: Workspace) -> SessionLog:
    """200 events of 12 sessions."""
    write_segments(workspace.log, EVENTS)
    return open_log(workspace)


@pytest.fixture
def other(tmp_path: Path) -> SessionLog:
    """An empty log."""
    return open_log(Workspace(tmp_path / "other"))


@pytest.mark.parametrize(
    ("path", "asked", "writing", "format"),
    [
        ("a.sqlite", None, True, "sqlite"), ("a.DB", None, False, "sqlite"), ("a.b.sqlite3", None, True, "sqlite"),
        ("a.ndjson", None, True, "ndjson"), ("a.jsonl.gz", None, False, "ndjson"), ("a.JSONL.GZ", None, True, "ndjson"),
        ("a.json", None, True, "otlp"), ("a.json.gz", None, True, "otlp"), ("-", None, True, "ndjson"), ("-", None, False, "ndjson"),
        ("-", "otlp", True, "otlp"), ("a.json", "ndjson", False, "ndjson"), ("a", "sqlite", True, "sqlite"),
        ("a.txt", "ndjson", True, "ndjson"),
    ],
)  # fmt: skip
def test_format_of_a_name_is_what_was_asked_for_else_its_ending(path: str, asked: str | None, writing: bool, format: Format) -> None:
    assert format_of(path, asked, writing=writing) == format


@pytest.mark.parametrize(
    ("path", "asked", "writing", "said"),
    [
        ("a.txt", None, True, "'a.txt' does not say its format; expected a name that ends in .sqlite, .sqlite3, .db,"),
        ("gz", None, True, "does not say its format"),
        ("a.json", None, False, "expected a name that ends in .sqlite, .sqlite3, .db, .ndjson, .jsonl. Or add `--format ndjson`"),
        ("a.db", "csv", True, "`--format` is 'csv'; expected one of sqlite, ndjson, otlp"),
        ("a.json", "otlp", False, "`--format` is 'otlp'; expected one of sqlite, ndjson"),
        ("-", "sqlite", True, "standard input or output cannot be SQLite"),
        ("a.db.gz", None, False, "the packed file 'a.db.gz' cannot be SQLite"),
    ],
)  # fmt: skip
def test_format_of_a_name_that_has_none_is_refused(path: str, asked: str | None, writing: bool, said: str) -> None:
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        format_of(path, asked, writing=writing)


@pytest.mark.parametrize("name", ["all.sqlite", "all.jsonl.gz"])
def test_export_comes_back_by_import_as_it_was_and_only_once(log: SessionLog, other: SessionLog, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    format = format_of(name, None, writing=True)
    assert export_events(log, path, format, Selection()) == Exported(format, 200)
    assert import_events(other, path, format) == Ingested(200, 0)
    assert by_key(other.scan()) == by_key(EVENTS)
    assert import_events(open_log(Workspace(other.folder.parent)), path, format) == Ingested(0, 200)


def test_export_of_a_selection_has_what_fits(log: SessionLog, tmp_path: Path) -> None:
    selection = Selection(roles=("tool",), sessions=("-11", "s-3"), where="latency_ms > 20")
    wanted = [event for event in EVENTS if event.session in ("s-11", "s-3") and event.role == "tool" and (event.latency_ms or 0) > 20]
    stream = io.BytesIO()
    assert export_events(log, stream, "ndjson", selection).events == len(wanted) > 0
    assert by_key(Event.model_validate_json(line) for line in stream.getvalue().splitlines()) == by_key(wanted)
    for refused in (Selection(where="latency > 20"), Selection(sessions=("nobody",)), Selection(kinds=("chta",))):
        with pytest.raises(UserError):
            export_events(log, tmp_path / "x.ndjson", "ndjson", refused)
    assert not (tmp_path / "x.ndjson").exists()


def test_export_as_spans_counts_what_is_none(log: SessionLog) -> None:
    stream = io.BytesIO()
    done = export_events(log, stream, "otlp", Selection())
    spans = json.loads(stream.getvalue())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert done.spans == len(spans) > 0
    assert done.events + done.skipped == 200
    calls = sum(event.role in ("tool", "assistant") for event in EVENTS)
    assert done.events >= calls > 0


def test_import_of_lines_that_come_in_turns_opens_each_session_once(other: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = SessionLog._lock  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(SessionLog, "_lock", lambda self, name: (opened.append(name), real(self, name))[1])
    lines = b"".join(event.model_dump_json().encode() + b"\n" for event in EVENTS)
    assert import_events(other, io.BytesIO(lines), "ndjson") == Ingested(200, 0)
    assert sorted(opened) == sorted({event.session for event in EVENTS})
    assert by_key(other.scan()) == by_key(EVENTS)


def test_import_of_a_bad_row_adds_nothing(other: SessionLog, tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    good = EVENTS[0].model_dump_json()
    path.write_text(f'{good}\n{{"ts": "soon", "session_id": "a", "seq": 1, "role": "user", "message": "hi"}}\n')
    with pytest.raises(UserError) as refused:
        import_events(other, path, "ndjson")
    assert refused.value.problems[0].where == "line 2 of bad.ndjson"
    assert other.sessions() == []


def test_purge_says_beforehand_what_goes(log: SessionLog) -> None:
    before = sorted(max(event.ts for event in EVENTS if event.session == f"s-{number}") for number in range(12))[5] + 1e-6
    old = {info.id for info in log.sessions() if info.last_ts < before}
    told = log_keeping.purge(log, before, dry_run=True)
    assert (told.sessions, told.events) == (6, sum(event.session in old for event in EVENTS))
    assert len(log.sessions()) == 12
    done = log_keeping.purge(log, before)
    assert (done.sessions, done.events) == (told.sessions, told.events)
    assert {info.id for info in log.sessions()} == {f"s-{number}" for number in range(12)} - old


def test_compact_examine_and_repair_are_of_this_log(log: SessionLog, workspace: Workspace) -> None:
    done = log_keeping.compact(log)
    assert (done.segments, done.events) == (4, 200)
    assert log_keeping.examine(log).ok
    assert log_keeping.repair(log) == ()
    manifest = workspace.log / "MANIFEST"
    manifest.write_bytes(manifest.read_bytes()[:-5])
    found = log_keeping.examine(open_log(workspace))
    assert [each.where for each in found.findings] == ["MANIFEST"]
    assert len(log_keeping.repair(open_log(workspace))) >= 1
    assert log_keeping.examine(open_log(workspace)).ok
    assert len(open_log(workspace).sessions()) == 12
