"""`codex-ml logs`: list, show, tail, search and sql, on a small log with hostile texts."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from codex.cli.terminal import cells
from codex.core.events import Event
from codex.core.paths import PACKAGE, Workspace
from codex.sessionlog import SessionLog
from tests.cli.conftest import Cli, Made
from tests.sessionlog.logs import flip

HOSTILE = "Evil\x1b[31m title\r\nsecond \u202eline \x9b2J " + "long " * 60
T = 1_795_392_000.0  # 2026-11-23T00:00:00Z


def _events() -> list[Event]:
    """A chat, an agent's session that is hostile in all that it says, a run's session that is still open."""
    rows: list[dict[str, Any]] = [
        {"session": "chat-1", "kind": "chat", "role": "info", "content": "Chat with r-0001", "attributes": {"session_event": "opened"}},
        {"session": "chat-1", "kind": "chat", "role": "user", "content": "What is\n\x1b[31mthis?"},
        {"session": "chat-1", "kind": "chat", "role": "assistant", "content": "A held out test.", "model": "codex-tiny",
         "tokens_in": 1200, "tokens_out": 4, "latency_ms": 81.2},
        {"session": "chat-1", "kind": "chat", "role": "info", "attributes": {"session_event": "ended", "outcome": "finished"}},
        {"session": "agent-1", "kind": "agent", "role": "info", "content": HOSTILE, "attributes": {"session_event": "opened"}},
        {"session": "agent-1", "kind": "agent", "role": "tool", "tool": "gr\x1bep", "latency_ms": 2512.4, "content": "held \u202eout " * 40,
         "attributes": {"arguments": {"pattern": "x" * 90}}, "redacted": 2},
        {"session": "agent-1", "kind": "agent", "role": "error", "content": "Timeout: 中" + "中" * 80},
        {"session": "r-0001-17", "kind": "training", "role": "info", "run_id": "r-0001", "step": 3, "loss": 5.7,
         "attributes": {"split": "train", "learning_rate": 6.1e-5, "grad_norm": 0.8123, "tokens_per_s": 2700.4, "attempt": 1, "tokens": 9}},
    ]  # fmt: skip
    seqs = dict.fromkeys(("chat-1", "agent-1", "r-0001-17"), -1)
    made: list[Event] = []
    for at, row in enumerate(rows):
        seqs[row["session"]] += 1
        made.append(Event.model_validate({"seq": seqs[row["session"]], "ts": T + 100 * at, **row}))
    return made


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with them, and a good answer."""
    folder = tmp_path_factory.mktemp("logs") / "workspace"
    with SessionLog.open(folder) as log:
        log.ingest(_events())
        log.annotate("chat-1", 2, rating=1, note="clear\x1b", edit="A test.")
    return folder


@pytest.fixture
def log(written: Path, surroundings: Workspace) -> SessionLog:
    """The log of the workspace, with all that."""
    shutil.copytree(written, surroundings.root)
    return SessionLog.open(surroundings)


class Tty(io.StringIO):
    """A stream that says that a person looks at it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def on_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs one command line whose stdout is a terminal of so many columns; gives what it wrote."""

    def run(columns: int, *arguments: str) -> str:
        stream = Tty()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", stream)
            assert cli("logs", *arguments).code == 0
        return stream.getvalue()

    return run


def _plain(text: str) -> bool:
    """Whether a terminal would obey nothing in it."""
    return all(character.isprintable() or character in "\n\t" for character in text)


def _columns(text: str) -> int:
    return max(cells(line) for line in text.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())


# list


