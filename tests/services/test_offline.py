"""Where there is a network, the demo contacts nobody; without one it works, as `tests/contract/test_wheel.py` has it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.contacts import SHORT_DEMO, VERDICT_OF_SHORT_DEMO, as_a_person, strangers, traced


def test_demo_with_a_network_contacts_nobody(tmp_path: Path) -> None:
    trace, program = tmp_path / "trace", str(Path(sys.executable).with_name("codex-ml"))
    command = [*traced(trace), program, "demo", "--workspace", str(tmp_path / "workspace")]
    answer = subprocess.run(command, env=as_a_person() | SHORT_DEMO, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stderr
    assert re.search(rf"\n{VERDICT_OF_SHORT_DEMO}", answer.stdout), answer.stdout
    assert trace.read_text(), "nothing was traced"
    assert strangers(trace.read_text()) == []


def test_trace_sees_a_stranger(tmp_path: Path) -> None:
    for number, call in enumerate(("connect(('192.0.2.1', 9))", "sendto(b'', ('192.0.2.1', 9))")):
        trace = tmp_path / f"trace-{number}"
        program = f"import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).{call}\n"
        subprocess.run([*traced(trace), sys.executable, "-c", program], check=False, capture_output=True)
        (line,) = strangers(trace.read_text())
        assert "192.0.2.1" in line
