"""What the pages say to type works, what they say comes out does, and what they point to is there.

Blocks are known by their language. `bash`: each line is a command, which is read as the command line reads it, and composed where it has
overrides. `console`: commands behind `$ ` with what they write, `…` standing for what is left out; both are compared. `python`: compiled,
and run where `<!-- run -->` stands before it, with a finished run in the place of training. `yaml` and `json` behind `<!-- file: … -->`:
written into a workspace, composed or read. `sql`: asked of a log that holds a run and a chat. `mermaid`: its form is checked.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import codex
from codex.cli import main
from codex.config.compose import compose
from codex.config.explain import recipes
from codex.core.paths import Workspace
from codex.sessionlog import SessionLog
from tests.docs.markdown import FENCE, PAGES, ROOT, Block, Command, anchors, blocks, links, typed

BLOCKS = blocks()
PROGRAMS = {"make", "python", "codex-ui"}
"""What pages name besides `codex-ml`."""


def _of(language: str) -> list[Any]:
    return [pytest.param(block, id=block.place) for block in BLOCKS if block.language == language]


def test_every_block_is_found_and_known() -> None:
    fences = sum(line.startswith(FENCE) for page in PAGES for line in page.read_text(encoding="utf-8").splitlines())
    assert len(BLOCKS) * 2 == fences
    assert len(PAGES) >= 13
    assert Counter(block.language for block in BLOCKS if block.language) == {
        "bash": 27, "console": 2, "json": 3, "mermaid": 10, "python": 13, "sql": 4, "text": 4, "yaml": 3,
    }  # fmt: skip
    assert sum(block.run for block in BLOCKS) == 11
    assert sum(bool(block.file) for block in BLOCKS) == 4
    assert sum(len(typed(block)) for block in BLOCKS if block.language in ("bash", "console")) == 85


# Commands


@pytest.fixture
def understood(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Makes `codex-ml` do nothing but note which command it understood, and with what."""
    import typer.main

    noted: list[tuple[str, dict[str, Any]]] = []
    real = typer.main.get_command

    def note_instead(command: Any, name: str = "") -> Any:
        for word, inner in getattr(command, "commands", {}).items():
            note_instead(inner, f"{name} {word}".strip())
        if not hasattr(command, "commands"):
            command.callback = lambda **values: noted.append((name, values))
        return command

    monkeypatch.setattr(typer.main, "get_command", lambda app: note_instead(real(app)))
    return noted


def _must_be_understood(command: Command, understood: list[tuple[str, dict[str, Any]]], workspace: Workspace) -> None:
    """`codex-ml` reads the line, and what it asks for exists."""
    from codex.services import configure

    assert main(command.words[1:]) == 0, command.words
    ((name, values),) = understood
    understood.clear()
    if values.get("overrides"):
        compose(overrides=values["overrides"], workspace=workspace, environ=dict(command.variables))
    if values.get("field"):
        assert configure.explain(values["field"])
    if name == "logs sql":
        assert SessionLog.open(workspace).sql(values["query"]).fetchall()


def _must_be_taken_by_the_app(words: list[str]) -> None:
    """`codex-ui` reads the line."""
    import typer.main

    from codex_ui.cli import app

    typer.main.get_command(app).make_context("codex-ui", words)


@pytest.mark.parametrize("block", _of("bash"))
def test_commands_are_understood(block: Block, understood: list[tuple[str, dict[str, Any]]], here: Workspace) -> None:
    commands = typed(block)
    assert commands
    for command in commands:
        program, *words = command.words
        assert program in PROGRAMS | {"codex-ml"}, command
        if program == "codex-ml":
            _must_be_understood(command, understood, here)
        elif program == "codex-ui":
            _must_be_taken_by_the_app(words)
        elif program == "make":
            assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in words)
        else:
            module = words[1] if words[0] == "-m" else program
            assert importlib.util.find_spec(module) is not None, command


def test_commands_in_recipe_headers_are_understood(understood: list[tuple[str, dict[str, Any]]], here: Workspace) -> None:
    found = [(info, Command.of(line)) for info in recipes(here) for line in info.commands]
    assert len({info.name for info, _ in found}) == len(recipes(here)) == 6
    assert len(found) >= 19
    needs = {"data.source=chats.jsonl"}
    for info, command in found:
        given = command if not info.name.startswith(("qlora-chat", "qlora-8b")) or needs & set(command.words) else None
        _must_be_understood(given or Command((), (*command.words, *needs)), understood, here)


