"""Everything that a person can get wrong: what it is, what was expected, the fix; and nothing half-made is left behind.

The mistakes are in `bad_input.txt`.
"""

from __future__ import annotations

import io
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from codex.core.paths import Workspace, tiny_model_folder
from codex.runs.status import Reason
from tests.cli.conftest import Cli, Made


@dataclass(frozen=True)
class Case:
    """One mistake.

    Args:
        line: the command line, as in a shell; `{name}` stands for a file, folder or text of `Files`.
        what, expected, fix: parts of the first problem.
    """

    line: str
    what: str
    expected: str
    fix: str

    def arguments(self, files: Files) -> list[str]:
        """The command line in parts."""
        return [part.format(**vars(files)) for part in shlex.split(self.line)]


class Files:
    """Files and folders to make mistakes with, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newline = "\n"
        self.long = "w" * 300
        self.chats = self._rows("chats", [{"prompt": f"p{number}", "completion": f"c{number}"} for number in range(40)])
        self.few = self._rows("few", [{"prompt": "p", "completion": "c"}])
        self.shape = self._rows("shape", [{"question": "a", "answer": "b"}])
        self.asked = self._rows("asked", [{"messages": [{"role": "user", "content": "a"}]}])
        self.blank = self._rows("blank", [{"prompt": "a", "completion": " "}])
        self.empty = self._raw("empty.jsonl", b"")
        self.latin = self._raw("latin.jsonl", b'{"prompt": "caf\xe9", "completion": "x"}\n')
        self.cut = self._raw("cut.jsonl", b'{"prompt": "a", "completion": "b"}\n{"prompt": "a", "compl')
        self.listed = self._raw("listed.jsonl", b'[{"prompt": "a", "completion": "b"}]')
        self.table = self._raw("table.csv", b"prompt,completion\na,b\n")
        self.bare_model = self._model("bare", [])
        self.cut_model = self._model("cut", ["config.json", "tokenizer.json"], weights=b"\x10\0\0\0\0\0\0\0{")
        self.pickled_model = self._model("pickled", ["config.json", "tokenizer.json"])
        (self.pickled_model / "pytorch_model.bin").write_bytes(b"x")
        self.broken_model = self._model("broken", ["tokenizer.json", "model.safetensors"])
        (self.broken_model / "config.json").write_text("{")
        self.worded_model = self._configured("worded", num_hidden_layers="x", vocab_size="y")
        self.sizeless_model = self._configured("sizeless", hidden_size=0)
        self.contextless_model = self._configured("contextless", max_position_embeddings=-5)
        self.headed_model = self._configured("headed", num_attention_heads=7)
        self.strange_model = self._configured("strange", model_type="zzz")
        self.resized_model = self._configured("resized", intermediate_size=640)

    def _rows(self, name: str, rows: list[dict[str, object]]) -> Path:
        return self._raw(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def _raw(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def _configured(self, name: str, **changes: object) -> Path:
        """codex-tiny with other words in its config."""
        folder = self._model(name, ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors"])
        config = json.loads((tiny_model_folder() / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))
        return folder

    def _model(self, name: str, copied: list[str], weights: bytes | None = None) -> Path:
        folder = self.folder / f"model-{name}"
        folder.mkdir()
        for each in copied:
            (folder / each).symlink_to(tiny_model_folder() / each)
        if weights is not None:
            (folder / "model.safetensors").write_bytes(weights)
        return folder


def _cases() -> dict[str, Case]:
    """All mistakes of `bad_input.txt` by name."""
    rows = [line for line in Path(__file__).with_name("bad_input.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {name: Case(*rest) for name, *rest in ([part.strip() for part in row.split(" | ")] for row in rows)}


CASES = _cases()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "files"
    folder.mkdir()
    return Files(folder)


@pytest.fixture
def some_runs(made: Made) -> Made:
    """A running, a finished and a damaged run, and two of one title."""
    running = made.running("Running")
    running.resolved.write_text(_resolved())
    running.log.touch()
    made.finished("Finished")
    made.run("Damaged").resolved.unlink()
    for _ in range(2):
        made.run("Twin", state="stopped", reason=Reason("stopped", "Stopped.")).resolved.write_text(_resolved())
    maimed = made.finished("Maimed")
    maimed.resolved.write_text(_resolved())
    (maimed.adapter / "adapter_config.json").write_text('{"base_model')
    return made


def _resolved() -> str:
    from codex.config.compose import compose

    return compose("lora-docstrings", environ={}).resolved_yaml()


def _everything(folder: Path) -> set[str]:
    """All that is below `folder`, but for locks, which looking takes."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock"} if folder.exists() else set()


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_in_words_and_leaves_nothing(
    cli: Cli, files: Files, surroundings: Workspace, request: pytest.FixtureRequest, name: str
) -> None:
    case = CASES[name]
    if any(title in case.line for title in ("Running", "Finished", "Damaged", "Twin", "Maimed", "r-00", "nobody ")):
        request.getfixturevalue("some_runs")
    before = _everything(surroundings.root / "runs")
    request.getfixturevalue("monkeypatch").setattr("sys.stdin", io.StringIO(""))
    answer = cli(*case.arguments(files))
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err
    problems = answer.err.splitlines()
    assert all(line.startswith("Error: ") for line in problems)
    what, _, rest = problems[0].removeprefix("Error: ").partition("; expected ")
    assert case.what in what
    assert rest, problems[0]
    assert case.expected in rest
    assert case.fix in rest
    assert rest.rstrip(".`'\")").strip().count(" ") > 1
    assert _everything(surroundings.root / "runs") == before


