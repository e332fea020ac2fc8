"""The program as a whole: light to start, documented, quiet when a reader leaves, never a traceback for what a person can mend."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import codex
from codex.core.paths import Workspace
from tests.benchmarks.cli_start import measure
from tests.cli import reference
from tests.cli.conftest import Cli, Made
from tests.cli.mutations import lines, run

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "codex.cli"]
HEAVY = ("torch", "transformers", "gradio", "duckdb", "hydra", "omegaconf", "mlflow", "pydantic", "rich", "numpy", "yaml")


def program(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A real process."""
    return subprocess.run([*PROGRAM, *arguments], cwd=ROOT, text=True, capture_output=True, timeout=120, check=False, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.parametrize(
    ("arguments", "allowed"), [(["--help"], []), (["--version"], []), ([], []), (["runs", "show", "--help"], ["pydantic"])]
)
def test_help_imports_nothing_heavy(arguments: list[str], allowed: list[str]) -> None:
    code = f"import sys; from codex.cli import main; print(main({arguments!r}), *set({HEAVY!r}) & sys.modules.keys(), file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert answer.stderr.split() == ["0", *allowed]  # typer itself reads a command's options with pydantic
    assert answer.stdout


def test_modules_of_the_command_line_import_only_typer_and_their_own() -> None:
    names = [path.stem for path in (ROOT / "codex" / "cli").glob("*.py") if not path.stem.startswith("__")]
    assert len(names) > 10
    code = f"import sys, importlib\nfor name in {names}: importlib.import_module(f'codex.cli.{{name}}')\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded} & set(HEAVY) == set()
    assert {".".join(name.split(".")[:2]) for name in loaded if name.startswith("codex.")} == {"codex.cli", "codex.core"}


def test_help_costs_little_more_than_typer_itself() -> None:
    """`tests.benchmarks.cli_start` has the milliseconds, which are the machine's too."""
    figures = measure(5)
    assert figures["help_to_typer_ratio"] <= 1.6, figures


def test_program_is_installed_under_its_name() -> None:
    answer = subprocess.run([Path(sys.executable).with_name("codex-ml"), "--version"], text=True, capture_output=True, check=True)
    assert answer.stdout == f"codex-ml {codex.__version__}\n"


def test_reference_page_is_up_to_date() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "write it anew: python -m tests.cli.reference > docs/cli.md"


def test_reference_page_has_every_command() -> None:
    paths = list(reference.commands())
    assert len(paths) == 32
    assert {("train",), ("runs", "follow"), ("chat",), ("notebooks",)} <= set(paths)
    assert {("config", "explain"), ("doctor",), ("logs", "sql"), ("logs", "purge"), ("demo",)} <= set(paths)


@pytest.mark.parametrize("path", list(reference.commands()), ids=" ".join)
def test_help_explains_every_option_and_fits_80_columns(path: tuple[str, ...]) -> None:
    text = reference.help_of(path)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.partition("Commands:")[2]
    for line in text.splitlines():
        if line.startswith("  --") and len(line.split("  ")) == 2:
            following = text.partition(f"{line}\n")[2].partition("\n")[0]
            assert following.startswith("     "), f"{line!r} has no help"


def test_no_command_shows_the_help(cli: Cli) -> None:
    for path in ((), ("config",), ("logs",)):
        answer = cli(*path)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out == cli(*path, "--help").out


def test_json_errors_are_one_object_on_stderr(cli: Cli) -> None:
    answer = cli("train", "--json", "--dry-run", "training.steps=0", "method.rank=9999")
    assert (answer.code, answer.out) == (2, "")
    errors = json.loads(answer.err)["errors"]
    assert [error["what"] for error in errors] == ["`method.rank` is 9999", "`training.steps` is 0"]
    assert all(error.keys() == {"what", "expected", "fix", "where"} for error in errors)


def test_all_problems_come_at_once_one_a_line(cli: Cli) -> None:
    lines_ = cli("train", "training.steps=0", "method.rank=9999", "nonsense=1").err.splitlines()
    assert len(lines_) == 3
    assert all(line.startswith("Error: ") for line in lines_)


def test_an_error_of_our_own_making_is_not_hidden(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from codex.services import doctor

    monkeypatch.setattr(doctor, "examine", lambda workspace: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli("doctor")


def test_ctrl_c_ends_with_130_and_no_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from codex.services import doctor

    def interrupted(workspace: Workspace) -> list[doctor.Check]:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "examine", interrupted)
    answer = cli("doctor")
    assert (answer.code, answer.out, answer.err) == (130, "", "\n")


def test_reader_that_leaves_ends_it_quietly() -> None:
    command = [*PROGRAM, "config", "explain", "training"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_full_disk_and_closed_output_are_no_tracebacks() -> None:
    with open("/dev/full", "w") as full:
        answer = subprocess.run([*PROGRAM, "config", "explain"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("Error: the output cannot be written (No space left on device); expected")
    assert answer.stderr.count("\n") == 1
    closed = subprocess.run(
        ["sh", "-c", '"$0" -m codex.cli --version >&-', sys.executable], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert (closed.returncode, closed.stderr) == (0, "")


def test_terminal_that_knows_ascii_only_gets_escapes() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    answer = program("train", "title=é中", "nonsense=1", env=environment)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
    assert answer.stderr.isascii()


def test_following_on_a_terminal_redraws_a_line_and_ctrl_c_lets_the_run_go_on(made: Made) -> None:
    made.steps(made.running(numbers={"loss": 5.7, "tokens_per_s": 2700.0}), range(1, 4))
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    command = [*PROGRAM, "runs", "follow"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    shown = b""
    deadline = time.monotonic() + 60
    while shown.count(b"\r") < 3 and time.monotonic() < deadline:
        shown += os.read(controller, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    while True:
        try:
            piece = os.read(controller, 4096)
        except OSError:  # the terminal has no more writers
            break
        shown += piece
    os.close(controller)
    text = shown.decode()
    frames = [frame.partition("\x1b[K")[0] for frame in text.split("\r") if "step 37/100" in frame]
    assert len(frames) >= 2
    assert all(len(frame) < 60 for frame in frames)
    assert "loss 5.700" in frames[0]
    assert "r-0001 goes on. Follow it: `codex-ml runs follow r-0001`; stop it: `codex-ml runs stop r-0001`." in " ".join(text.split())
    assert "Traceback" not in text
    assert made.store.list()[0].active


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_mutated_command_lines_are_never_a_traceback(chats: Path, surroundings: Workspace, seed: int) -> None:
    outcomes = [run(arguments) for arguments in lines(20, seed, chats, surroundings.root)]
    assert [outcome for outcome in outcomes if outcome.fault] == []
    assert sum(outcome.code == 2 for outcome in outcomes) >= 5
    assert not list(surroundings.runs.glob("*"))
