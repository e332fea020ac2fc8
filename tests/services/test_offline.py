"""Nothing leaves the machine: the demo works without a network, and contacts nobody where there is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CODEX = str(Path(sys.executable).with_name("codex-ml"))
# A connection's or datagram's address as strace prints it.
ADDRESS = re.compile(r'sin6?_addr=inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
LOCAL = re.compile(r"127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|::")


def _demo(prefix: list[str], workspace: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    command = [*prefix, CODEX, "demo", "--quick", "--workspace", str(workspace)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def _namespace() -> list[str]:
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed (Debian: util-linux)")
    prefix = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    answer = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {answer.stderr.strip()}")
    return prefix


def _tracer(trace: Path) -> list[str]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    prefix = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto", "-o", str(trace)]
    answer = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip(f"strace does not work here: {answer.stderr.strip()}")
    return prefix


def _strangers(trace: Path) -> list[str]:
    """Lines of a trace that name an address other than this machine's own."""
    return [line for line in trace.read_text().splitlines() for pair in ADDRESS.findall(line) if not LOCAL.fullmatch(pair[0] or pair[1])]


def test_demo_in_a_namespace_without_network_comes_to_its_verdict(tmp_path: Path) -> None:
    answer = _demo(_namespace(), tmp_path / "workspace")
    assert answer.returncode == 0, answer.stderr
    assert "\nBetter: answer loss " in answer.stdout
    assert (tmp_path / "workspace" / "runs" / "r-0001" / "adapter" / "adapter_model.safetensors").is_file()


def test_demo_with_a_network_contacts_nobody(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    answer = _demo(_tracer(trace), tmp_path / "workspace")
    assert answer.returncode == 0, answer.stderr
    assert trace.read_text(), "nothing was traced"
    assert _strangers(trace) == []


def test_trace_sees_a_stranger(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('192.0.2.1', 9))\n"
    subprocess.run([*_tracer(trace), sys.executable, "-c", program], check=False, capture_output=True)
    assert len(_strangers(trace)) == 1
    assert "192.0.2.1" in _strangers(trace)[0]