def _titles(cli: Cli, *arguments: str) -> list[str]:
    return [each["id"] for each in cli("logs", "list", "--json", *arguments).json]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), ["r-0001-17", "agent-1", "chat-1"]),
        (("--limit", "2"), ["r-0001-17", "agent-1"]),
        (("--kind", "chat", "--kind", "agent"), ["agent-1", "chat-1"]),
        (("--role", "error", "--role", "assistant"), ["agent-1", "chat-1"]),
        (("--tool", "gr\x1bep"), ["agent-1"]),
        (("--model", "codex-tiny"), ["chat-1"]),
        (("--session", "chat"), ["chat-1"]),
        (("--run", "r-0001"), ["r-0001-17"]),
        (("--rating", "good"), ["chat-1"]),
        (("--rating", "bad"), []),
        (("--where", "errors > 0"), ["agent-1"]),
        (("--since", "2026-11-23T00:06Z", "--until", "2026-11-23T00:10Z"), ["agent-1"]),
        (("--until", "2026-11-20"), []),
    ],
)
def test_list_has_what_fits_newest_first(cli: Cli, arguments: tuple[str, ...], ids: list[str]) -> None:
    assert _titles(cli, *arguments) == ids


@pytest.mark.usefixtures("log")
def test_list_in_a_pipe_is_a_whole_table_that_no_terminal_obeys(cli: Cli) -> None:
    answer = cli("logs", "list")
    heading, *rows = answer.out.splitlines()
    assert heading.split() == ["started", "kind", "title", "events", "tokens", "errors", "outcome", "id"]
    assert [row.split()[-1] for row in rows] == ["r-0001-17", "agent-1", "chat-1"]
    assert rows[1].count("long") == 60
    assert _plain(answer.out)
    local = time.strftime("%Y-%m-%d %H:%M", time.localtime(T))
    assert rows[2].split() == [*local.split(), "chat", "Chat", "with", "r-0001", "4", "1,204", "0", "rated", "good", "chat-1"]
    assert "open" in rows[0].split()


def test_list_with_good_and_bad_answers_in_a_session_counts_both_and_finds_it_by_either(cli: Cli, log: SessionLog) -> None:
    log.annotate("chat-1", 1, rating=-1)
    log.annotate("chat-1", 1, note="A note is no rating.")
    assert "rated 1 good, 1 bad  chat-1" in cli("logs", "list").out
    assert _titles(cli, "--rating", "good") == _titles(cli, "--rating", "bad") == ["chat-1"]
    assert "1 good, 1 bad" in cli("logs", "show", "chat-1").out
    log.annotate("chat-1", 1, rating=0)
    assert "rated good  chat-1" in cli("logs", "list").out


@pytest.mark.usefixtures("log")
def test_list_as_csv_and_json_hold_every_value_as_it_is(cli: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("logs", "list", "--csv").out, newline="")))
    records = cli("logs", "list", "--json").json
    assert [{name: "" if value is None else str(value) for name, value in record.items()} for record in records] == rows
    assert records[1]["title"] == HOSTILE
    assert (records[2]["started"], records[2]["time"], records[2]["rating"]) == (T, "2026-11-23T00:00:00.000Z", 1)


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("columns", [80, 160])
def test_list_on_a_terminal_fits_and_names_sessions_that_show_finds(
    on_terminal: Any, cli: Cli, columns: int, surroundings: Workspace
) -> None:
    alike = ["chat-20261125-011930-aaaaaaaa", "chat-20261125-011930-bbbbbbbb"]
    with SessionLog.open(surroundings) as log:
        for id in alike:
            log.session("chat", "A title of some length, as they are", id=id).close()
    text = on_terminal(columns, "list")
    assert all(cells(line) <= columns for line in _without_colours(text).splitlines())
    newest = _without_colours(text).splitlines()[1]
    assert cli("logs", "show", newest.split()[-1]).out.splitlines()[1].split() == ["id", alike[-1]]
    assert "A title" in newest and "finished" in newest


def _without_colours(text: str) -> str:
    import re

    return re.sub(r"\x1b\[\d+m", "", text)