@pytest.mark.parametrize("block", _of("console"))
def test_commands_write_what_the_page_shows(
    block: Block, here: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in typed(block):
        with monkeypatch.context() as variables:
            for name, value in command.variables:
                variables.setenv(name, value)
            code = main(command.words[1:])
        written = capsys.readouterr()
        shown = "".join(".*\n|" if line == "…\n" else re.escape(line) + "|" for line in command.output.splitlines(keepends=True))
        pattern = "".join("(?:.*\n)*?" if part == ".*\n" else part for part in shown.split("|"))
        assert re.fullmatch(pattern, written.out + written.err), f"{block.place}: {command.words}\n{written.out}{written.err}"
        assert (code == 2) == command.output.startswith("Error")


# Code


@pytest.mark.parametrize("block", _of("python"))
def test_python_compiles_and_runs_where_it_is_marked(block: Block, here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    program = compile(block.text, block.place, "exec")
    if not block.run:
        return
    asked: list[str] = []

    def train(recipe: str = "qlora-docstrings", *overrides: str, **values: Any) -> codex.RunHandle:
        dotted = {key.replace("__", "."): value for key, value in values.items()}
        asked.append(compose(recipe, overrides, workspace=here, values=dotted).resolved_yaml())
        return codex.run("last")

    monkeypatch.setattr(codex, "train", train)
    exec(program, {"__name__": "__main__"})
    assert len(asked) == block.text.count("codex.train(")


def test_public_names_in_pages_are_promised() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bcodex\.([A-Za-z]+)\(", page.read_text(encoding="utf-8"))}
    assert named >= {"train", "run", "runs", "resume"}
    assert named <= set(codex.__all__)


@pytest.mark.parametrize("block", _of("sql"))
def test_sql_finds_something(block: Block, here: Workspace) -> None:
    rows = SessionLog.open(here).sql(block.text).fetchall()
    assert rows
    assert None not in rows[0]


def test_last_result_of_a_replayed_step_counts_and_is_found(here: Workspace) -> None:
    series, replayed = (
        next(block.text for block in BLOCKS if block.language == language and words in block.text)
        for language, words in (("sql", "arg_max(loss, seq)"), ("python", "came out differently"))
    )
    log = SessionLog.open(here)
    assert dict(log.sql(series).fetchall())[40] == 5.0
    query = replayed.split('"""')[1]
    assert [step for _, step in log.sql(query).fetchall()] == [40]


def test_own_recipes_and_rows_of_the_pages_are_good(here: Workspace) -> None:
    from codex.data.jsonl import read_file

    files = [block.file for block in BLOCKS if block.file]
    own = [file for file in files if file.startswith("recipes/") and file.count("/") == 1]
    assert own == ["recipes/short.yaml"]
    composed = compose("short", workspace=here, environ={})
    assert (composed.config.training.steps, composed.config.training.batch_size, composed.config.title) == (40, 8, "Short")
    assert [read_file(here.root / file).format for file in files if file.endswith(".jsonl")] == ["messages", "prompt-completion"]


def test_data_named_from_the_persons_folder_is_found_by_the_worker(here: Workspace, tmp_path: Path) -> None:
    """The README names `chats.jsonl`; the worker works in the run's folder."""
    from codex.services.train import plan

    rows = [f'{{"prompt": "{number}, ", "completion": "{number + 1}"}}\n' for number in range(40)]
    (tmp_path / "chats.jsonl").write_text("".join(rows))
    planned = plan("qlora-chat", ["data.source=chats.jsonl"], workspace=here)
    assert f"source: {tmp_path / 'chats.jsonl'}\n" in planned.composed.resolved_yaml()
    assert "- data.source=chats.jsonl\n" in planned.composed.asked_yaml()


# Diagrams and links

DIAGRAMS = {"flowchart", "sequenceDiagram", "stateDiagram-v2"}
_ARROW = re.compile(r"^\s*(\w+)(?:-->>|->>)(\w+): \S")


@pytest.mark.parametrize("block", _of("mermaid"))
def test_diagram_is_of_a_known_type_and_closes_what_it_opens(block: Block) -> None:
    first, *rest = block.text.splitlines()
    assert first.split()[0] in DIAGRAMS
    bare = re.sub(r'"[^"\n]*"', "", block.text)
    assert '"' not in bare
    for opening, closing in ("()", "[]", "{}"):
        assert bare.count(opening) == bare.count(closing)
    if first == "sequenceDiagram":
        _check_sequence(rest)
    else:
        assert len(re.findall(r"^\s*subgraph ", bare, re.MULTILINE)) == len(re.findall(r"^\s*end$", bare, re.MULTILINE))


def _check_sequence(lines: list[str]) -> None:
    declared = {match[1] for line in lines if (match := re.match(r"\s*(?:participant|actor) (\w+)", line))}
    used = {name for line in lines if (match := _ARROW.match(line)) for name in match.groups()}
    assert used
    assert used <= declared
    opened = sum(line.strip().startswith(("loop ", "alt ", "opt ")) for line in lines)
    assert opened == sum(line.strip() == "end" for line in lines)
    assert not [line for line in lines if ";" in line], "a semicolon ends a statement"
    known = re.compile(r"\s*(participant|actor|loop|alt|opt|else|end|Note over)\b")
    assert not [line for line in lines if line.strip() and not known.match(line) and not _ARROW.match(line)]


def test_links_within_the_project_lead_somewhere() -> None:
    found = [(page, target) for page in PAGES for target in links(page) if not target.startswith(("https://", "http://"))]
    assert len(found) >= 25
    for page, target in found:
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def test_paths_and_modules_that_pages_name_are_there() -> None:
    pattern = re.compile(r"`((?:codex|tests|recipes|docs)/[\w./-]*)`")
    found = {(page.name, path) for page in PAGES for path in pattern.findall(page.read_text(encoding="utf-8"))}
    assert len(found) >= 30
    assert not [(page, path) for page, path in found if not (ROOT / path).exists()]
