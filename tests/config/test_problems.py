"""What is wrong is told all at once: value, expectation, fix, and where it came from."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping

import pytest

from codex.config.compose import Composed, compose, load_resolved
from codex.config.fields import settings_of
from codex.core.errors import ConfigError, UserError
from codex.core.paths import Workspace
from codex.core.registry import load
from tests.config.conftest import ComposeHere, ProblemsHere, Write


def test_problem_out_of_bounds_reads_as_a_person_would_say_it(problems: ProblemsHere, composed: ComposeHere) -> None:
    rank = composed().config.method.model_dump()["rank"]
    [problem] = problems("method.rank=900")
    assert str(problem) == f"`method.rank` is 900 (override `method.rank=900`); expected 1 to 512. Set `method.rank={rank}`."


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.steps=0", "expected 1 to 10000000"),
        ("training.steps=5.5", "expected a whole number, 1 to 10000000"),
        ("training.steps=many", "expected a whole number, 1 to 10000000"),
        ("training.steps=", "expected a whole number, 1 to 10000000"),
        ("training.steps=true", "expected a whole number, 1 to 10000000"),
        ("training.steps=[1]", "expected a whole number, 1 to 10000000"),
        ("training.steps=1 2", "expected a whole number, 1 to 10000000"),
        ("training.steps=99999999999999999999999", "expected 1 to 10000000"),
        ("training.learning_rate=0", "expected above 0, at most 1"),
        ("training.learning_rate=nan", "expected a number, above 0, at most 1"),
        ("training.learning_rate=inf", "expected a number, above 0, at most 1"),
        ("evaluation.confidence=1", "expected above 0.5, below 1"),
        ("model.scratch.hidden_size=100", "expected a multiple of 64, 64 to 8192"),
        ("training.padding_free=perhaps", "expected true or false"),
        ("training.padding_free=2", "expected true or false"),
        ("tracking.experiment=", "expected text, 1 to 200 characters"),
        ("model.source=", "expected text, not empty"),
        ("training.threads=0", "expected 1 to 1024"),
        ("data.max_examples=x", "expected a whole number, at least 1, or null"),
        ("method.target_modules=q_proj", "expected all-linear, or a list such as [q_proj, v_proj]"),
        ("method.target_modules=[]", "expected all-linear, or a list such as [q_proj, v_proj]"),
        ("method.target_modules=[q_proj, 3]", "expected all-linear, or a list such as [q_proj, v_proj]"),
        ("model.scratch=5", "expected a group of settings"),
        ("seed.inner=1", "expected a whole number, 0 to 2147483647"),
    ],
)
def test_problem_says_what_the_setting_takes(override: str, expected: str, problems: ProblemsHere) -> None:
    found = problems(override)
    assert (found[0].expected, found[0].where) == (expected, f"override `{override}`")


@pytest.mark.parametrize(
    ("override", "fix"),
    [
        ("training.optimizer=moun", "Set `training.optimizer=muon`."),
        ("training.stepz=5", "Use `training.steps`."),
        ("trainin.steps=5", "Use `training.steps`."),
        ("steps=5", "Use `training.steps`."),
        ("qlora.rank=5", "Use `method.rank`."),
        ("training.learning-rate=5", "Use `training.learning_rate`."),
        ("zzz=5", "List them all: `codex-ml config explain`."),
        ("method=lorra", "Use `method=lora`."),
        ("training=quik-cpu", "Use `training=quick-cpu`."),
        ("recipe=qlora-docstring", "Use `recipe=qlora-docstrings`."),
        ("recipe=qlora-docstrings.yaml", "Use `recipe=qlora-docstrings`."),
        ("model=./my-model", "A file, folder or hub name goes to `model.source=./my-model`."),
        ("data=mine.jsonl", "A file, folder or hub name goes to `data.source=mine.jsonl`."),
        ("training.steps", "Write `training.steps=VALUE`."),
        ("=5", "Write the setting's name before the `=`."),
        ("", "Write the setting's name before the `=`."),
        ("+training.steps=5", "Write `training.steps=5`."),
        ("~method", "Write `method=VALUE`."),
    ],
)
def test_problem_proposes_what_was_probably_meant(override: str, fix: str, problems: ProblemsHere) -> None:
    [problem] = problems(override)
    assert (problem.fix, problem.where) == (fix, f"override `{override}`")


def test_problem_with_another_methods_setting_names_the_method(problems: ProblemsHere) -> None:
    [problem] = problems("method=lora", "method.double_quantization=true")
    assert problem.expected == "expected it only with qlora"
    assert problem.fix == "Take it out, or choose `method=qlora`."


def test_problem_with_a_variable_names_the_variable(problems: ProblemsHere) -> None:
    wrong, unknown = problems(environ={"CODEX_METHOD__RANK": "0", "CODEX_TRAINING__STEPZ": "5"})
    assert (wrong.what, wrong.where) == ("`method.rank` is 0", "variable CODEX_METHOD__RANK")
    assert (unknown.where, unknown.fix) == ("variable CODEX_TRAINING__STEPZ", "Use `CODEX_TRAINING__STEPS`.")


def test_problem_with_an_argument_shows_it_as_python_does(problems: ProblemsHere) -> None:
    text, choice, huge = problems(values={"training.steps": "x", "method": 5, "seed": 10**5000})[::-1]
    assert (text.what, text.where) == ("`training.steps` is 'x'", "argument `training.steps=x`")
    assert "digits" in choice.what
    assert huge.what == "`method` is 5"


def test_problems_in_a_recipe_come_with_their_lines(write: Write, problems: ProblemsHere) -> None:
    start = "# Mine.\ndefaults:\n  - qlora-docstrings\n  - _self_\n"
    path = write("own", f"{start}seed: -1\ntraining:\n  steps: lots\n  stepz: 3\n\n  optimizer: adamx\ndata: 5\nrecipe: x\n")
    found = {problem.what: problem.where for problem in problems(recipe="own")}
    assert found == {
        "`recipe` is 'x'": f"{path}:12",
        "`seed` is -1": f"{path}:5",
        "`data` is 5": f"{path}:11",
        "`training.steps` is 'lots'": f"{path}:7",
        "`training.stepz` is no setting": f"{path}:8",
        "`training.optimizer` is 'adamx'": f"{path}:10",
    }


def test_problems_of_all_sources_and_kinds_come_at_once(problems: ProblemsHere, write: Write) -> None:
    write("own", "defaults: [qlora-docstrings, _self_]\ntraining: {weight_decay: 3}\ndata:\n  source: ???\n")
    found = problems(
        "training.steps=x", "nonsense", "evaluation=nonne", "training.optimizer=muon", "modle.dtype=float32",
        "data.heldout=a.jsonl", recipe="own", environ={"CODEX_TRAINING__BATCH_SIZE": "0"}, values={"seed": "s"},
    )  # fmt: skip
    said = "\n".join(str(problem) for problem in found)
    for part in (
        "'nonsense' is no override", "evaluation 'nonne' is unknown", "`seed` is 's'", "`data.source` is not given",
        "`training.steps` is 'x'", "`training.weight_decay` is 3", "`training.batch_size` is 0", "`modle.dtype` is no setting",
        "`training.optimizer` is 'muon' and `method.name` is 'qlora'",
    ):  # fmt: skip
        assert part in said
    assert len(found) == 9, said


def test_problem_is_told_once_even_where_a_union_finds_it_twice(problems: ProblemsHere) -> None:
    assert len(problems("method.target_modules=x")) == 1


CONFLICTS: dict[str, tuple[tuple[str, ...], str]] = {
    "muon with an adapter": (("training.optimizer=muon",), "Set `training.optimizer=adamw`, or choose `method=full`."),
    "adapter on random weights": (("model=codex-tiny-scratch",), "Choose `method=full`, or `model=codex-tiny`."),
    "examples longer than the context": (("model=codex-tiny-scratch", "method=full", "data.max_tokens=513"), "Set `data.max_tokens=512`."),
    "heads": (("model=codex-tiny-scratch", "method=full", "model.scratch.heads=6"), "Set `model.scratch.heads=4`."),
    "kv heads": (("model=codex-tiny-scratch", "method=full", "model.scratch.kv_heads=3"), "Set `model.scratch.kv_heads=2`."),
    "scratch without shape": (("model.source=scratch",), "Choose `model=codex-tiny-scratch`, which brings one."),
    "shape without scratch": (("model.scratch.layers=3",), "Set `model.scratch=null`, or `model.source=scratch`."),
    "judged on nothing": (
        ("data.source=a.jsonl", "data.heldout_share=0"),
        "Set `data.heldout_share=0.1`, or `data.heldout=FILE.jsonl`, or `evaluation.judge=false`.",
    ),
    "evaluated on nothing": (
        ("data.source=a.jsonl", "data.heldout_share=0", "evaluation.judge=no", "training.evaluate_every=5"),
        "Set `data.heldout_share=0.1`, or `data.heldout=FILE.jsonl`, or `training.evaluate_every=0`.",
    ),
    "trained on what is judged": (
        ("data.source=a.jsonl", "data.heldout=a.jsonl"),
        "Set `data.heldout=null` to hold out a share of the data.",
    ),
    "fp16 on CPU": (("training.autocast=fp16", "model.device=cpu"), "Set `training.autocast=bf16`, or `training.autocast=no`."),
    "paged on CPU": (("training.optimizer=paged_adamw_8bit", "model.device=cpu"), "Set `training.optimizer=adamw`."),
    "trained float16": (("method=full", "model.dtype=float16"), "Set `model.dtype=float32`, or `model.dtype=bfloat16`."),
}


@pytest.mark.parametrize("overrides_and_fix", CONFLICTS.values(), ids=list(CONFLICTS))
def test_conflict_between_settings_is_found_and_the_first_fix_mends_it(
    overrides_and_fix: tuple[tuple[str, ...], str], problems: ProblemsHere, composed: ComposeHere
) -> None:
    overrides, fix = overrides_and_fix
    found = problems(*overrides)
    assert fix in [problem.fix for problem in found]
    cure = fix.split("`")[1]
    if cure != "model.scratch=null":  # takes back what an override said
        left = "" if "model=codex-tiny-scratch" not in cure else "method=full"
        assert composed(*overrides, cure, *filter(None, [left])).config


def test_conflict_is_found_beside_a_wrong_value_but_not_because_of_it(problems: ProblemsHere) -> None:
    both = problems("training.optimizer=muon", "method.rank=0")
    assert [problem.what for problem in both] == ["`method.rank` is 0", "`training.optimizer` is 'muon' and `method.name` is 'qlora'"]
    only = problems("training.optimizer=moun", "method.rank=0")
    assert [problem.what for problem in only] == ["`method.rank` is 0", "`training.optimizer` is 'moun'"]
    unknown = problems("method=fulll", "training.optimizer=muon")
    assert [problem.what for problem in unknown] == ["method 'fulll' is unknown"]
    unsure = problems("evaluation=nonne", "data.source=a.jsonl", "data.heldout_share=0", "training.steps=0")
    assert [problem.what for problem in unsure] == ["evaluation 'nonne' is unknown", "`training.steps` is 0"]


def test_data_that_must_be_given_is_asked_for(problems: ProblemsHere, composed: ComposeHere) -> None:
    [problem] = problems(recipe="qlora-chat")
    assert problem.what == "`data.source` is not given"
    assert problem.where is not None
    assert problem.where.startswith("recipes/data/chat-file.yaml:")
    assert problem.fix == "Set `data.source=FILE.jsonl`."
    assert composed("data.source=a.jsonl", recipe="qlora-chat").config.data.source == "a.jsonl"


VALID: list[list[str]] = [
    ["training.steps=20", "training.learning_rate=2e-4", "method.rank=8", "seed=7"],
    ["recipe=lora-docstrings", "method.target_modules=[q_proj,v_proj]", "title=My run"],
    ["recipe=qlora-chat", "data.source=/data/my chats.jsonl", "data.heldout=null", "training.padding_free=true"],
    ["recipe=pretrain-tiny", "model.scratch.layers=3", "training.autocast=no"],
    ["method=full", "model=codex-tiny-scratch", "data=stdlib-source", "evaluation=none", "tracking.mlflow=false"],
    ["recipe=qlora-8b-24gb", "model.source=/models/llama", "data.source=x.jsonl", "training=gpu-24gb", "evaluation.confidence=0.9"],
]
ODD = [
    "=",
    ".",
    "",
    " ",
    "\n",
    "\x00",
    "🐍",
    "${x}",
    "???",
    "[",
    "{",
    "'",
    '"',
    "~",
    "+",
    "null",
    "-1",
    "1e999",
    "9" * 5000,
    "\ud800",
    "\u2028",
    "é" * 300,
    "_",
    "__",
]


def _mutate(rng: random.Random, overrides: list[str]) -> list[str]:
    """`overrides` with one to three things done to them that a person, a script or an accident may do."""
    mutated = list(overrides)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(mutated))
        text = mutated[at]
        place = rng.randint(0, len(text))
        odd = rng.choice([*ODD, rng.choice(string.printable), chr(rng.randrange(1, 0x3000))])
        key, _, value = text.partition("=")
        mutated[at] = rng.choice(
            [
                text[:place] + odd + text[place:], text[:place] + text[place + 1 :], text[:place], odd, f"{key}={odd}", f"{odd}={value}",
                f"{key}.{odd}={value}", text + text, text.upper(), text.replace("=", " = "), rng.choice(rng.choice(VALID)),
                "".join(rng.sample(text, len(text))), f"{key}={rng.choice(rng.choice(VALID)).partition('=')[2]}",
            ]
        )  # fmt: skip
        if rng.random() < 0.2:
            mutated.insert(at, rng.choice(mutated))
    return mutated


def _outcome(overrides: list[str], environ: Mapping[str, str], workspace: Workspace) -> Composed | ConfigError:
    try:
        return compose(overrides=overrides, workspace=workspace, environ=environ)
    except ConfigError as error:
        return error


def test_thousand_mutated_command_lines_compose_or_say_why(workspace: Workspace) -> None:
    rng = random.Random(20261123)
    path = workspace.root / "resolved.yaml"
    composed_count = wrong_count = 0
    for overrides in VALID:
        assert isinstance(_outcome(overrides, {}, workspace), Composed)
    for _ in range(1000):
        overrides = _mutate(rng, rng.choice(VALID))
        environ = {"CODEX_TRAINING__STEPS": rng.choice(ODD), "CODEX_DATA__SOURCE": rng.choice(ODD)} if rng.random() < 0.2 else {}
        result = _outcome(overrides, environ, workspace)
        if isinstance(result, Composed):
            composed_count += 1
            path.write_text(result.resolved_yaml(), encoding="utf-8")
            assert load_resolved(path) == result.config, overrides
            result.asked_yaml().encode()
            result.changes()
        else:
            wrong_count += 1
            str(result).encode()
            assert len(str(result)) < 20_000
            for problem in result.problems:
                assert problem.what and problem.expected.startswith("expected ") and problem.fix, overrides
                assert "\n" not in str(problem), overrides
    assert composed_count > 80
    assert wrong_count > 400


def test_fix_of_every_out_of_bounds_setting_mends_it(composed: ComposeHere, problems: ProblemsHere) -> None:
    """Typing what a message proposes must work."""
    tried = 0
    for name, setting in settings_of(load("method", "qlora")).items():
        wrong = {"whole number": "-1", "number": "-1", "true or false": "x", "one of": "x"}.get(setting.type)
        if wrong is None or name.startswith("model.scratch."):
            continue
        [problem] = problems(f"{name}={wrong}")
        cure = problem.fix.split("`")[1]
        assert cure.startswith(f"{name}=")
        assert composed(f"{name}={wrong}", cure).config
        tried += 1
    assert tried >= 30


def test_unknown_recipe_is_a_user_error_with_the_nearest_name(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="Use `recipe=pretrain-tiny`"):
        compose("pretrain_tiny", workspace=workspace, environ={})