def test_list_of_nothing_says_so_on_stderr(cli: Cli, surroundings: Workspace) -> None:
    for form, out in (((), ""), (("--json",), "[]\n"), (("--csv",), cli("logs", "list", "--csv").out)):
        answer = cli("logs", "list", *form)
        assert (answer.code, answer.out) == (0, out)
        assert answer.err == f"No sessions in {surroundings.log}.\n"
    assert cli("logs", "list", "--csv").out.startswith("id,kind,title,started,")
    assert cli("logs", "list", "--csv").out.endswith(",rating,rated_good,rated_bad,time\n")
    assert "No sessions that fit in" in cli("logs", "list", "--kind", "chat").err
    assert not surroundings.root.exists()


@pytest.mark.usefixtures("log")
def test_list_that_was_cut_says_how_to_see_more(cli: Cli) -> None:
    assert cli("logs", "list", "--limit", "2").err == "There are more: `--limit 4`.\n"
    assert cli("logs", "list", "--limit", "3").err == ""


# show


@pytest.mark.usefixtures("log")
def test_show_says_who_spoke_when_and_what_it_took(cli: Cli) -> None:
    head, _, events = cli("logs", "show", "chat-1").out.partition("\n\n")
    assert head.splitlines()[0] == "Chat with r-0001"
    facts = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in head.splitlines()[1:]}
    assert facts.pop("started")
    assert facts == {
        "id": "chat-1", "kind": "chat", "took": "5 min", "events": "4", "outcome": "finished",
        "tokens": "1,200 in, 4 out", "rating": "good",
    }  # fmt: skip
    assert events.splitlines() == [
        "0       +0.0 s  info       session opened  Chat with r-0001",
        "1  +1 min 40 s  user",
        "    What is",
        "    \\x1b[31mthis?",
        "2  +3 min 20 s  assistant  codex-tiny  81 ms  1,200 in, 4 out",
        "    A held out test.",
        "    Rated good.",
        "    Note: clear\\x1b",
        "    Better: A test.",
        "3       +5 min  info       session ended, finished",
    ]


@pytest.mark.usefixtures("log")
def test_show_writes_a_training_step_on_one_line(cli: Cli) -> None:
    line = cli("logs", "show", "r-0001").out.splitlines()[-1]
    assert line == "0       +0.0 s  info       step 3  train loss 5.700  learning rate 6.1e-5  gradient norm 0.812  2,700 tokens/s"


@pytest.mark.usefixtures("log")
def test_show_in_a_pipe_keeps_lines_whole_and_tells_the_call(cli: Cli) -> None:
    out = cli("logs", "show", "agent-1").out
    assert _plain(out)
    lines = out.splitlines()
    assert lines[0].count("long") == 60
    assert f'tool       gr\\x1bep  2.5 s  2 secrets redacted  arguments={{"pattern": "{"x" * 90}"}}' in out
    assert "    " + ("held \\u202eout " * 40).rstrip() in lines
    assert "events    3, 1 error" in lines
    assert "redacted  2 secrets" in out


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("columns", [40, 80])
def test_show_on_a_terminal_is_no_wider_than_it(on_terminal: Any, columns: int) -> None:
    text = _without_colours(on_terminal(columns, "show", "agent-1"))
    assert _plain(text)
    assert max(map(cells, text.splitlines())) <= columns
    assert "".join(text.split()).count("held\\u202eout") == 40
    assert text.count("中") == 81


@pytest.mark.usefixtures("log")
def test_show_takes_a_range_and_the_newest(cli: Cli, log: SessionLog) -> None:
    found = cli("logs", "show", "chat-1", "--events", "1:-1", "--json").json
    assert [event["seq"] for event in found["events"]] == [1, 2]
    assert found["events"][0]["content"] == "What is\n\x1b[31mthis?"
    assert found["session"]["events"] == 4
    assert found["annotations"] == [{"session": "chat-1", "seq": 2, "rating": 1, "note": "clear\x1b", "edit": "A test."}]
    assert cli("logs", "show", "--json").json["session"]["id"] == "r-0001-17"
    answer = cli("logs", "show", "chat-1", "--events", "9:")
    assert answer.err == "No events in 9:; it has 4 events, the first is 0.\n"


