"""What every test starts from: no network but this machine's own, an empty home, a clean environment, and a small real model."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

_HOME = tempfile.TemporaryDirectory(prefix="codex-tests-")
_CLEAN = {
    "HOME": _HOME.name,
    "XDG_CACHE_HOME": f"{_HOME.name}/.cache",
    "HF_HOME": f"{_HOME.name}/.cache/huggingface",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

# Libraries read these when they are imported, so they are set before any test module is.
for _name in [name for name in os.environ if name.startswith(("CODEX_", "HF_", "TRANSFORMERS_"))]:
    del os.environ[_name]
os.environ.update(_CLEAN)


# A shell's background job ignores Ctrl-C, and so would all that a test starts; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    host = str(address[0])
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host in ("localhost", "")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to other machines, and questions for their addresses, fail."""

    def guard(name: str, address_at: int) -> None:
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, *arguments: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(arguments[address_at]):
                raise RuntimeError(f"a test reached for the network: {arguments[address_at]!r}")
            return real(self, *arguments)

        monkeypatch.setattr(socket.socket, name, guarded)

    for name, address_at in (("connect", 0), ("connect_ex", 0), ("sendto", -1)):
        guard(name, address_at)
    resolve = socket.getaddrinfo

    def guarded_resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not _is_local((name,)):
            raise RuntimeError(f"a test asked for the address of {name!r}")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, the settings above, and nothing of Codex, whatever an earlier test or the person set."""
    for name in [name for name in os.environ if name.startswith("CODEX_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {**_CLEAN, "HOME": str(home)}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real but untrained model: Llama, hidden 64, 2 layers, byte-level BPE of 512 tokens, context 256, a chat template.

    Its weights are larger than fresh ones, so that it has clear favourites among tokens: ties would make tests of choices flicker.
    """
    import inspect
    import textwrap

    import torch

    from codex.config.schema import ScratchShape
    from codex.models.scratch import new_model, train_tokenizer

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = train_tokenizer(inspect.getsource(textwrap).splitlines(keepends=True), 512, 256)
    shape = ScratchShape.model_validate(
        {"hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 2, "mlp_size": 128, "vocabulary": 512, "context": 256}
    )
    model = new_model(shape, tokenizer, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
