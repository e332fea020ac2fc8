"""Where things are: the workspace that holds what a person made, and what Codex ships: recipes, notebooks, a model."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from codex.core.errors import WorkspaceError

WORKSPACE_VARIABLE = "CODEX_WORKSPACE"
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Workspace:
    """One folder that holds everything a user made.

    Args:
        root: the folder; made by `create`, never by reading.
    """

    root: Path

    @classmethod
    def locate(cls, path: str | Path | None = None) -> Workspace:
        """The workspace named by `path`, else by `CODEX_WORKSPACE`, else `~/.codex-ml`. Makes nothing.

        Raises:
            WorkspaceError: no folder can have that name, or it cannot be looked at.
        """
        chosen = str(path) if path else os.environ.get(WORKSPACE_VARIABLE) or "~/.codex-ml"
        try:
            root = Path(chosen).expanduser().absolute()
            root.exists()
        except (OSError, RuntimeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
            raise WorkspaceError(
                f"the workspace {chosen!r} cannot be used ({reason})",
                "expected a folder's path",
                f"Name another one: `--workspace DIR` or `{WORKSPACE_VARIABLE}=DIR`.",
            ) from error
        return cls(root)

    @property
    def log(self) -> Path:
        """Segments of the session log."""
        return self.root / "log"

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.root / "runs"

    @property
    def models(self) -> Path:
        """Models that the person brought here."""
        return self.root / "models"

    @property
    def datasets(self) -> Path:
        """Data sets built or brought here."""
        return self.root / "datasets"

    @property
    def recipes(self) -> Path:
        """The person's own recipes, composed like those that are shipped."""
        return self.root / "recipes"

    @property
    def notebooks(self) -> Path:
        """The person's own copies of the notebooks."""
        return self.root / "notebooks"

    @property
    def mlflow_db(self) -> Path:
        """MLflow's SQLite file."""
        return self.root / "mlflow.db"

    def create(self) -> Workspace:
        """Make the folders, and find out whether they can be written.

        Raises:
            WorkspaceError: the folder cannot be made or written.
        """
        try:
            for folder in (self.root, self.log, self.runs, self.datasets):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe.{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error
        return self

    def check_writable(self) -> Path:
        """Find out, without making anything, whether `create` can work; gives the folder that is there already, its own or one above.

        Raises:
            WorkspaceError: it cannot.
        """
        there = self.root
        while not there.exists():
            there = there.parent
        if not there.is_dir():
            raise self._unwritable(os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise self._unwritable(os.strerror(errno.EACCES))
        system = os.statvfs(there)
        if system.f_flag & os.ST_RDONLY:
            raise self._unwritable(os.strerror(errno.EROFS))
        if system.f_blocks == 0:  # /proc and its like, which let root try
            raise self._unwritable(f"{str(there)!r} is on a file system that holds no files")
        return there

    def _unwritable(self, reason: str) -> WorkspaceError:
        return WorkspaceError(
            f"the workspace {str(self.root)!r} cannot be written ({reason})",
            "expected a folder that you may write, on a disk with room",
            f"Name another one: `--workspace DIR` or `{WORKSPACE_VARIABLE}=DIR`.",
        )


def typed_path(text: str) -> Path:
    """The path that a person typed, `~` being a home; where nobody has that home, as it stands."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_there(path: Path) -> bool:
    """Whether something has this path; a name that nothing can have is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def shipped_recipes() -> Path:
    """The folder of shipped recipes: inside the installed package, or beside it in a checkout."""
    packaged = PACKAGE / "_recipes"
    return packaged if packaged.is_dir() else PACKAGE.parent / "recipes"


def shipped_notebooks() -> Path:
    """The folder of shipped notebooks: inside the installed package, or beside it in a checkout."""
    packaged = PACKAGE / "_notebooks"
    return packaged if packaged.is_dir() else PACKAGE.parent / "notebooks"


def tiny_model_folder() -> Path:
    """The folder of codex-tiny, the embedded default model."""
    return PACKAGE / "models" / "codex_tiny"
