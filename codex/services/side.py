"""The programs beside Codex: notebooks in marimo or JupyterLab, and MLflow's pages. `side_program` starts and ends them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from codex.core.errors import WorkspaceError
from codex.core.paths import WORKSPACE_VARIABLE, Workspace, shipped_notebooks
from codex.runs.command import python_module
from codex.services.side_program import HOST, Launch, Program, SideProgram

RUN_WHEN_OPENED = {"_MARIMO_CONFIG_OVERLOAD_RUNTIME_AUTO_INSTANTIATE": "true"}
"""Makes marimo show a notebook whole when it is opened. It leaves that off for strangers' notebooks; this folder is the person's."""
NOTEBOOKS = (".py", ".ipynb")


def notebooks_folder(workspace: Workspace) -> Path:
    """The person's own notebooks: copies of the shipped ones to change, and whatever they put beside them."""
    return workspace.notebooks


def copy_notebooks(workspace: Workspace) -> Path:
    """Copy each shipped notebook into the workspace unless a file of that name is there; returns the folder.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    folder = notebooks_folder(workspace)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(shipped_notebooks().iterdir()):
            if source.suffix in NOTEBOOKS:
                _copy_new(source, folder / source.name)
    except OSError as error:
        raise WorkspaceError(
            f"{str(folder)!r} cannot be written ({error.strerror or error})", "expected room for your notebooks", "Make it writable."
        ) from error
    return folder


def _copy_new(source: Path, target: Path) -> None:
    """Copy in one step, so that no half file stays, and never over one that is there."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".copy-") as whole:
        whole.write(source.read_bytes())
        whole.flush()
        Path(whole.name).chmod(0o644)
        with contextlib.suppress(FileExistsError):
            os.link(whole.name, target)


def _marimo(workspace: Workspace, port: int, token: str) -> Launch:
    folder = copy_notebooks(workspace)
    options = ["--headless", "--no-sandbox", "--skip-update-check", "--host", HOST, "--port", str(port), "--token-password-file", "-"]
    return Launch(
        command=[*python_module("codex.services.marimo_offline", "edit"), *options, str(folder)],
        url=f"http://{HOST}:{port}/?file=quickstart.py&view-as=present&access_token={token}",
        alive="/health",
        folder=folder,
        environment={WORKSPACE_VARIABLE: str(workspace.root), **RUN_WHEN_OPENED},
        stdin=token,  # a command's words can be read by every user of the machine
    )


def _jupyterlab(workspace: Workspace, port: int, token: str) -> Launch:
    folder = copy_notebooks(workspace)
    options = {
        "ServerApp.ip": HOST,
        "ServerApp.port": str(port),
        "ServerApp.port_retries": "0",
        "ServerApp.root_dir": str(folder),
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": str(os.geteuid() == 0),
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": "None",
        "LabApp.extension_manager": "readonly",
    }
    return Launch(
        command=[*python_module("jupyterlab"), *(f"--{name}={value}" for name, value in options.items())],
        url=f"http://{HOST}:{port}/lab/tree/quickstart.ipynb?token={token}",
        alive="/api",
        folder=folder,
        environment={WORKSPACE_VARIABLE: str(workspace.root), "JUPYTER_TOKEN": token},
    )


def _mlflow(workspace: Workspace, port: int, token: str) -> Launch:
    # MLflow has no token: its own check of the Host header keeps strange pages out.
    options = {
        "--backend-store-uri": f"sqlite:///{workspace.mlflow_db}",
        "--default-artifact-root": (workspace.root / "mlartifacts").as_uri(),
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
    }
    words = [word for pair in options.items() for word in pair]
    return Launch(
        command=[*python_module("mlflow", "server"), "--no-serve-artifacts", *words],
        url=f"http://{HOST}:{port}/",
        alive="/health",
        folder=workspace.root,
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # else it starts nine more processes
    )


@contextlib.contextmanager
def _making_tables(workspace: Workspace) -> Iterator[None]:
    """MLflow makes its tables at its first start; a run that starts meanwhile waits for them."""
    from codex.services.tracking import one_at_a_time

    with contextlib.nullcontext() if workspace.mlflow_db.exists() else one_at_a_time(workspace):
        yield


MARIMO = Program("marimo", "marimo", "notebooks", "Reactive notebooks", _marimo)
JUPYTERLAB = Program("JupyterLab", "jupyterlab", "notebooks", "Jupyter notebooks", _jupyterlab)
MLFLOW = Program("MLflow", "mlflow", "tracking", "MLflow's pages", _mlflow, _making_tables)

_known: dict[tuple[str, Path], SideProgram] = {}
_known_lock = threading.Lock()


def _one(program: Program, workspace: Workspace) -> SideProgram:
    with _known_lock:
        return _known.setdefault((program.name, workspace.root), SideProgram(program, workspace))


def notebooks(workspace: Workspace) -> SideProgram:
    """marimo on the workspace's own copies of the notebooks; the same object each time."""
    return _one(MARIMO, workspace)


def lab(workspace: Workspace) -> SideProgram:
    """JupyterLab on the workspace's own copies of the notebooks; the same object each time."""
    return _one(JUPYTERLAB, workspace)


def tracker(workspace: Workspace) -> SideProgram:
    """MLflow's pages on the workspace's database; the same object each time."""
    return _one(MLFLOW, workspace)
