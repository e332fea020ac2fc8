"""What configurations look like to faces: marked lines."""

from __future__ import annotations

from codex.config.compose import compose
from codex.services import configure


def test_marked_lines_are_those_that_were_asked_for() -> None:
    asked = compose(overrides=["method.rank=8", "training=gpu-24gb"], environ={"CODEX_EVALUATION__EXAMPLES": "30"})
    lines = configure.marked(asked.resolved_yaml(), asked.asked_yaml())
    assert "\n".join(line.text for line in lines) + "\n" == asked.resolved_yaml()
    marked = {line.field for line in lines if line.changed}
    assert {"method.rank", "evaluation.examples", "training.steps"} <= marked
    assert not {"method.alpha", "data.source", "evaluation.judge"} & marked


def test_marked_lines_of_text_that_is_no_yaml_are_the_text() -> None:
    assert [line.text for line in configure.marked("a: b\nc", "recipe: [")] == ["a: b", "c"]