def test_runs_of_an_empty_workspace_are_refused_with_how_to_start_one(cli: Cli) -> None:
    for line in ("runs show", "runs follow", "runs resume last", "runs delete 1 --yes", "runs config"):
        answer = cli(*line.split())
        assert answer.code == 2
        assert "is unknown; there are no runs yet. Start one: `codex-ml train`." in answer.err


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 70


@pytest.mark.parametrize("name", ["unknown key", "data that is not UTF-8", "resume of a run that runs", "no room on the disk"])
def test_bad_input_as_json_is_one_object_on_stderr(cli: Cli, files: Files, some_runs: Made, name: str) -> None:
    case = CASES[name]
    answer = cli(*case.arguments(files), "--json")
    assert (answer.code, answer.out) == (2, "")
    problem = json.loads(answer.err)["errors"][0]
    assert case.what in problem["what"]
    assert case.expected in problem["expected"]
    assert case.fix in problem["fix"]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small file system cannot be made here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_train_on_a_full_disk_is_refused_before_anything_is_made(cli: Cli, chats: Path, full_disk: Path) -> None:
    answer = cli("train", "recipe=qlora-chat", f"data.source={chats}", "--workspace", full_disk / "ws")
    assert answer.code == 2
    assert "has 0.00 GiB free; expected at least " in answer.err
    assert not list(full_disk.iterdir())


@pytest.mark.parametrize(
    ("make", "what"),
    [(lambda path: path.write_text("defaults: 5\n"), "`defaults` is no list"), (lambda path: path.write_bytes(b"a: \xff\n"), "0xff"),
     (lambda path: path.write_text("a: [\n"), "is no YAML"), (lambda path: path.write_text("nonsense: 1\n"), "`nonsense` is no setting")],
)  # fmt: skip
def test_own_recipe_that_is_broken_is_refused_with_its_line(
    cli: Cli, surroundings: Workspace, make: Callable[[Path], object], what: str
) -> None:
    surroundings.recipes.mkdir(parents=True)
    make(surroundings.recipes / "mine.yaml")
    answer = cli("train", "recipe=mine")
    assert answer.code == 2
    assert what in answer.err
    assert f"{surroundings.recipes / 'mine.yaml'}" in answer.err
    assert not surroundings.runs.exists()


def test_configuration_of_a_run_that_is_no_yaml_is_said_on_one_line(cli: Cli, made: Made) -> None:
    made.run("Garbled").resolved.write_text("training: [\n  steps: {\n")
    answer = cli("runs", "config", "Garbled", "--json")
    assert (answer.code, answer.out) == (2, "")
    what = json.loads(answer.err)["errors"][0]["what"]
    assert what.startswith("the configuration is no YAML: ") and "line 3" in what
    assert "\n" not in what


def test_variable_out_of_bounds_is_refused_with_its_name(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TRAINING__STEPS", "-3")
    answer = cli("train", "--dry-run")
    assert answer.code == 2
    assert "`training.steps` is -3 (variable CODEX_TRAINING__STEPS); expected 1 to 10000000." in answer.err
