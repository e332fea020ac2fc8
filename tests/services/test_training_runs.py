"""Training runs as a person has them: started, killed, resumed, stopped, judged. Real processes, a real small model."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codex.core.errors import RunError, UserError
from codex.core.paths import Workspace
from codex.runs.checkpoints import complete_checkpoints
from codex.runs.record import Run
from codex.runs.store import RunStore
from codex.services import runs, train
from codex.services.learnt_form import DATA_FORM


def _sha(run: Run) -> str:
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def _losses(run: Run, workspace: Workspace) -> dict[int, float | None]:
    return {point.step: point.loss for point in runs.metrics(run.id, workspace=workspace) if point.split == "train"}


def _kill_worker_at(run: Run, workspace: Workspace, step: int) -> None:
    """Kill the worker with signal 9 as soon as it has done `step` steps."""
    store, deadline = RunStore(workspace), time.monotonic() + 120
    while True:
        view = store.view(run)
        assert view.active, f"ended at step {view.status.step} before it could be killed: {view.status.reason}"
        assert time.monotonic() < deadline
        if view.status.worker is not None and (view.status.step or 0) >= step:
            os.kill(view.status.worker.pid, signal.SIGKILL)
            return
        time.sleep(0.005)


def test_run_finishes_with_adapter_verdict_and_one_row_a_step(start_run: Any, finish: Any, workspace: Workspace, tiny_folder: Path) -> None:
    run = start_run(tracking__mlflow=True)
    view = finish(run)
    assert view.state == "finished", (view.status.reason, run.log.read_text()[-3000:])

    losses = _losses(run, workspace)
    assert list(losses) == list(range(1, 13))
    assert all(loss is not None and math.isfinite(loss) for loss in losses.values())
    assert [path.name for path in complete_checkpoints(run.folder)] == ["checkpoint-9", "checkpoint-12"]

    report = json.loads(run.report.read_text())
    verdict = report["verdict"]
    assert verdict["sentence"].startswith(f"{verdict['word']}: answer loss ")
    assert verdict["items"] == 10
    assert report["training"]["steps"] == 12
    assert (run.folder / DATA_FORM).read_text() == report["data"]["form"] == "prompt-completion"

    _assert_mlflow_holds(losses, workspace)
    _assert_plain_peft_gives_the_judged_loss(run, tiny_folder, workspace, verdict)


def _assert_mlflow_holds(losses: dict[int, float | None], workspace: Workspace) -> None:
    import sqlite3

    rows = sqlite3.connect(workspace.mlflow_db).execute("select step, value from metrics where key = 'loss' order by step").fetchall()
    assert [step for step, _ in rows] == list(losses)
    assert dict(rows) == pytest.approx(losses)


def _assert_plain_peft_gives_the_judged_loss(run: Run, tiny_folder: Path, workspace: Workspace, verdict: dict[str, Any]) -> None:
    """An oracle outside our code: transformers and PEFT alone, one example at a time, give the verdict's adapter loss."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    from codex.config.composed import load_resolved
    from codex.data.load import load
    from codex.models.load import keep_4bit_weights_unpacked

    quantized = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, quantization_config=quantized, dtype=torch.float32, device_map={"": "cpu"})
    keep_4bit_weights_unpacked(base)
    model = PeftModel.from_pretrained(base, str(run.adapter)).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    config = load_resolved(run.resolved)
    examples = {example.origin: example for example in load(config.data, config.seed, workspace).heldout}
    total = tokens = 0.0
    for row in verdict["rows"]:
        example = examples[row["origin"]]
        prompt = tokenizer(example.prompt)["input_ids"]
        answer = [*tokenizer(example.completion)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        total += torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum").item()
        tokens += len(answer)
    judged = next(metric for metric in verdict["metrics"] if metric["name"] == "answer-loss")
    assert judged["adapter"] == pytest.approx(total / tokens, abs=2e-3)


def test_run_killed_and_resumed_gives_the_same_adapter_and_losses(start_run: Any, finish: Any, workspace: Workspace) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    steps = sorted(random.Random(seed).sample(range(2, 16), 2))
    length = {"training__steps": 40, "training__save_every": 4}  # far longer than the last kill needs to arrive, on a busy machine too
    whole = start_run(**length)
    broken = start_run(tracking__mlflow=True, **length)
    for step in steps:
        _kill_worker_at(broken, workspace, step)
        view = finish(broken)
        assert view.status.reason.kind == "killed"
        assert view.status.reason.signal == "SIGKILL"
        train.resume(broken.id, workspace=workspace)
    for run in (whole, broken):
        view = finish(run)
        assert view.state == "finished", view.status.reason
    assert RunStore(workspace).view(broken).status.attempt == 3
    assert _losses(broken, workspace) == _losses(whole, workspace)
    assert _sha(broken) == _sha(whole)
    _assert_mlflow_holds(_losses(whole, workspace), workspace)
    verdicts = [json.loads(run.report.read_text())["verdict"] for run in (whole, broken)]
    assert verdicts[0] == verdicts[1]


def test_stop_saves_and_resume_goes_on(start_run: Any, finish: Any, workspace: Workspace) -> None:
    run = start_run(training__steps=400, training__save_every=1000, evaluation__judge=False)
    store, deadline = RunStore(workspace), time.monotonic() + 120
    while (store.view(run).status.step or 0) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    view = store.stop(run, 60)
    assert view.state == "stopped"
    saved = [int(path.name.rpartition("-")[2]) for path in complete_checkpoints(run.folder)]
    assert saved == [view.status.step]
    assert not run.adapter.exists()
    with pytest.raises(RunError, match="expected"):
        store.stop(run)

    _, checkpoint = train.resume(run.id, workspace=workspace)
    assert checkpoint is not None and checkpoint.name == f"checkpoint-{saved[0]}"
    with pytest.raises(RunError, match="runs"):
        train.resume(run.id, workspace=workspace)
    with pytest.raises(RunError, match="run"):
        store.delete(run)
    while (store.view(run).status.step or 0) <= saved[0]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    store.stop(run, 60)
    steps = list(_losses(run, workspace))
    assert steps == list(range(1, len(steps) + 1))


def test_data_that_went_bad_after_the_check_ends_the_run_with_the_problem(
    start_run: Any, finish: Any, workspace: Workspace, small_data: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(small_data.read_text())
    planned = train.plan(
        "qlora-docstrings",
        workspace=workspace,
        values={"data.source": str(own), "data.max_tokens": 64, "tracking.mlflow": False, "training.steps": 2},
    )
    own.write_text(own.read_text() + '{"prompt": "half a row')
    view = finish(train.start(planned, workspace=workspace))
    assert view.state == "failed"
    assert view.status.reason.kind == "error"
    assert "own.jsonl:61" in view.status.reason.sentence
    assert "Traceback" not in view.status.reason.sentence


def test_full_training_of_a_new_model_runs(start_run: Any, finish: Any, workspace: Workspace) -> None:
    shape = {"hidden_size": 64, "layers": 1, "heads": 2, "kv_heads": 2, "mlp_size": 64, "vocabulary": 512, "context": 64}
    planned = train.plan(
        "pretrain-tiny",
        workspace=workspace,
        values={
            **{f"model.scratch.{key}": value for key, value in shape.items()},
            "data.max_tokens": 32,
            "data.max_examples": 200,
            "training.steps": 3,
            "training.evaluate_every": 2,
            "training.log_every": 1,
            "evaluation.examples": 2,
            "tracking.mlflow": False,
        },
    )
    run = train.start(planned, workspace=workspace)
    view = finish(run)
    assert view.state == "finished", (view.status.reason, run.log.read_text()[-3000:])
    assert (run.adapter / "model.safetensors").is_file()
    points = [(point.step, point.split) for point in runs.metrics(run.id, workspace=workspace)]
    assert (2, "heldout") in points
    assert [step for step, split in points if split == "train"] == [1, 2, 3]


def test_plan_refuses_before_anything_is_made(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"data.max_tokens.*512"):
        train.plan("qlora-docstrings", workspace=workspace, values={"data.max_tokens": 4096})
    assert not workspace.root.exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method.target_modules": ["foo"]}, r"`method.target_modules` names 'foo'.*expected some of .*q_proj.*all-linear"),
        ({"model.device": "cuda"}, r"`model.device` is 'cuda'.*expected.*Set `model.device=auto`"),
    ],
)
def test_plan_refuses_what_only_the_worker_would_meet(values: dict[str, Any], said: str, workspace: Workspace) -> None:
    with pytest.raises(UserError, match=said):
        train.plan("qlora-docstrings", workspace=workspace, values=values)
    assert not workspace.root.exists()


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [("training.optimizer", "paged_adamw_8bit", "training.optimizer=adamw"), ("training.autocast", "fp16", "training.autocast=bf16")],
)
def test_what_only_a_gpu_has_is_refused_where_auto_finds_none(
    field: str, value: str, fix: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from codex.config.compose import compose
    from codex.services.workers import training

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = rf"`{field}` is '{value}', `model.device` is 'auto' and PyTorch sees no GPU here; expected .* only on a GPU.*Set `{fix}`"
    with pytest.raises(UserError, match=said):
        train.plan("qlora-docstrings", workspace=workspace, values={field: value, "model.device": "auto"})
    assert not workspace.root.exists()
    config = compose("qlora-docstrings", workspace=workspace, values={field: value, "model.device": "auto"}).config
    with pytest.raises(UserError, match=said):  # the worker of a run that was planned elsewhere
        training._prepare(SimpleNamespace(progress=lambda **_: None), config)  # pyright: ignore[reportArgumentType]


def test_needed_bytes_are_those_of_weights_moments_and_result(workspace: Workspace) -> None:
    """codex-tiny: 5 layers of 256, queries 4 x 64, keys and values 2 x 64, 704 in between, 2,048 tokens."""
    adapter = {"method.rank": 8, "training.keep_checkpoints": 2, "data.source": "stdlib-docstrings"}
    rows_and_columns = 5 * (2 * (256 + 256) + 2 * (128 + 256) + 3 * (704 + 256)) + (2048 + 256)
    planned = train.plan("qlora-docstrings", workspace=workspace, values=adapter)
    assert planned.needed_bytes == 8 * rows_and_columns * 4 * (3 * 3 + 1) + 200 * 2**20

    assert planned.model is not None
    from codex.config.compose import compose

    full = compose("lora-docstrings", ["method=full", "training.keep_checkpoints=1"], workspace=workspace).config
    weights = 5 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 704 * 256 + 2 * 256) + 256 + 2048 * 256
    assert train._needed_bytes(full, planned.model) == weights * 4 * (3 * 2 + 1) + 200 * 2**20

    shape = {"hidden_size": 64, "layers": 3, "heads": 4, "kv_heads": 2, "mlp_size": 192, "vocabulary": 512, "context": 64}
    values = {f"model.scratch.{key}": value for key, value in shape.items()} | {"training.keep_checkpoints": 1, "data.max_tokens": 32}
    scratch = compose("pretrain-tiny", workspace=workspace, values=values).config
    weights = 3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 192) + 512 * 64
    assert train._needed_bytes(scratch, None) == weights * 4 * (3 * 2 + 1) + 200 * 2**20


