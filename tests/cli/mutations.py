"""Command lines as a person might mistype them, and what must hold for every one."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from codex.cli import main

TRAIN = (
    ("train", "recipe=qlora-chat", "data.source={data}"),
    ("train", "recipe=lora-docstrings", "data.source={data}", "training.steps=50", "method.rank=8"),
    ("train", "recipe=qlora-docstrings", "data=chat-file", "data.source={data}", "training.learning_rate=2e-4", "seed=7"),
    ("train", "data.source={data}", "method=lora", "method.target_modules=[q_proj,v_proj]", "training.schedule=linear"),
    ("train", "recipe=pretrain-tiny", "model.scratch.layers=2", "data.source={data}", "data.heldout_share=0.2", "evaluation.judge=false"),
    ("train", "--workspace", "{workspace}", "recipe=qlora-chat", "data.source={data}", "title=A try", "model.device=cpu"),
)
OTHERS = (
    ("config", "show", "recipe=lora-docstrings", "training.steps=50"),
    ("config", "explain", "training.steps"),
    ("config", "recipes", "--json"),
    ("runs", "list", "--workspace", "{workspace}"),
    ("runs", "show", "last", "--log-lines", "5"),
    ("runs", "rename", "r-0001", "A better title"),
    ("runs", "delete", "r-0001"),
    ("logs", "tail", "-n", "5", "--session", "chat-1"),
    ("logs", "sql", "select kind, count(*) from events group by kind"),
    ("logs", "list", "--kind", "chat", "--since", "3d", "--until", "2026-11-25 14:00", "--where", "errors > 0", "--limit", "5"),
    ("logs", "show", "last", "--events", "0:50"),
    ("logs", "search", "timeout error", "--role", "tool", "--csv"),
    ("logs", "stats", "--since", "yesterday"),
    ("logs", "purge", "--older-than", "90d", "--dry-run"),
)
ODD = (
    *("", " ", "=", "==", "-", "--", "---", "-1", "0", "1e999", "nan", "-inf", "null", "true", "[]", "[", "{", "{a: b}", "${x}", "$HOME"),
    *("%s", "'", '"', "\\", "\n", "\t", "\x1b[31mred", "../../etc/passwd", "/", ".", "~", "*", "~nosuch/x", "é", "中文", "🙂", "\u202eabc"),
    *("a" * 3000, "9" * 400, "--json=1", "--help=x", "+a=1", "~a", "++a=1", "a.b.c.d.e=1", "method=", "=method", "recipe=", "model=nope"),
    *("???", "_self_", "hydra.verbose=true", "- x", "# x", "!!python/object:os.system"),
)


@dataclass(frozen=True)
class Outcome:
    """What one command line led to; `fault` is empty when all that must hold did."""

    arguments: tuple[str, ...]
    code: int | None
    fault: str


def _mutated_text(text: str, chance: random.Random) -> str:
    """`text` with one slip of a finger."""
    place = chance.randrange(len(text) + 1)
    kind = chance.randrange(6)
    if kind == 0 and text:
        return text[: max(0, place - 1)] + text[place:]
    if kind == 1 and len(text) > 1:
        place = chance.randrange(len(text) - 1)
        return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if kind == 2:
        return text[:place] + text[max(0, place - 1) : place] + text[place:]
    if kind == 3:
        return text[:place] + chance.choice("abcxyz019.-_=[]{}/\\\"' :,#é\u202e") + text[place:]
    if kind == 4 and "=" in text:
        return text.partition("=")[0] + "=" + chance.choice(ODD)
    return text[:place] if chance.random() < 0.5 else text.upper()


def mutated(arguments: Sequence[str], chance: random.Random) -> list[str]:
    """`arguments` after one to three slips."""
    found = list(arguments)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kind, place = chance.randrange(7), chance.randrange(max(1, len(found)))
        if kind == 0 and len(found) > 1:
            del found[place]
        elif kind == 1 and found:
            found.insert(place, found[place])
        elif kind == 2 and len(found) > 1:
            chance.shuffle(found)
        elif kind == 3:
            found.insert(place, chance.choice(ODD))
        elif found:
            found[place] = _mutated_text(found[place], chance)
    return [argument.replace("\0", "") for argument in found]


def lines(count: int, seed: int, data: Path, workspace: Path) -> Iterator[list[str]]:
    """`count` mutated command lines, none of which can start a run: `--dry-run` stands where nothing takes it away."""
    chance = random.Random(seed)
    for _ in range(count):
        training = chance.random() < 0.75
        command, *rest = (part.format(data=data, workspace=workspace) for part in chance.choice(TRAIN if training else OTHERS))
        as_json = ["--json"] if chance.random() < 0.3 else []
        if training:
            yield [command, "--dry-run", *as_json, *mutated(rest, chance)]
        else:
            yield [*mutated([command, *rest], chance), *as_json]


def run(arguments: Sequence[str]) -> Outcome:
    """Run a command line in this process, and look at what must hold."""
    out, err = io.StringIO(), io.StringIO()
    no_start = patch("codex.services.train.start", side_effect=AssertionError("it started a run"))
    with no_start, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patch("sys.stdin", io.StringIO("")):
        try:
            code = main(arguments)
        except BaseException:  # noqa: BLE001 - whatever comes out of main is a traceback to a person
            return Outcome(tuple(arguments), None, traceback.format_exc())
    return Outcome(tuple(arguments), code, fault_of(code, err.getvalue(), as_json="--json" in arguments))


def fault_of(code: int, said: str, *, as_json: bool) -> str:
    """What is wrong with how a command line was refused; empty when nothing is."""
    if "Traceback" in said or "\x1b" in said:
        return f"not plain words: {said!r}"
    if code == 0:
        return ""
    if code not in (1, 2):
        return f"exit code {code}"
    if code == 1:
        return ""
    if as_json:
        errors = json.loads(said)["errors"]
        empty = [error for error in errors if not (error["what"] and error["expected"] and error["fix"])]
        return f"incomplete: {empty}" if empty or not errors else ""
    wrong = [line for line in said.splitlines() if not re.fullmatch(r"Error: .+; .+\. .+", line)]
    return f"not value, expectation, fix: {wrong}" if wrong or not said else ""