# tail


@pytest.fixture
def steps(made: Made, surroundings: Workspace) -> None:
    """Three steps, then a chat."""
    made.steps(made.run(), range(1, 4))
    with SessionLog.open(surroundings) as opened, opened.session("chat", "Chat with r-0001", id="chat-1") as session:
        session.append("user", "What is\n\x1b[31mthis?")
        session.append("assistant", "A test.", tokens_out=4)


@pytest.mark.usefixtures("steps")
def test_tail_shows_the_newest_events_oldest_first_on_one_line_each(cli: Cli) -> None:
    lines = cli("logs", "tail", "-n", "7").out.splitlines()
    assert len(lines) == 7
    assert lines[-4].endswith("session opened  Chat with r-0001")
    assert lines[-3].endswith("user       What is \\x1b[31mthis?")
    assert lines[-2].endswith("assistant  4 tokens  A test.")
    assert lines[-1].endswith("session ended, finished")
    assert lines[1].endswith("info       step 3  train loss 5.700")


@pytest.mark.usefixtures("steps")
def test_tail_of_no_line_says_nothing(cli: Cli) -> None:
    answer = cli("logs", "tail", "-n", "0")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


@pytest.mark.usefixtures("steps")
def test_tail_of_one_session_as_json_is_an_object_a_line(cli: Cli) -> None:
    records = cli("logs", "tail", "--session", "chat-1", "--json").records
    assert [record["role"] for record in records] == ["info", "user", "assistant", "info"]
    assert records[1]["content"] == "What is\n\x1b[31mthis?"


def test_tail_of_an_empty_log_says_so(cli: Cli) -> None:
    answer = cli("logs", "tail", "--session", "nope")
    assert (answer.code, answer.out) == (0, "")
    assert "No events of session 'nope'" in answer.err


# search


@pytest.mark.usefixtures("log")
def test_search_gives_each_hit_a_line_in_a_pipe(cli: Cli) -> None:
    answer = cli("logs", "search", "HELD", "out")
    lines = answer.out.splitlines()
    assert {line.split()[0] for line in lines} == {"chat-1", "agent-1"}
    assert _plain(answer.out)
    chat = next(line for line in lines if line.startswith("chat-1"))
    assert chat == f"chat-1 2  {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(T + 200))}  assistant  A held out test."
    assert cli("logs", "search", "held out").out.splitlines() == [chat]  # as a phrase: a mark stands between the other's words
    assert [hit["session"] for hit in cli("logs", "search", "held", "out", "--kind", "chat", "--json").json] == ["chat-1"]


@pytest.mark.usefixtures("log")
def test_search_on_a_terminal_sets_the_words_off_and_fits(on_terminal: Any) -> None:
    text = on_terminal(60, "search", "held", "out")
    assert "A \x1b[1mheld\x1b[0m \x1b[1mout\x1b[0m test." in text
    plain = _without_colours(text)
    assert _plain(plain)
    assert max(map(cells, plain.splitlines())) <= 60
    inside = [piece.partition("\x1b[0m")[0] for piece in text.split("\x1b[1m")[1:]]
    assert set(inside) == {"held", "out"}
    assert plain.count("held") == inside.count("held") > 3


@pytest.mark.usefixtures("log")
def test_search_as_json_and_csv_tells_where_and_how_well(cli: Cli) -> None:
    hits = cli("logs", "search", "held", "--json").json
    for hit in hits:
        assert {hit["snippet"][begin:end].lower() for begin, end in hit["marks"]} == {"held"}
    rows = list(csv.DictReader(io.StringIO(cli("logs", "search", "held", "--csv").out)))
    assert [(row["session"], int(row["seq"]), float(row["score"]), row["snippet"]) for row in rows] == [
        (hit["session"], hit["seq"], hit["score"], hit["snippet"]) for hit in hits
    ]
    assert cli("logs", "search", "held", "--limit", "1", "--json").json == hits[:1]