def test_resume_on_other_data_is_refused(start_run: Any, finish: Any, workspace: Workspace, small_data: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(small_data.read_text())
    run = start_run(data__source=str(own), training__steps=500, training__save_every=2, evaluation__judge=False)
    _kill_worker_at(run, workspace, 5)
    finish(run)
    own.write_text("".join(own.read_text().splitlines(keepends=True)[:40]))
    before = RunStore(workspace).view(run).status
    with pytest.raises(UserError, match="the data has changed since run"):
        train.resume(run.id, workspace=workspace)
    assert RunStore(workspace).view(run).status == before
    own.unlink()
    with pytest.raises(UserError, match="does not exist"):
        train.resume(run.id, workspace=workspace)


def test_damaged_log_is_said_where_it_is_read(workspace: Workspace) -> None:
    from codex.services.doctor import examine
    from codex.services.log_state import damage
    from codex.sessionlog import SessionLog

    with SessionLog.open(workspace) as log, log.session("chat") as session:
        for number in range(20):
            session.append("user", f"message {number}")
    assert damage(workspace) is None
    segment = max((workspace.log / "segments").iterdir(), key=lambda path: path.stat().st_size)
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4] = b"@@@@"
    segment.write_bytes(raw)
    assert "1 damaged" in (damage(workspace) or "")
    assert [check.state for check in examine(workspace) if check.name == "Session log"] == ["note"]
    command = [sys.executable, "-m", "codex.cli", "--workspace", str(workspace.root), "logs", "sql", "select count(*) from events"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["count_star()", "21"]
    assert "The session log is damaged: 1 damaged" in answer.stderr


def test_last_is_the_newest_run_also_beside_a_stray_folder(workspace: Workspace) -> None:
    store = RunStore(workspace)
    run = store.create("training", "one", {"asked.yaml": "", "resolved.yaml": ""})
    (workspace.runs / "r-0020").mkdir()
    assert store.get("last").id == run.id


def test_report_that_cannot_be_read_is_no_missing_verdict(workspace: Workspace) -> None:
    run = RunStore(workspace).create("training", "one", {"asked.yaml": "", "resolved.yaml": ""})
    assert runs.show(run.id, workspace=workspace).verdict is None
    run.report.write_bytes(b"{\xff broken")
    assert (runs.show(run.id, workspace=workspace).verdict or "").startswith("Unknown: report.json cannot be read")


def test_plan_without_mlflow_names_the_extra(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "mlflow" else real(name, package))
    with pytest.raises(UserError, match=r"'mlflow' is not installed.*codex-ml\[tracking\]"):
        train.plan("qlora-docstrings", workspace=workspace)
    assert not workspace.root.exists()


def test_tracker_that_fails_is_named_and_training_goes_on(start_run: Any, finish: Any, workspace: Workspace) -> None:
    workspace.create()
    workspace.mlflow_db.write_bytes(b"this is no database" * 100)
    run = start_run(tracking__mlflow=True, training__steps=2, evaluation__judge=False)
    assert finish(run).state == "finished", run.log.read_text()[-2000:]
    assert "MLflow stopped taking metrics" in json.loads(run.report.read_text())["tracking"]["problem"]


def test_plan_without_room_on_disk_says_how_much_is_needed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10, used=9, free=1))
    with pytest.raises(UserError, match=r"0.00 GiB free.*expected at least 0\.\d+ GiB"):
        train.plan("qlora-docstrings", workspace=workspace)


