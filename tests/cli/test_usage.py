"""Command lines that make no sense are refused like everything else: value, expectation, fix."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("line", "what", "expected", "fix"),
    [
        (
            "trian",
            "no such command 'trian'",
            "expected one of train, runs, chat, notebooks, config, doctor, logs, demo",
            "Try `codex-ml train`.",
        ),
        ("runs lst", "no such command 'lst'", "expected one of list, show, follow,", "Try `codex-ml runs list`."),
        ("rename", "no such command 'rename'", "expected one of", "Try `codex-ml runs rename`."),
        ("recipe=x", "no such command 'recipe=x'", "expected one of", "Try `codex-ml train recipe=x`."),
        ("qqqqq", "no such command 'qqqqq'", "expected one of", "See `codex-ml --help`."),
        ("--workspace /tmp", "no command is named", "expected one of train, runs", "See `codex-ml --help`."),
        ("--wrokspace x runs", "option '--wrokspace' is unknown", "expected one of --workspace, --version, --help", "Try `--workspace`."),
        ("train --dryrun", "option '--dryrun' is unknown", "expected one of --dry-run, --follow, --no-follow", "Try `--dry-run`."),
        (
            "train --training.steps=5",
            "option '--training.steps=5' is unknown",
            "expected one of",
            "Overrides take no dashes: `training.steps=5`.",
        ),
        ("train --recipe qlora-chat", "option '--recipe' is unknown", "expected one of", "Overrides take no dashes: `recipe=VALUE`."),
        ("train -s=5", "option '-s=5' is unknown", "expected one of", "Overrides take no dashes: `s=5`."),
        ("runs show -z", "option '-z' is unknown", "expected one of --log-lines", "See `codex-ml runs show --help`."),
        ("train --workspace", "option '--workspace' has no value", "expected one after it", "Write `--workspace VALUE`."),
        ("runs list --json=1", "option '--json' was given a value", "expected none", "Write `--json` alone."),
        (
            "runs rename r-0001",
            "TITLE is missing",
            "expected the new title, on one line",
            "Add it: `codex-ml runs rename [OPTIONS] RUN TITLE`.",
        ),
        ("runs stop", "RUN is missing", "expected a run's id", "Add it: `codex-ml runs stop [OPTIONS] RUN`."),
        ("chat last why so", "argument 'so' is one too many", "expected `codex-ml chat [OPTIONS] [TARGET] [PROMPT]`", "quotes around text"),
        ("runs --json show", "argument 'show' is one too many", "expected `codex-ml runs list [OPTIONS]`", "Take it out"),
    ],
)
def test_usage_error_says_value_expectation_and_fix(cli: Cli, line: str, what: str, expected: str, fix: str) -> None:
    answer = cli(*line.split())
    assert answer.code == 2
    if answer.err.startswith("{"):
        problem = json.loads(answer.err)["errors"][0]
        said = f"Error: {problem['what']}; {problem['expected']}. {problem['fix']}"
    else:
        said = answer.err.rstrip("\n")
    assert "\n" not in said
    assert said.startswith(f"Error: {what}; {expected}")
    assert fix in said
    assert answer.out == ""


def test_argument_that_is_not_utf8_is_refused(cli: Cli) -> None:
    answer = cli("train", "title=\udcff")
    assert answer.code == 2
    assert answer.err == "Error: argument 'title=\\udcff' is not UTF-8; expected UTF-8 text. Give the file another name.\n"


def test_names_from_the_command_line_reach_the_terminal_escaped(cli: Cli) -> None:
    answer = cli("\x1b[31mtrain")
    assert answer.code == 2
    assert "\x1b" not in answer.err
