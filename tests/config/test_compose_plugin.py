"""A stranger's method: it needs no recipe, and its secrets stay secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import ComposeHere, ProblemsHere, Write

PLUGIN = '''
"""A method of a stranger's package."""
from pydantic import Field
from codex.config.schema import MethodSettings
from codex.config.section import secret
from codex.core.registry import register

@register("method")
class SparseSettings(MethodSettings):
    """Trains few weights."""
    name: str = Field("sparse", title="Method", description="d")
    share: float = Field(0.1, gt=0, le=1, title="Share", description="d")
    token: str = Field("", max_length=9, title="Token", description="d", json_schema_extra=secret())
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real installed plugin: a method without any recipe, with a secret."""
    folder = tmp_path / "site"
    information = folder / "codex_sparse-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / "codex_sparse").mkdir()
    (folder / "codex_sparse" / "sparse.py").write_text(PLUGIN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: codex-sparse\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[codex_ml.plugins]\nmethod.sparse = codex_sparse.sparse\n")
    monkeypatch.syspath_prepend(folder)


@pytest.mark.usefixtures("plugin")
def test_compose_plugin_method_needs_no_recipe(composed: ComposeHere, write: Write) -> None:
    chosen = composed("method=sparse", "method.share=0.5")
    assert type(chosen.config.method).__name__ == "SparseSettings"
    assert chosen.config.method.model_dump() == {"name": "sparse", "share": 0.5, "token": ""}
    assert chosen.origins["method.name"] == "default"
    write("own", "defaults: [qlora-docstrings, {override method: sparse}, _self_]\nmethod: {share: 0.25}\n")
    assert composed(recipe="own").config.method.model_dump()["share"] == 0.25
    assert composed("method=lora", "method.rank=3", "training.steps=2", recipe="qlora-docstrings").config.method.name == "lora"


@pytest.mark.usefixtures("plugin")
def test_compose_secret_reaches_the_method_and_no_file_or_message(composed: ComposeHere, problems: ProblemsHere) -> None:
    for given in ({"environ": {"CODEX_METHOD__TOKEN": "hush"}}, {"values": {"method.token": "hush"}}):
        result = composed("method=sparse", **given)  # pyright: ignore[reportArgumentType]
        assert result.config.method.model_dump()["token"] == "hush"
        told = [result.resolved_yaml(), result.asked_yaml(), str(result.origins), str(result.changes())]
        assert not [text for text in told if "hush" in text]
    result = composed("method=sparse", "method.token=hush")
    assert "hush" not in result.resolved_yaml() + result.asked_yaml() + str(result.origins) + str(result.changes())
    assert "method.token=(secret)" in result.asked_yaml()
    [problem] = problems("method=sparse", "method.token=hush-hush-hush")
    assert "`method.token` is a secret" in problem.what
    assert "hush" not in str(problem)