def test_plan_of_examples_too_long_for_the_model_is_refused_before_anything_is_made(workspace: Workspace, tmp_path: Path) -> None:
    data = tmp_path / "long.jsonl"
    rows = [{"prompt": "word " * 4000 + str(number), "completion": "yes"} for number in range(20)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"answer token.*expected"):
        train.plan("qlora-docstrings", workspace=workspace, values={"data.source": str(data)})
    assert not workspace.root.exists()


def test_plan_says_what_will_be_trained_on(workspace: Workspace) -> None:
    planned = train.plan("qlora-docstrings", workspace=workspace)
    words = planned.audit[0].split()
    assert words[0].replace(",", "") == str(len(planned.data.train))
    assert planned.audit[0].endswith("carry loss.")


def test_encode_run_one_group_only_has_no_style_control(tiny_folder: Path, workspace: Workspace) -> None:
    from codex.config.compose import compose
    from codex.core.protocols import Message
    from codex.data.examples import Example
    from codex.data.load import Dataset
    from codex.models.load import load_tokenizer
    from codex.services.encoding import encode_run

    def example(number: int, group: str) -> Example:
        return Example(messages=(Message("user", f"q{number}"), Message("assistant", f"a{number}")), group=group, origin=str(number))

    values = {"model.source": str(tiny_folder), "data.max_tokens": 32, "evaluation.judge": True}
    config = compose("lora-docstrings", workspace=workspace, values=values).config
    tokenizer = load_tokenizer(config.model, workspace)
    for groups, expected in (("aaab", 0), ("abab", 4)):
        heldout = [example(number, group) for number, group in enumerate(groups)]
        encoded = encode_run(config, Dataset([example(9, "c")], heldout, "messages", "x", "f"), tokenizer, 256)
        assert encoded.judged is not None
        assert len(encoded.judged.shuffled) == expected


