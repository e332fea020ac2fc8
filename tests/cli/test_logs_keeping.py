"""`codex-ml logs stats`, `export`, `import`, `purge`, `compact` and `doctor`."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from codex.core import clock, numbers
from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.core.paths import Workspace
from codex.sessionlog import SessionLog
from tests.cli.conftest import Cli
from tests.sessionlog.logs import by_key, some_events, write_segments

EVENTS = some_events(120)


@pytest.fixture
def log(surroundings: Workspace) -> SessionLog:
    """120 events of 12 sessions on 3 days."""
    write_segments(surroundings.log, EVENTS)
    return SessionLog.open(surroundings)


@pytest.fixture
def aged(surroundings: Workspace) -> SessionLog:
    """A session of 3 events that ended 100 days ago, and one of 2 events of now."""
    now = clock.now()
    alike = {"role": "user", "kind": "chat", "content": "word"}
    log = SessionLog.open(surroundings)
    log.ingest(Event.model_validate({"session": "old", "seq": seq, "ts": now - (100 - seq) * 86_400, **alike}) for seq in range(3))
    log.ingest(Event.model_validate({"session": "new", "seq": seq, "ts": now - 5, **alike}) for seq in range(2))
    log.close()
    return log


# stats


def _section(out: str, title: str) -> list[list[str]]:
    lines = out.partition(f"\n{title}\n")[2].partition("\n\n")[0].splitlines()
    return [line.split() for line in lines]


@pytest.mark.usefixtures("log")
def test_stats_show_the_numbers_of_the_log(cli: Cli) -> None:
    out = cli("logs", "stats").out
    assert out.splitlines()[:3] == ["events    120", "sessions  12", "redacted  0 secrets"]
    roles = Counter(event.role for event in EVENTS)
    kinds = _section(out, "By kind and role")
    assert kinds[0] == ["kind", "role", "events"]
    assert {(kind, role): int(count) for kind, role, count in kinds[1:]} == {("agent", role): count for role, count in roles.items()}
    assert [row[0] for row in _section(out, "By day, UTC")[1:]] == ["2026-11-23", "2026-11-24", "2026-11-25"]
    assert {row[0] for row in _section(out, "Slowest tools, ms")[1:]} == {"grep", "read"}
    assert _section(out, "Tokens by model")[1][:2] == ["codex-tiny", str(roles["assistant"])]
    found = cli("logs", "stats", "--json").json
    assert found["events"] == 120
    assert f"total             {numbers.size(found['disk']['total'])}" in out
    assert f"an event          {found['disk']['per_event']:.0f} B" in out


@pytest.mark.usefixtures("log")
def test_stats_of_some_days_and_of_nothing(cli: Cli) -> None:
    found = cli("logs", "stats", "--since", "2026-11-24T00:00Z", "--until", "2026-11-25T00:00Z", "--json").json
    assert [day["day"] for day in found["days"]] == ["2026-11-24"]
    assert found["events"] == sum(day["events"] for day in found["days"])
    answer = cli("logs", "stats", "--until", "2020-01-01")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("No events that fit in ")


# export and import


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("name", ["all.db", "all.jsonl.gz"])
def test_export_and_import_into_another_workspace_keep_everything(cli: Cli, tmp_path: Path, name: str) -> None:
    path, other = tmp_path / name, tmp_path / "other"
    assert cli("logs", "export", path).out == f"{path}: 120 events.\n"
    assert cli("logs", "import", path, "--workspace", other).out == "120 events added.\n"
    assert by_key(SessionLog.open(other).scan()) == by_key(EVENTS)
    assert cli("logs", "import", path, "--workspace", other).out == "0 events added; 120 events that the log has already skipped.\n"
    assert cli("logs", "import", path, "--workspace", other, "--json").json == {"added": 0, "skipped": 120, "renamed": {}}
    again = cli("logs", "export", path)
    assert (again.code, again.out) == (2, "")
    assert "is there already; expected the path of a new file." in again.err


def test_import_of_another_session_of_the_same_name_says_what_it_is_called_here(cli: Cli, tmp_path: Path) -> None:
    for name, said in (("a", ["hi", "answer"]), ("b", ["question", "other", "more"])):
        rows = ({"ts": at, "session_id": "default", "role": "user", "message": text} for at, text in enumerate(said))
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli("logs", "import", tmp_path / "a.jsonl").out == "2 events added.\n"
    moved = "Session 'default' is another one here; imported as 'default-2'.\n"
    assert cli("logs", "import", tmp_path / "b.jsonl").out == f"3 events added.\n{moved}"
    again = cli("logs", "import", tmp_path / "b.jsonl")
    assert again.out == f"0 events added; 3 events that the log has already skipped.\n{moved}"
    assert cli("logs", "import", tmp_path / "b.jsonl", "--json").json["renamed"] == {"default": "default-2"}


@pytest.mark.usefixtures("log")
def test_export_to_a_pipe_is_what_import_takes_from_one(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = cli("logs", "export", "-", "--role", "tool", "--session", "s-3")
    wanted = [event for event in EVENTS if event.role == "tool" and event.session == "s-3"]
    assert by_key(Event.model_validate_json(line) for line in answer.out.splitlines()) == by_key(wanted)
    assert answer.err == f"{len(wanted)} events.\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(answer.out.encode())))
    assert cli("logs", "import", "-", "--workspace", tmp_path / "other").out == f"{len(wanted)} events added.\n"


@pytest.mark.usefixtures("log")
def test_export_as_spans_says_how_many_and_what_is_left_out(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    answer = cli("logs", "export", path, "--json")
    found = answer.json
    spans = json.loads(path.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert found == {
        "path": str(path),
        "format": "otlp",
        "events": 120 - found["skipped"],
        "spans": len(spans),
        "skipped": found["skipped"],
    }
    assert "adapter" not in path.read_text()
    said = cli("logs", "export", tmp_path / "said.json", "--content").out
    assert said == f"{tmp_path / 'said.json'}: {len(spans)} spans; {found['skipped']} events that are no call left out.\n"
    assert "adapter" in (tmp_path / "said.json").read_text()


def test_import_of_bad_rows_names_them_and_adds_nothing(cli: Cli, tmp_path: Path, surroundings: Workspace) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(EVENTS[0].model_dump_json() + '\n{"ts": "soon", "session_id": "a", "seq": 1, "role": "us\\u001ber", "message": "hi"}\n')
    answer = cli("logs", "import", path)
    assert (answer.code, answer.out) == (2, "")
    assert "\x1b" not in answer.err
    assert len(answer.err.splitlines()) == 3
    assert all(line.startswith("Error: ") for line in answer.err.splitlines())
    assert not list(surroundings.log.rglob("*.ndjson"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("export x.txt", "'x.txt' does not say its format; expected a name that ends in .sqlite, .sqlite3, .db, .ndjson, .jsonl, .json."),
        ("export x.db --format csv", "`--format` is 'csv'; expected one of sqlite, ndjson, otlp."),
        ("export - --format sqlite", "standard input or output cannot be SQLite; expected the path of a plain file."),
        ("export x.db --content", "`--content` is given for sqlite; expected it for otlp alone."),
        ("export - --json", '"what": "`--json` is given, and stdout is the export"'),
        ("export x.db --where nothing=1", "the condition 'nothing=1' cannot be used"),
        ("export", "PATH is missing; expected a new file"),
        ("export /proc/x.db", "'/proc/x.db' was not written"),
        ("import nothing.db", "'nothing.db' cannot be read"),
        ("import nothing.jsonl", "'nothing.jsonl' cannot be read"),
        ("import spans.json", "expected a name that ends in .sqlite, .sqlite3, .db, .ndjson, .jsonl."),
        ("purge", "`--older-than` is missing; expected the age from which sessions go. For example `--older-than 90d`."),
        ("purge --older-than 3m", "`--older-than` is '3m'; expected a day"),
        ("purge --older-than 2999-01-01", "`--older-than` is '2999-01-01', which is to come; expected a time that is over."),
        ("stats --since x", "`--since` is 'x'; expected a day"),
        ("doctor --mend", "option '--mend' is unknown"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surroundings: Workspace, line: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cli("logs", *line.split())
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert not list(tmp_path.glob("x.*"))
    assert not surroundings.log.exists()


# purge


def test_purge_asks_and_keeps_everything_without_a_yes(cli: Cli, aged: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    dry = cli("logs", "purge", "--older-than", "90d", "--dry-run")
    assert dry.out.startswith("Would go: 1 session with 3 events, last written before ")
    refused = cli("logs", "purge", "--older-than", "90d")
    assert (refused.code, refused.out) == (2, "")
    assert "nobody can be asked whether to remove 1 session with 3 events" in refused.err
    assert "Write `codex-ml logs purge --older-than 90d --yes`." in refused.err
    monkeypatch.setattr("codex.cli.logs_keeping.is_terminal", lambda stream: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    declined = cli("logs", "purge", "--older-than", "90d")
    assert (declined.code, declined.out) == (1, "")
    assert "Remove 1 session with 3 events, last written before" in declined.err
    assert declined.err.endswith("It cannot be undone. [y/N] Nothing was removed.\n")
    assert {info.id for info in aged.sessions()} == {"old", "new"}
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli("logs", "purge", "--older-than", "90d").out.startswith("Removed 1 session with 3 events; ")
    assert {info.id for info in aged.sessions()} == {"new"}


def test_purge_with_yes_removes_what_is_old_and_only_once(cli: Cli, aged: SessionLog) -> None:
    assert cli("logs", "purge", "--older-than", "90d", "--dry-run", "--json").json == {
        "sessions": 1,
        "events": 3,
        "freed_bytes": 0,
        "held_sessions": 0,
        "quarantined_files": 0,
    }
    found = cli("logs", "purge", "--older-than", "90d", "--yes", "--json").json
    assert (found["sessions"], found["events"]) == (1, 3)
    assert [info.id for info in aged.sessions()] == ["new"]
    again = cli("logs", "purge", "--older-than", "90d", "--yes")
    assert again.out.startswith("No session was last written before ")


def test_purge_says_that_copies_of_damaged_data_stay(cli: Cli, aged: SessionLog) -> None:
    (aged.folder / "quarantine").mkdir()
    (aged.folder / "quarantine" / "2026.v2.ndjson.json").write_text('{"frames": []}')
    for flags in ("--dry-run", "--yes", "--yes"):
        said = cli("logs", "purge", "--older-than", "90d", flags).out
        assert "quarantine/ has 1 file of what was once damaged" in said and "delete what you do not need" in said


def test_purge_of_no_log_makes_none(cli: Cli, surroundings: Workspace) -> None:
    assert cli("logs", "purge", "--older-than", "90d").code == 0
    assert not surroundings.root.exists()


# compact and doctor


@pytest.mark.usefixtures("log")
def test_compact_says_what_it_did_and_that_there_is_nothing_left(cli: Cli) -> None:
    assert cli("logs", "compact").out == "120 events of 4 segments compacted.\n"
    assert cli("logs", "compact").out == "Nothing to compact.\n"
    assert cli("logs", "compact", "--json").json == {"segments": 0, "events": 0, "merged": 0, "damaged": 0, "removed": 0, "unmerged": ""}


def test_compact_with_another_at_it_says_to_wait(cli: Cli, log: SessionLog) -> None:
    from codex.sessionlog.locks import only_one

    with only_one(log.folder):
        answer = cli("logs", "compact")
    assert answer.code == 2
    assert "is being compacted by another process; expected one compactor at a time." in answer.err


def test_doctor_names_what_is_damaged_and_mends_it(cli: Cli, log: SessionLog) -> None:
    cli("logs", "compact")
    healthy = cli("logs", "doctor")
    assert (healthy.code, healthy.out) == (0, "120 events in 0 segments and 3 parts; nothing is lost.\n")
    manifest = log.folder / "MANIFEST"
    manifest.write_bytes(manifest.read_bytes()[:-5])
    found = cli("logs", "doctor")
    assert found.code == 1
    first, second = found.out.splitlines()
    assert first.split("  ", 1)[0] == "events lost"
    assert "MANIFEST, the list of parts, is damaged" in first
    assert "codex-ml logs doctor --repair" in second
    told = cli("logs", "doctor", "--json")
    assert (told.code, told.json["ok"], told.json["findings"][0]["where"]) == (1, False, "MANIFEST")
    refused = cli("logs", "list")
    assert refused.code == 2 and "codex-ml logs doctor --repair" in refused.err
    mended = cli("logs", "doctor", "--repair")
    assert mended.code == 0
    assert mended.out.startswith("mended  MANIFEST was damaged: ")
    assert "120 events in" in mended.out and mended.out.endswith("nothing is lost.\n")
    assert cli("logs", "doctor", "--json").json["ok"]


def test_doctor_says_how_many_events_a_repair_could_not_save(cli: Cli, log: SessionLog) -> None:
    log.compact(grace_seconds=0)
    log.compact(grace_seconds=0)
    (path, *_) = sorted(log.folder.glob("parts/*/*"))
    rows = log.sql(f"select count(*) from events where day = '{path.parent.name}'").fetchall()[0][0]
    path.write_bytes(path.read_bytes()[:-100])
    answer = cli("logs", "doctor", "--repair")
    assert answer.code == 1
    assert f"{rows} events are lost.\n" in answer.out and f"{rows} events of 1 damaged parts are lost" in answer.out
    assert answer.out.endswith("not all is well.\n")
    again = cli("logs", "doctor", "--json")
    assert again.code == 1 and {finding["harm"] for finding in again.json["findings"]} >= {"events lost"}


def test_doctor_takes_for_given_up_what_is_lost(cli: Cli, log: SessionLog) -> None:
    for _ in range(2):
        log.compact(grace_seconds=0)
    path = min(log.folder.glob("parts/*/*"))
    path.write_bytes(path.read_bytes()[:-100])
    assert cli("logs", "doctor", "--repair").code == 1
    answer = cli("logs", "doctor", "--give-up")
    assert answer.code == 0 and "given up  What 'lost-events." in answer.out
    assert answer.out.endswith("; nothing else is lost.\n")
    again = cli("logs", "doctor", "--give-up", "--json").json
    assert again["ok"] and again["given_up"] == [] and "given up" in {finding["harm"] for finding in again["findings"]}


def test_part_that_changed_under_its_old_time_is_said_in_words_by_every_command(cli: Cli, log: SessionLog, tmp_path: Path) -> None:
    log.compact()
    for part in log.folder.glob("parts/*/*"):
        state, data = part.stat(), bytearray(part.read_bytes())
        data[200:-400] = [byte ^ 0x5A for byte in data[200:-400]]
        part.write_bytes(data)
        os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    commands = ["search verdict", "stats", "tail", "dataset --preview --role assistant", "show s-1"]
    for command in (*commands, *(f"export {tmp_path}/x.{ending}" for ending in ("ndjson", "db", "json"))):
        answer = cli("logs", *command.split())
        assert answer.code == 2 and "Look with `codex-ml logs doctor`." in answer.err, command
    assert list(tmp_path.glob("x.*")) == []


def test_compact_says_why_small_parts_stay(cli: Cli, log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    from codex.sessionlog import compactor

    def refuse(*_: object) -> None:
        raise WorkspaceError("the parts are too large", "expected them to fit in memory", "Do this.")

    monkeypatch.setattr(compactor.Compactor, "replace", refuse)
    monkeypatch.setattr(compactor, "MERGE_AT", 1)
    answer = cli("logs", "compact")
    assert answer.code == 0
    assert answer.err == "Small parts were not merged: the parts are too large; expected them to fit in memory. Do this.\n"
    assert log.search("verdict")


def test_doctor_of_no_log_finds_nothing_and_makes_nothing(cli: Cli, surroundings: Workspace) -> None:
    for arguments in (["doctor"], ["doctor", "--repair"], ["compact"]):
        assert cli("logs", *arguments).code == 0
    assert not surroundings.root.exists()
