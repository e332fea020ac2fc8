"""The walk of docs/first-adapter.md in a real browser, with a real run: from an empty workspace to a verdict and an answer; and what a
run is worth when the app dies.

The default recipe is shortened by variables, as a person could (40 small steps, 16 judged functions); the benchmark `click_to_verdict`
walks the whole of it.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
from playwright.sync_api import expect

from codex.core.paths import Workspace
from codex.services import runs
from codex.sessionlog import SessionLog
from tests.browser.app import App
from tests.browser.conftest import GONE, OpenPage, Seen

SHORT = {
    "CODEX_TRAINING__STEPS": "40",
    "CODEX_TRAINING__BATCH_SIZE": "2",
    "CODEX_EVALUATION__EXAMPLES": "16",
    "CODEX_EVALUATION__RESAMPLES": "200",
}
PATIENCE_MS = 180_000


def test_from_an_empty_workspace_to_a_verdict_and_an_answer(open_page: OpenPage, tmp_path: Path) -> None:
    with App(tmp_path / "workspace", environment=SHORT) as app:
        page = open_page(app.url)
        expect(page.get_by_text("Nothing has run yet")).to_be_visible()
        page.get_by_role("button", name="Start the default").click()
        page.wait_for_url("**/run?id=r-0001", timeout=PATIENCE_MS)
        curve = "[data-plot=loss] .scatterlayer path"
        page.wait_for_selector(curve, state="attached", timeout=PATIENCE_MS)

        page.reload()
        page.wait_for_selector(curve, state="attached", timeout=PATIENCE_MS)
        other = open_page(f"{app.url}/run?id=last")
        for each in (page, other):
            expect(each.locator(".cx-verdict .s").first).to_contain_text("answer loss", timeout=PATIENCE_MS)
        expect(page.locator("[data-part=run-head] .cx-chip")).to_have_text("Finished")
        assert page.locator(".cx-verdict .s").first.inner_text() == other.locator(".cx-verdict .s").first.inner_text()
        assert (tmp_path / "workspace/runs/r-0001/adapter/adapter_model.safetensors").is_file()

        page.get_by_role("link", name="Chat with it").click()
        message = page.locator("#chat-message textarea")
        message.click()
        message.press_sequentially("def add(a, b): return a + b")
        message.press("Enter")
        expect(page.locator(".cx-side-head .note")).to_have_text([re.compile("tokens/s"), re.compile("tokens/s")], timeout=PATIENCE_MS)
        assert len(page.locator(".cx-chat .bot").all()) >= 2
        for each in (page, other):
            each.context.close()  # or it would go on asking an app that has ended

    workspace = Workspace(tmp_path / "workspace")
    steps = [point.step for point in runs.metrics("r-0001", workspace=workspace) if point.split == "train"]
    assert steps == list(range(1, 41))
    kinds = (
        SessionLog.open(workspace).sql("select kind, role, count(*) from events where kind = 'chat' group by all order by role").fetchall()
    )
    said = {role: count for _, role, count in kinds}
    assert said["user"] == 1
    assert said["assistant"] == 2


def test_run_outlives_the_app_and_its_page_shows_it_whole(open_page: OpenPage, seen: Seen, tmp_path: Path) -> None:
    seen.allowed = GONE
    workspace = tmp_path / "workspace"
    short = {**SHORT, "CODEX_TRACKING__MLFLOW": "false"}  # the walk above has it
    app = App(workspace, environment=short)
    try:
        page = open_page(f"{app.url}/")
        page.get_by_role("button", name="Start the default").click()
        page.wait_for_url("**/run?id=r-0001", timeout=PATIENCE_MS)
        page.wait_for_selector("[data-plot=loss] .scatterlayer path", state="attached", timeout=PATIENCE_MS)
        children = psutil.Process(app.process.pid).children(recursive=True)
        app.kill()
        expect(page.locator(".cx-strip")).to_contain_text("not reachable since")
        page.context.close()
    finally:
        app.__exit__()
    again = App(workspace, port=app.port, environment=short)
    with again:
        page = open_page(f"{again.url}/run?id=r-0001")
        expect(page.locator(".cx-verdict .s").first).to_contain_text("answer loss", timeout=PATIENCE_MS)
        told = page.evaluate("fetch('/api/runs/r-0001/metrics').then(answer => answer.json())")
        assert [step for step, split in zip(told["step"], told["split"], strict=True) if split == "train"] == list(range(1, 41))
        assert told["done"] is True
        assert again.stop() < 5
    assert children
    deadline = time.monotonic() + 10
    workers = {process.pid for process in children if "codex.runs" in " ".join(_command(process))}
    while time.monotonic() < deadline and any(process.is_running() and process.pid not in workers for process in children):
        time.sleep(0.1)
    left = [_command(process) for process in children if process.is_running() and process.pid not in workers]
    assert not left, "the app's own processes end with it"


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
