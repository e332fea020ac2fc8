"""Hub models are fetched from a small hub on this machine, in a process of their own, as a person's would be."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import ModelError
from codex.core.paths import PACKAGE
from codex.models.hub import HubModel, readable_bytes

WANTED = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"

PROGRAM = """
import json, sys
from codex.config.schema import ModelConfig
from codex.core.errors import ModelError
from codex.core.paths import Workspace
from codex.models.hub import Unconfirmed
from codex.models.load import describe
told = []
try:
    info = describe(ModelConfig.model_validate(json.loads(sys.argv[1])), Workspace.locate("/nowhere"), lambda *now: told.append(now))
    answer = {"folder": str(info.folder), "parameters": info.parameters, "told": told}
except ModelError as error:
    answer = {"error": str(error)}
    if isinstance(error, Unconfirmed):
        answer["elsewhere"] = str(error.confirmed_by("add `--yes`"))
print(json.dumps({**answer, "torch": "torch" in sys.modules}))
"""


class Hub:
    """The part of a hub's interface that serves public models.

    Args:
        models: name → folder.
    """

    def __init__(self, models: dict[str, Path]) -> None:
        self.models = models
        self.requests: list[tuple[str, str]] = []
        self.claimed_bytes: int | None = None  # what it says that weights take, when that is not the truth
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = request.path.partition("?")[0]
        self.requests.append((request.command, path))
        content, headers = self._find(path)
        request.send_response(404 if content is None else 200)
        if content is None:
            headers, content = {"X-Error-Code": "RepoNotFound"}, b""
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(content)

    def _find(self, path: str) -> tuple[bytes | None, dict[str, str]]:
        for name, folder in self.models.items():
            files = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
            if path in (f"/api/models/{name}", f"/api/models/{name}/revision/main", f"/api/models/{name}/revision/{COMMIT}"):
                sizes = {file: self.claimed_bytes or len(raw) if file == "model.safetensors" else len(raw) for file, raw in files.items()}
                siblings = [{"rfilename": file, "size": sizes[file], "blobId": _digest(raw)} for file, raw in files.items()]
                return _json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "downloads": 0, "tags": []})
            if path == f"/api/models/{name}/tree/{COMMIT}":
                return _json([{"type": "file", "path": file, "size": len(raw), "oid": _digest(raw)} for file, raw in files.items()])
            start = f"/{name}/resolve/{COMMIT}/"
            if path.startswith(start) and path.removeprefix(start) in files:
                content = files[path.removeprefix(start)]
                return content, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT}
        return None, {}

    def fetched(self) -> set[str]:
        """Names of the files whose content was asked for."""
        return {path.rpartition("/")[2] for method, path in self.requests if method == "GET" and "/resolve/" in path}


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _json(value: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {"Content-Type": "application/json"}


@pytest.fixture
def remote(tiny_folder: Path, tmp_path: Path) -> Path:
    """What the hub holds: the tiny model among files that nobody here wants."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "remote"))
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"x" * 5000)
    return folder


@pytest.fixture
def hub(remote: Path) -> Iterator[Hub]:
    made = Hub({"someone/tiny": remote})
    yield made
    made.server.shutdown()
    made.server.server_close()


