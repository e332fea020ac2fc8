"""What is shipped: the list of tested versions, and that everything declared is in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[0-9][A-Za-z0-9.!]*)$")


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    matches = {line: PIN.match(line) for line in lines if line and not line.startswith("#")}
    assert all(matches.values()), f"not plain pins: {[line for line, match in matches.items() if not match]}"
    return {match["name"].lower().replace("_", "-"): match["version"] for match in matches.values() if match}


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    found = (re.match(r"[A-Za-z0-9._-]+", requirement) for group in groups for requirement in group)
    return {match[0].lower().replace("_", "-") for match in found if match} - {"codex-ml"}


def test_constraints_every_declared_package_is_pinned() -> None:
    missing = _declared() - _pins().keys()
    assert len(_declared()) >= 25
    assert not missing


def test_constraints_hold_no_local_version() -> None:
    pins = _pins()
    assert pins["torch"] == "2.13.0"
    assert not [name for name, version in pins.items() if "+" in version]


def test_version_is_the_same_in_package_and_project() -> None:
    import codex

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == codex.__version__
