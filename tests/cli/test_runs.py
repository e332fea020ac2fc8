"""`codex-ml runs` on runs that lie in a workspace."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from codex.core import clock
from codex.runs.status import ProcessId, Reason
from tests.cli.conftest import Cli, Made


@pytest.fixture
def sleeper() -> Iterator[ProcessId]:
    """A process that may be stopped."""
    process = subprocess.Popen(["sleep", "60"])
    start = clock.process_start(process.pid)
    assert start is not None
    yield ProcessId(process.pid, start)
    process.kill()
    process.wait()


def test_list_without_runs_says_how_to_start_one(cli: Cli) -> None:
    answer = cli("runs")
    assert (answer.code, answer.out) == (0, "")
    assert "Start one: `codex-ml train`." in answer.err


def test_list_shows_the_newest_first_with_state_step_and_ending(cli: Cli, made: Made) -> None:
    made.finished("The first")
    made.run("The second", state="failed", reason=Reason("out of memory", "Out of memory (x)."), step=37, total=600, attempt=1)
    made.running("The third")
    answer = cli("runs")
    rows = [line.split() for line in answer.out.splitlines()]
    assert answer.code == 0
    assert [row[:3] for row in rows] == [
        ["run", "state", "step"],
        ["r-0003", "running", "37/100"],
        ["r-0002", "failed", "37/600"],
        ["r-0001", "finished", "100/100"],
    ]
    assert "Out of memory (x)." in answer.out
    assert "Better: answer loss" in answer.out


@pytest.mark.parametrize("line", ["runs --json", "runs list --json"])
def test_list_as_json_is_one_document(cli: Cli, made: Made, line: str) -> None:
    made.finished()
    made.running()
    found = cli(*line.split()).json
    assert [(run["id"], run["state"], run["step"]) for run in found] == [("r-0002", "running", 37), ("r-0001", "finished", 100)]
    assert found[1]["verdict"].startswith("Better: answer loss")
    assert Path(found[1]["adapter"]).is_dir()
    assert "report" not in found[1]


def test_list_as_json_of_an_empty_workspace_is_an_empty_list(cli: Cli) -> None:
    assert cli("runs", "list", "--json").json == []


def test_list_shows_a_damaged_run_and_the_others(cli: Cli, made: Made) -> None:
    made.finished()
    damaged = made.run()
    (damaged.folder / "status.json").write_text("{")
    answer = cli("runs")
    assert answer.code == 0
    assert "unreadable" in answer.out
    assert "status.json cannot be read: " in " ".join(answer.out.split())
    assert "finished" in answer.out


def test_show_of_a_run_with_a_damaged_status_says_why_and_how_to_go_on(cli: Cli, made: Made) -> None:
    damaged = made.run()
    (damaged.folder / "status.json").write_text('{"state": "dancing"}')
    answer = cli("runs", "show")
    assert "r-0001 A run  unreadable\nstatus.json cannot be read: `state` is 'dancing'\n" in answer.out
    assert "Next: codex-ml runs resume r-0001" in answer.out
    assert cli("runs", "show", "--json").json["problem"] == "status.json cannot be read: `state` is 'dancing'"
    assert [each["problem"] for each in cli("runs", "--json").json] == ["status.json cannot be read: `state` is 'dancing'"]


def test_list_escapes_a_title_that_would_steer_the_terminal(cli: Cli, made: Made) -> None:
    run = made.run()
    text = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**text, "title": "\x1b]0;owned\x07 \u202etxt"}))
    for line in (["runs"], ["runs", "show"]):
        answer = cli(*line)
        assert "\\x1b]0;owned\\x07 \\u202etxt" in answer.out
        assert "\x1b" not in answer.out
        assert "\u202e" not in answer.out


def test_show_says_state_numbers_verdict_wins_losses_adapter_and_log(cli: Cli, made: Made) -> None:
    run = made.finished("My run")
    run.log.write_text("".join(f"line {number}\n" for number in range(30)))
    answer = cli("runs", "show", "My run")
    assert answer.code == 0
    assert answer.out.startswith("r-0001 My run  finished\n")
    assert "loss     4.581" in answer.out
    assert "took     1 min 12 s" in answer.out
    assert "Better: answer loss 6.45 → 5.75" in answer.out
    assert "27 better, 3 worse, 0 the same" in answer.out
    assert "module0.function1  5.10 → 4.10, −1.00" in answer.out.partition("Largest wins")[2]
    assert answer.out.partition("Largest losses\n")[2].startswith("  module10.function20  7.00 → 10.00, +3.00\n")
    assert f"Adapter: {run.adapter}  2.0 KiB" in answer.out
    assert "Next: codex-ml chat r-0001" in answer.out
    assert answer.out.endswith("  line 28\n  line 29\n")
    assert "line 19" not in answer.out


def test_show_of_a_failed_run_says_why_with_the_last_lines_and_how_to_go_on(cli: Cli, made: Made) -> None:
    reason = Reason("killed", "Killed by signal 9 (SIGKILL).", ("before the end", "the \x1b[31mend"), "SIGKILL")
    made.run(state="failed", reason=reason, step=37, total=600)
    answer = cli("runs", "show", "1")
    assert "Killed by signal 9 (SIGKILL).\n  before the end\n  the \\x1b[31mend\n" in answer.out
    assert "step     37/600" in answer.out
    assert "Next: codex-ml runs resume r-0001" in answer.out
    assert "chat" not in answer.out


def test_show_of_a_run_whose_report_is_cut_short_says_so(cli: Cli, made: Made) -> None:
    run = made.finished()
    run.report.write_text(run.report.read_text()[:40])
    answer = cli("runs", "show")
    assert answer.code == 0
    assert "Unknown: report.json cannot be read (" in answer.out
    assert "was not judged" not in answer.out


def test_show_of_a_damaged_result_says_why_and_offers_no_chat(cli: Cli, made: Made) -> None:
    run = made.finished()
    (run.adapter / "adapter_config.json").unlink()
    answer = cli("runs", "show")
    assert f"Damaged result: {run.adapter}" in answer.out
    assert "is incomplete: adapter_config.json; expected" in answer.out
    assert "Model: " not in answer.out and "codex-ml chat" not in answer.out


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("stopped", "begin again from the start"),
        ("failed", "begin again, once the cause is mended"),
        ("unreadable", "begin again from the start"),
    ],
)
def test_show_of_a_run_without_checkpoint_offers_to_begin_again_as_its_ending_asks(cli: Cli, made: Made, state: str, words: str) -> None:
    run = made.run(state="stopped" if state == "unreadable" else state, reason=Reason("stopped", "Stopped when asked."))
    if state == "unreadable":
        (run.folder / "status.json").write_text("{")
    assert f"codex-ml runs resume r-0001  {words}" in cli("runs", "show").out


def test_show_as_json_holds_everything(cli: Cli, made: Made) -> None:
    run = made.finished()
    run.log.write_text("a\nb\n")
    found = cli("runs", "show", "--json", "--log-lines", "1").json
    assert found["id"] == "r-0001"
    assert found["report"]["verdict"]["metrics"][0]["wins"] == 27
    assert found["log"] == ["b"]
    assert str(run.adapter) in found["loading_code"]


def test_show_prints_code_that_loads_the_adapter_without_codex(cli: Cli, made: Made) -> None:
    run = made.finished()
    code = "\n".join(line.strip() for line in cli("runs", "show").out.splitlines() if line.startswith(("  from ", "  model = ")))
    compile(code, "loading", "exec")
    assert "codex" not in code.replace(str(run.folder), "")
    assert f"'/models/base'), {str(run.adapter)!r})" in code


def test_show_goes_on_in_the_workspace_that_was_named(cli: Cli, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.finished()
    monkeypatch.delenv("CODEX_WORKSPACE")
    place = str(made.workspace.root)
    for line in (["runs", "show", "--workspace", place], ["--workspace", place, "runs", "show"]):
        answer = cli(*line)
        assert f"Next: {shlex.join(['codex-ml', 'chat', 'r-0001', '--workspace', place])}" in answer.out


def test_workspace_of_the_command_wins_over_that_before_it(cli: Cli, made: Made, tmp_path: Path) -> None:
    made.finished()
    assert len(cli("--workspace", tmp_path / "other", "runs", "list", "--json", "--workspace", made.workspace.root).json) == 1


def test_follow_shows_a_run_to_its_end_and_its_verdict(cli: Cli, made: Made) -> None:
    run = made.running(step=1, total=3)

    def work() -> None:
        made.steps(run, range(1, 4))
        time.sleep(0.4)
        made.tell(run, state="finished", reason=Reason("finished", "Finished."), started=0.0, ended=90.0, step=3, total=3)

    worker = threading.Thread(target=work)
    worker.start()
    answer = cli("runs", "follow")
    worker.join()
    assert answer.code == 0
    assert "r-0001  step 1/3" in answer.out
    assert "r-0001 finished after 1 min 30 s, step 3/3\n" in answer.out


def test_follow_as_json_ends_with_how_it_ended(cli: Cli, made: Made) -> None:
    made.finished()
    records = cli("runs", "follow", "1", "--json").records
    assert [record["step"] for record in records if record["event"] == "step"] == [1, 2, 3]
    assert records[-1]["event"] == "ended"
    assert records[-1]["report"]["verdict"]["word"] == "Better"


@pytest.mark.parametrize(("state", "kind"), [("failed", "error"), ("stopped", "stopped")])
def test_follow_of_a_run_that_did_not_finish_ends_with_1(cli: Cli, made: Made, state: str, kind: str) -> None:
    made.run(state=state, reason=Reason(kind, "ValueError: it broke", ("File x, line 3",)))  # pyright: ignore[reportArgumentType]
    answer = cli("runs", "follow", "last")
    assert answer.code == 1
    assert "ValueError: it broke\n  File x, line 3\n" in answer.out
    assert "Next: codex-ml runs resume r-0001" in answer.out


def test_stop_by_force_ends_the_worker_and_says_how_to_go_on(cli: Cli, made: Made, sleeper: ProcessId) -> None:
    made.running(process=sleeper)
    answer = cli("runs", "stop", "r-0001", "--force")
    assert answer.code == 0
    assert answer.out.startswith("r-0001 is ")
    assert "Go on: codex-ml runs resume r-0001" in answer.out or "It still saves" in answer.out


def test_rename_gives_another_title(cli: Cli, made: Made) -> None:
    made.finished("Before")
    assert cli("runs", "rename", "Before", " After all ").out == "r-0001 is now called 'After all'.\n"
    assert cli("runs", "show", "After all", "--json").json["title"] == "After all"
    assert cli("runs", "rename", "1", "Third", "--json").json == {"run": "r-0001", "title": "Third"}


def test_delete_says_what_it_frees_and_removes_the_folder(cli: Cli, made: Made) -> None:
    run = made.finished()
    assert "freed" in cli("runs", "delete", "1", "--yes").out
    assert not run.folder.exists()


def test_delete_asks_and_keeps_the_run_unless_the_answer_is_yes(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from codex.cli import main

    run = made.finished("Dear")
    for answer, code, kept in (("n\n", 1, True), ("\n", 1, True), ("", 1, True), ("y\n", 0, False)):
        with monkeypatch.context() as patched:
            patched.setattr("codex.cli.runs.is_terminal", lambda stream: True)
            patched.setattr("sys.stdin", io.StringIO(answer))
            assert main(["runs", "delete", run.id]) == code
        said = capsys.readouterr()
        assert "Delete r-0001 (Dear): " in said.err
        assert "with its adapter? It cannot be undone. [y/N]" in said.err
        assert run.folder.exists() == kept


def test_delete_with_nobody_to_ask_needs_yes(cli: Cli, made: Made) -> None:
    run = made.finished()
    answer = cli("runs", "delete", "1")
    assert answer.code == 2
    assert "nobody can be asked whether to delete r-0001" in answer.err
    assert "`codex-ml runs delete r-0001 --yes`" in answer.err
    assert run.folder.exists()


def test_config_prints_the_file_and_what_was_asked(cli: Cli, made: Made) -> None:
    run = made.finished()
    assert cli("runs", "config", "1").out == run.resolved.read_text()
    assert yaml.safe_load(cli("runs", "config", "--asked").out)["overrides"] == ["training.steps=100"]
    assert cli("runs", "config", "--json").json == {"recipe": "qlora-docstrings", "seed": 42}
