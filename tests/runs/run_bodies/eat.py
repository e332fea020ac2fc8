"""Takes memory or disk until there is none left."""

from __future__ import annotations

import resource
from pathlib import Path

from codex.core.registry import register
from codex.runs.checkpoints import partial_checkpoint
from codex.runs.context import RunContext

MIB = 2**20


def address_space(context: RunContext) -> None:
    used = int(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize:"))) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + 64 * MIB, resource.RLIM_INFINITY))
    held = [bytearray(MIB)]
    while True:
        held.append(bytearray(MIB))


def memory(context: RunContext) -> None:
    held = [b"x" * MIB]
    for number in range(512):
        held.append(bytes([number % 255 + 1]) * MIB)


def disk(context: RunContext) -> None:
    partial = partial_checkpoint(context.run.folder, 1)
    partial.mkdir()
    with open(partial / "weights", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@register("run")
def eat(context: RunContext) -> None:
    context.progress(step=1, total=9)
    globals()[context.run.resolved.read_text()](context)