@pytest.mark.usefixtures("log")
def test_search_that_finds_nothing_says_so(cli: Cli) -> None:
    answer = cli("logs", "search", "zz\x1bz")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("Nothing found for zz\\x1bz in ")


# sql


@pytest.mark.usefixtures("steps")
def test_sql_shows_a_table(cli: Cli) -> None:
    answer = cli("logs", "sql", "select kind, count(*) as n, avg(loss) as loss from events group by kind order by kind")
    assert [line.split() for line in answer.out.splitlines()] == [["kind", "n", "loss"], ["chat", "4", "–"], ["training", "5", "5.8"]]
    assert answer.err == "2 rows.\n"


@pytest.mark.usefixtures("steps")
def test_sql_as_json_keeps_columns_of_one_name(cli: Cli) -> None:
    query = "select 1 as a, 'x' as a, max(time) as t, attributes from events where session = 'chat-1' group by all limit 1"
    found = cli("logs", "sql", query, "--json").json
    assert found["columns"] == ["a", "a", "t", "attributes"]
    assert found["rows"][0][:2] == [1, "x"]
    assert isinstance(found["rows"][0][2], str)


@pytest.mark.usefixtures("log")
def test_sql_content_from_a_model_reaches_a_terminal_escaped_and_a_pipe_as_it_is(cli: Cli, on_terminal: Any) -> None:
    query = "select title from sessions where id = 'agent-1'"
    assert _plain(on_terminal(80, "sql", query, "--csv"))
    assert list(csv.reader(io.StringIO(cli("logs", "sql", query, "--csv").out, newline="")))[1] == [HOSTILE]


def test_sql_takes_a_name_or_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "day" in cli("logs", "sql", "--name", "events-per-day").out
    monkeypatch.setattr("sys.stdin", io.StringIO("select 42 as answer\n"))
    assert cli("logs", "sql", "-", "--csv").out == '"answer"\n42\n'


def test_sql_that_fails_in_the_middle_writes_nothing(cli: Cli) -> None:
    query = "select case when i < 200000 then i else error('broken') end from range(300000) r(i)"
    answer = cli("logs", "sql", query, "--csv")
    assert (answer.code, answer.out) == (2, "")
    assert "broken" in answer.err


def test_sql_that_takes_too_long_is_stopped(cli: Cli) -> None:
    began = time.monotonic()
    answer = cli("logs", "sql", "select count(*) from range(10000000000) a, range(10000000000) b", "--seconds", "1")
    assert answer.code == 2
    assert "longer than 1 s and was stopped" in answer.err
    assert time.monotonic() - began < 30


# all of them


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list --limit 0", "`--limit` is 0; expected a whole number, 1 to 1,000,000. Set `--limit 1`."),
        ("list --kind chta", "kind 'chta' is unknown; expected one of agent, annotation, chat, decision"),
        ("list --role asistant", "`--role` is 'asistant'; expected one of system, user, assistant, tool,"),
        ("list --rating great", "`--rating` is 'great'; expected one of good, bad. Write `--rating "),
        ("list --since tomorow", "`--since` is 'tomorow'; expected a day (2026-11-25, today, yesterday)"),
        ("list --since today --until yesterday", "`--until` is 'yesterday', which is before `--since` 'today'; expected a later time."),
        ("list --session nobody", "session 'nobody' is unknown; expected the id of a session of this log, its beginning"),
        ("list --where", "option '--where' has no value; expected one after it."),
        ("list --where=", "`--where` is ''; expected a condition in SQL. For example `--where \"errors > 0\"`."),
        ("list --where x>0", "the condition 'x>0' cannot be used (Binder Error"),
        ("list --csv --json", '"what": "`--json` and `--csv` are both given"'),
        ("show --events 3", "`--events` is '3'; expected two numbers with `:` between them. For example `--events 0:50`."),
        ("show nobody", "session 'nobody' is unknown"),
        ("search", "WORDS is missing; expected "),
        ("search ...", "the search '...' has no word; expected letters or digits."),
        ("search x --limit many", "`--limit` is 'many'; expected a whole number, 1 to 10,000."),
        ("sql", "QUERY is missing; expected one SELECT in quotes, `-`, or `--name NAME`."),
        ("sql --name evnts", "the query 'evnts' is unknown; expected one of "),
        ("sql select1 --name rated", "QUERY and `--name` are both given; expected one of them."),
        ("sql select1 --seconds 0", "`--seconds` is 0; expected a whole number, 1 to 86,400. Set `--seconds 1`."),
        ("sql select1 --memory much", "`--memory` is 'much'; expected a whole number, 1 to 1,024. For example `--memory 42`."),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(cli: Cli, line: str, said: str, surroundings: Workspace) -> None:
    answer = cli("logs", *line.split())
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not surroundings.log.exists()