def test_encode_run_watches_heldout_without_a_judge(tiny_folder: Path, workspace: Workspace, small_data: Path) -> None:
    from codex.config.compose import compose
    from codex.data.load import load
    from codex.models.load import load_tokenizer
    from codex.services.encoding import encode_run

    values = {
        "model.source": str(tiny_folder),
        "data.source": str(small_data),
        "data.max_tokens": 64,
        "evaluation.judge": False,
        "evaluation.examples": 3,
        "training.evaluate_every": 2,
    }
    config = compose("lora-docstrings", workspace=workspace, values=values).config
    data = load(config.data, config.seed, workspace, judged=False)
    encoded = encode_run(config, data, load_tokenizer(config.model, workspace), 256)
    assert encoded.judged is None
    assert len(encoded.watched) == 3


def _kill_session(leader: int) -> set[int]:
    """Kill with signal 9 every process of the session that `leader` leads, whatever process groups they are in; gives which."""
    import psutil

    def session_of(pid: int) -> int | None:
        try:
            return os.getsid(pid)
        except ProcessLookupError:
            return None

    members = {pid for pid in psutil.pids() if session_of(pid) == leader}
    for pid in members:
        os.kill(pid, signal.SIGKILL)
    return members


def test_starter_killed_mid_run_the_run_finishes_and_the_list_shows_it_whole(
    tiny_folder: Path, small_data: Path, workspace: Workspace
) -> None:
    """The real `codex-ml train --follow`, killed with signal 9 together with everything of its session, as when a terminal is closed."""
    command = Path(sys.executable).with_name("codex-ml")
    fields = ["training.steps=40", "training.batch_size=4", "evaluation.examples=10", "evaluation.resamples=200", "tracking.mlflow=false"]
    asked = [f"model.source={tiny_folder}", f"data.source={small_data}", "data.heldout_share=0.3", "data.max_tokens=64", *fields]
    starter = subprocess.Popen(
        [command, "train", *asked, "--follow", "--workspace", str(workspace.root)], stdout=subprocess.DEVNULL, start_new_session=True
    )
    store, deadline = RunStore(workspace), time.monotonic() + 120
    while not workspace.runs.is_dir() or not store.list() or (store.list()[0].status.step or 0) < 2:
        assert time.monotonic() < deadline
        assert starter.poll() is None
        time.sleep(0.02)
    killed = _kill_session(starter.pid)
    assert starter.wait() == -signal.SIGKILL
    processes = store.list()[0].status.processes()
    assert len(processes) == 2, "supervisor and worker are known"
    assert not killed & {process.pid for process in processes}, "neither belongs to the starter's session"
    assert store.list()[0].active, "the run ended before its starter was killed: nothing was tested"
    assert store.wait(store.get("last"), 120).state == "finished"
    shown = subprocess.run(
        [command, "runs", "list", "--json", "--workspace", str(workspace.root)], capture_output=True, text=True, check=True
    )
    listed = json.loads(shown.stdout)
    assert [(row["id"], row["state"], row["step"]) for row in listed] == [("r-0001", "finished", 40)]
    assert list(_losses(store.get("last"), workspace)) == list(range(1, 41))
