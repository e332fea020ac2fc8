"""A run as a folder: the names of its files, and `run.json`, which says what it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from codex.core.errors import RunError
from codex.core.files import write_json_atomic

ID_PREFIX = "r-"
MAX_TITLE = 200
MAX_DIGITS = 12


@dataclass(frozen=True)
class Run:
    """What a run is, and where its files are; how it goes is in `RunView`.

    Args:
        id: the folder's name: `r-0001`.
        kind: which registered run body does the work: `training`.
        title: what people call it.
        created: seconds since the epoch, UTC.
        argv: the command that does its work in the foreground, as it was when the run was made.
        folder: where everything of it lies.
    """

    id: str
    kind: str
    title: str
    created: float
    argv: tuple[str, ...]
    folder: Path = field(compare=False)

    @property
    def number(self) -> int:
        """7 of `r-0007`."""
        return run_number(self.id) or 0

    @property
    def asked(self) -> Path:
        """The configuration as it was asked for."""
        return self.folder / "asked.yaml"

    @property
    def resolved(self) -> Path:
        """The whole configuration that the worker follows."""
        return self.folder / "resolved.yaml"

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are published."""
        return self.folder / "checkpoints"

    @property
    def adapter(self) -> Path:
        """Where the result's weights go."""
        return self.folder / "adapter"

    @property
    def report(self) -> Path:
        """The verdict, once there is one."""
        return self.folder / "report.json"

    @property
    def log(self) -> Path:
        """Everything that supervisor and worker wrote to their outputs."""
        return log_file(self.folder)


def log_file(folder: Path) -> Path:
    """`worker.log` of a run's folder."""
    return folder / "worker.log"


def run_name(number: int) -> str:
    """`r-0007` of 7."""
    return f"{ID_PREFIX}{number:04d}"


def run_number(name: str) -> int | None:
    """7 of `r-0007`; None when `name` is no run's id."""
    digits = name.removeprefix(ID_PREFIX)
    if not digits.isdecimal() or not digits.isascii() or len(digits) > MAX_DIGITS:
        return None
    return int(digits) if name == run_name(int(digits)) else None


def checked_title(title: str) -> str:
    """`title` without blanks around it.

    Raises:
        RunError: it is empty, longer than 200 characters, or holds a line break or another control character.
    """
    clean = title.strip()
    if not clean or len(clean) > MAX_TITLE or not clean.isprintable():
        shown = title if len(title) <= 60 else f"{title[:60]}…"
        raise RunError(
            f"the title {shown!r} cannot be used", f"expected 1 to {MAX_TITLE} printable characters on one line", "Give another title."
        )
    return clean


def write_run(run: Run) -> None:
    """Write `run.json`, to stay."""
    values = asdict(run)
    del values["folder"]
    write_json_atomic(run.folder / "run.json", values)


def json_object(text: str) -> dict[str, Any]:
    """The JSON object that `text` holds.

    Raises:
        ValueError: it holds none, or numbers that JSON does not know; the message says how.
    """
    try:
        value: Any = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it holds no object")
    return cast(dict[str, Any], value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def parse_run(text: str, folder: Path) -> Run:
    """The run that `text` (a `run.json`) describes.

    Raises:
        ValueError: the text is damaged; the message says how.
    """
    values = json_object(text)
    kind, title, created, argv = (values.get(name) for name in ("kind", "title", "created", "argv"))
    if not isinstance(kind, str) or not isinstance(title, str) or not isinstance(created, float) or not isinstance(argv, list):
        raise ValueError("`kind`, `title`, `created` or `argv` is missing or of the wrong type")
    # The folder's name is the truth, so that a folder moved by hand to another number stays one run.
    return Run(folder.name, kind, title, created, tuple(str(part) for part in cast(list[object], argv)), folder)


def read_run(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
        RunError: the folder is gone, or its `run.json` cannot be read.
    """
    path = folder / "run.json"
    try:
        return parse_run(path.read_text(encoding="utf-8"), folder)
    except FileNotFoundError as error:
        raise RunError(f"{str(folder)!r} is no run", "expected a folder with `run.json`", "List the runs: `codex-ml runs list`.") from error
    except (OSError, ValueError) as error:
        raise RunError(
            f"{str(path)!r} cannot be read ({error})", "expected what Codex wrote there", "Put the file back, or delete the run's folder."
        ) from error