def test_damage_is_said_by_all_that_read(cli: Cli, log: SessionLog, surroundings: Workspace) -> None:
    (segment,) = (surroundings.log / "segments").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"What is", b"Wh@t is"))
    for line in ("list", "show chat-1", "tail", "search held", "sql select(1)", "stats", "export - --kind chat"):
        err = cli("logs", *line.split()).err
        assert "The session log is damaged: 1 damaged and 1 missing of 11 events are left out" in err, line
        assert err.rstrip().endswith("See `codex-ml logs doctor`.") or line == "sql select(1)"


def test_show_of_a_session_whose_part_is_damaged_says_that_its_events_cannot_be_read(cli: Cli, log: SessionLog) -> None:
    log.close()
    log.compact()
    flip(next((log.folder / "parts").glob("2026-11-23/*")))
    answer = cli("logs", "show", "chat-1")
    assert "chat-1" in answer.out and "events   4" in answer.out
    assert "The session log is damaged: 1 compacted files are damaged" in answer.err
    assert "none of the 4 events of session 'chat-1' can be read; expected " in answer.err and "No events in" not in answer.err


@pytest.mark.parametrize("arguments", [["show", "big"], ["export", "-"]])
def test_reader_that_leaves_ends_it_quietly(surroundings: Workspace, arguments: list[str]) -> None:
    with SessionLog.open(surroundings) as log:
        log.ingest(Event(session="big", seq=seq, ts=T, role="user", kind="chat", content="many words " * 30) for seq in range(2000))
    command = [sys.executable, "-m", "codex.cli", "logs", *arguments, "--workspace", str(surroundings.root)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_condition_that_never_ends_leaves_with_ctrl_c_and_takes_its_process_with_it(surroundings: Workspace, log: SessionLog) -> None:
    where = "(select count(*) from range(1000000000000)) > 0"
    command = [sys.executable, "-m", "codex.cli", "logs", "list", "--where", where, "--workspace", str(surroundings.root)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        seen = psutil.Process(process.pid)
        while not (children := seen.children()) or children[0].cpu_times().user < 1.5:  # then it has started and is at the condition
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
    assert (process.returncode, out, err.strip()) == (130, b"", b"")
    assert not children[0].is_running()


def test_pipe_gets_utf8_whatever_the_locale_says(surroundings: Workspace, log: SessionLog, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-m", "codex.cli", "logs", "export", "-", "--session", "agent-1", "--role", "error"]
    answer = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=tmp_path)
    assert "中".encode() * 81 in answer.stdout
    assert json.loads(answer.stdout.decode("utf-8"))["content"] == "Timeout: " + "中" * 81
    with open("/dev/full", "wb") as disk:
        full = subprocess.run(command, env=environment, stdout=disk, stderr=subprocess.PIPE, check=False, cwd=tmp_path)
    assert full.returncode == 2
    assert full.stderr.startswith(b"Error: the output cannot be written (No space left on device); expected")
