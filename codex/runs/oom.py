"""How often the kernel ended a process for want of memory, told from its counters.

A process that the kernel ends gets signal 9, like one that a person ends; only the counter tells them apart.
Not covered: an ending of another process of the same cgroup in the same moment as a person's `kill -9` counts as ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def oom_kills() -> int | None:
    """Processes ended for want of memory so far, in this memory cgroup, else on the whole machine; None where nothing counts them."""
    for file in (*cgroup_files(), Path("/proc/vmstat")):
        count = _counter(file, "oom_kill")
        if count is not None:
            return count
    return None


def _counter(file: Path, name: str) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), None)


def cgroup_files() -> Iterator[Path]:
    """Files that may hold the counter: of cgroup v1's memory controller, and of v2."""
    try:
        memberships = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in memberships:
        if "memory" in controllers.split(","):
            for fields in mounts:
                after = fields[fields.index("-") + 1 :]
                if after[0] == "cgroup" and "memory" in after[2].split(","):
                    yield _inside(fields, path) / "memory.oom_control"
        elif not controllers:
            for fields in mounts:
                if fields[fields.index("-") + 1] == "cgroup2":
                    yield _inside(fields, path) / "memory.events"


def _inside(mount: list[str], path: str) -> Path:
    """The folder of cgroup `path` below `mount`, which may show only a part of the tree."""
    root, point = mount[3], Path(mount[4])
    part = path if root == "/" else path.removeprefix(root)
    return point / part.lstrip("/")