def _describe(hub: Hub | None, home: Path, source: str = "hub:someone/tiny", confirmed: bool = False, **extra: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and name != "HF_HUB_OFFLINE"}
    kept |= {
        "HF_HOME": str(home / "hub"),
        "HF_ENDPOINT": hub.address if hub else "http://127.0.0.1:9",
        "PYTHONPATH": str(PACKAGE.parent),
        **extra,
    }
    kept.pop("HF_HUB_DISABLE_TELEMETRY", None)
    kept.pop("DO_NOT_TRACK", None)
    asked = json.dumps({"source": source, "confirm_download": confirmed})
    answer = subprocess.run([sys.executable, "-c", PROGRAM, asked], env=kept, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    result: dict[str, Any] = json.loads(answer.stdout)
    assert result.pop("torch") is False
    return result


def test_unconfirmed_hub_model_is_refused_with_its_size_and_nothing_is_fetched(hub: Hub, remote: Path, tmp_path: Path) -> None:
    size = sum((remote / name).stat().st_size for name in WANTED)
    answer = _describe(hub, tmp_path)
    error = answer["error"]
    assert answer["elsewhere"] == error.replace("Set `model.confirm_download=true`.", "Add `--yes`.") != error
    assert f"takes {readable_bytes(size)} in {len(WANTED)} files" in error
    assert "`model.confirm_download=true`" in error
    assert hub.fetched() == set()
    assert {path for _, path in hub.requests} == {"/api/models/someone/tiny/revision/main"}


def test_confirmed_hub_model_is_fetched_without_what_is_not_wanted_and_then_used_offline(hub: Hub, remote: Path, tmp_path: Path) -> None:
    from codex.models.folder import inspect_folder

    first = _describe(hub, tmp_path, confirmed=True)
    assert hub.fetched() == WANTED
    assert {file.name for file in Path(first["folder"]).iterdir()} == WANTED
    assert first["parameters"] == inspect_folder(remote, "x").parameters
    size = sum((remote / name).stat().st_size for name in WANTED)
    assert first["told"][-1] == [size, size]
    assert [done for done, _ in first["told"]] == sorted(done for done, _ in first["told"])
    assert not [path for _, path in hub.requests if "agent" in path or "telemetry" in path]
    hub.requests.clear()
    again = _describe(hub, tmp_path)
    assert again["folder"] == first["folder"]
    assert hub.requests == []
    assert _describe(None, tmp_path, HF_HUB_OFFLINE="1")["folder"] == first["folder"]


def test_hub_model_in_several_files_is_fetched_with_all_of_them(hub: Hub, remote: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(remote)
    (remote / "model.safetensors").unlink()
    model.save_pretrained(remote, max_shard_size="100KB")
    shards = {file.name for file in remote.glob("model-*.safetensors")}
    answer = _describe(hub, tmp_path, confirmed=True)
    assert len(shards) > 2
    assert answer["parameters"] == model.num_parameters()
    assert {name for name in hub.fetched() if name.endswith(".safetensors")} == shards


def test_hub_model_larger_than_the_disk_is_refused_before_anything_is_fetched(hub: Hub, remote: Path, tmp_path: Path) -> None:
    hub.claimed_bytes = 10**18
    assert "takes 1000000.0 TB" in _describe(hub, tmp_path, confirmed=True)["error"]
    assert hub.fetched() == set()


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_half_a_hub_model_in_the_cache_counts_as_none(hub: Hub, tmp_path: Path, lost: str) -> None:
    folder = Path(_describe(hub, tmp_path, confirmed=True)["folder"])
    (folder / lost).unlink()
    assert "takes" in _describe(hub, tmp_path)["error"]
    assert _describe(hub, tmp_path, confirmed=True)["folder"] == str(folder)


def test_hub_switched_off_or_silent_is_said(tmp_path: Path) -> None:
    assert "HF_HUB_OFFLINE" in _describe(None, tmp_path, HF_HUB_OFFLINE="1")["error"]
    error = _describe(None, tmp_path, confirmed=True)["error"]
    assert "the hub cannot be reached" in error
    assert "model.confirm_download" not in error
    assert "`model.confirm_download=true`" in _describe(None, tmp_path)["error"]


def test_hub_model_that_does_not_exist_is_said(hub: Hub, tmp_path: Path) -> None:
    assert "has no model 'someone/else'" in _describe(hub, tmp_path, "hub:someone/else", confirmed=True)["error"]


def test_hub_model_with_own_code_is_refused_before_its_weights(hub: Hub, remote: Path, tmp_path: Path) -> None:
    config = json.loads((remote / "config.json").read_text())
    (remote / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling_evil.Model"}}))
    assert "auto_map" in _describe(hub, tmp_path, confirmed=True)["error"]
    assert "model.safetensors" not in hub.fetched()


def test_hub_model_without_safetensors_is_refused_before_anything_is_fetched(hub: Hub, remote: Path, tmp_path: Path) -> None:
    (remote / "model.safetensors").unlink()
    assert "no safetensors weights" in _describe(hub, tmp_path, confirmed=True)["error"]
    assert hub.fetched() == set()


@pytest.mark.parametrize("source", ["hub:", "hub:name", "hub:a/b/c", "hub:a/b c", "hub:../x", "hub:a/--b"])
def test_names_that_no_hub_has_are_refused(source: str) -> None:
    with pytest.raises(ModelError, match="owner/name"):
        HubModel.parse(source)


def test_revision_is_taken_from_the_name() -> None:
    assert HubModel.parse("hub:a/b@v1") == HubModel("a/b", "v1")
    assert str(HubModel.parse("hub:a/b")) == "a/b"


@pytest.mark.parametrize(("size", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_234_567_890, "1.2 GB")])
def test_sizes_are_said_as_people_do(size: int, said: str) -> None:
    assert readable_bytes(size) == said
