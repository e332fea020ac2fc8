"""The README's pictures: real pages over a made workspace. `CODEX_WRITE_PICTURES=1` writes them to `docs/images`."""

from __future__ import annotations

import io
import json
import math
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from codex.config.compose import compose
from codex.config.schema import EvaluationConfig
from codex.core import clock
from codex.core.paths import Workspace
from codex.core.protocols import ItemScore
from codex.evaluation.verdict import judge
from codex.runs.record import Run
from codex.runs.status import Reason
from codex.services.metrics import session_of
from codex.sessionlog import SessionLog
from tests.browser.app import App
from tests.browser.conftest import OpenPage
from tests.made import Made, whole_weights

WRITE = b"CODEX_WRITE_PICTURES=1" in Path("/proc/self/environ").read_bytes()  # `tests/conftest.py` has taken it from `os.environ`
IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 200_000
STEPS = 200
ITEMS = 200


def _scores(dice: random.Random, loss: float, right: float) -> list[ItemScore]:
    """Scores of as many items, each an answer of 20 tokens."""
    return [ItemScore(20 * max(0.2, dice.gauss(loss, 0.5)), 20, round(20 * right + dice.gauss(0, 1.5))) for _ in range(ITEMS)]


def _verdict(dice: random.Random) -> dict[str, object]:
    verdict = judge(
        base_scores=_scores(dice, 4.9, 0.24), adapter_scores=_scores(dice, 3.25, 0.39),
        base_shuffled=_scores(dice, 4.95, 0.23), adapter_shuffled=_scores(dice, 3.75, 0.36),
        groups=[f"module{item // 4}" for item in range(ITEMS)], origins=[f"module{item // 4}.function{item}" for item in range(ITEMS)],
        noun="held-out functions", settings=EvaluationConfig.model_validate({}), seed=42,
    )  # fmt: skip
    return dict(json.loads(verdict.model_dump_json()))


def _log(workspace: Workspace, run: Run, dice: random.Random) -> None:
    """Steps as a run on two cores has them."""
    with SessionLog.open(workspace) as log, log.session("training", run.title, id=session_of(run), run_id=run.id) as session:
        for step in range(1, STEPS + 1):
            loss = 3.25 + 2.3 * math.exp(-step / 28) + dice.gauss(0, 0.12)
            rate = 2e-3 * min(1, step / 10) * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))
            norm = 0.8 + 1.4 * math.exp(-step / 20) + abs(dice.gauss(0, 0.15))
            memory = 1.1 + 0.1 * min(1, step / 5)
            figures = {
                "split": "train",
                "learning_rate": rate,
                "grad_norm": norm,
                "tokens_per_s": dice.gauss(2700, 60),
                "memory_gib": memory,
            }
            session.append("info", attributes=figures, step=step, loss=loss)
            if step % 20 == 0:
                session.append("info", attributes={"split": "heldout"}, step=step, loss=3.3 + 2.2 * math.exp(-step / 30))


@pytest.fixture(scope="module")
def pictured() -> Iterator[App]:
    """An app over a workspace with one judged run."""
    dice = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="codex-") as home:
        workspace = Workspace(Path(home) / "docstrings")
        made = Made(workspace)
        run = made.finished("QLoRA on docstrings")
        composed = compose(environ={})
        run.resolved.write_text(composed.resolved_yaml())
        run.asked.write_text(composed.asked_yaml())
        run.report.write_text(json.dumps({"run": run.id, "verdict": _verdict(dice)}))
        (run.adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/models/codex-tiny"}))
        (run.adapter / "adapter_model.safetensors").write_bytes(whole_weights(1_650_000))
        now = clock.now()
        record = json.loads((run.folder / "run.json").read_text())
        (run.folder / "run.json").write_text(json.dumps({**record, "created": now - 98}))
        run = replace(run, created=now - 98)
        made.tell(run, state="finished", reason=Reason("finished", "Finished."), started=now - 93, ended=now, step=STEPS, total=STEPS)
        _log(workspace, run, dice)
        with App(workspace.root) as app:
            yield app


def _take(page: Page, name: str, folder: Path) -> None:
    """Take a picture; it is of the right size and shows something."""
    page.evaluate("document.fonts.ready")
    page.mouse.move(0, 0)
    data = page.screenshot(animations="disabled")
    with Image.open(io.BytesIO(data)) as shot:
        assert shot.size == (1440, 900)
        colours = shot.convert("RGB").getcolors(1440 * 900) or []
        assert len(colours) > 200
        assert max(count for count, _ in colours) < 0.9 * 1440 * 900, "most of it is blank"
        shot.convert("RGB").save(folder / f"{name}.png", optimize=True)
    assert 20_000 < (folder / f"{name}.png").stat().st_size < MOST_BYTES


def test_picture_of_a_finished_run(pictured: App, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{pictured.url}/run?id=last")
    expect(page.locator(".cx-verdict").first).to_contain_text("Better: answer loss 4.9")
    page.locator("[data-plot=memory] .main-svg").first.wait_for(state="attached")
    _take(page, "run", _folder(tmp_path))


def test_picture_of_the_form(pictured: App, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{pictured.url}/train?set=method.rank=32&set=method.alpha=64")
    expect(page.locator(".cx-will .ln.ch").first).to_be_visible()
    expect(page.locator(".cx-facts dl")).to_be_visible(timeout=120_000)
    _take(page, "train", _folder(tmp_path))


def _folder(otherwise: Path) -> Path:
    if WRITE:
        IMAGES.mkdir(exist_ok=True)
    return IMAGES if WRITE else otherwise


def test_pictures_of_the_readme_are_there_and_small() -> None:
    for name in ("run", "train"):
        with Image.open(IMAGES / f"{name}.png") as picture:
            assert picture.size == (1440, 900)
        assert (IMAGES / f"{name}.png").stat().st_size < MOST_BYTES
