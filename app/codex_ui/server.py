"""The app as one FastAPI program: JSON routes, the style and scripts, and Gradio's pages."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import plotly
from fastapi import FastAPI, Response
from fastapi.responses import FileResponse

from codex import __version__
from codex.core.paths import Workspace
from codex.services.compacting import Compacting
from codex_ui.address import Address
from codex_ui.api import api_routes
from codex_ui.api_data import data_routes
from codex_ui.api_sessions import session_routes
from codex_ui.api_sql import sql_routes
from codex_ui.context import AppContext
from codex_ui.guard import UPLOAD_BYTES, Guard
from codex_ui.login import login_routes
from codex_ui.missing import Missing
from codex_ui.render import HERE
from codex_ui.uploads import Bodies

SILENT: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI would otherwise speak to whatever OpenTelemetry exporter the environment names."""
STATIC = HERE / "static"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
STYLES = ("tokens", "frame", "shell", "parts", "widgets", "chat", "sessions", "sql", "narrow")
SCRIPTS = ("codex", "parts", "plots", "form", "chat", "sessions", "sql", "dataset")


def head() -> str:
    """What stands in the head of every page; the version makes a browser take the new files after an update."""
    styles = "".join(f'<link rel="stylesheet" href="/vendor/{name}.css?v={__version__}">' for name in STYLES)
    scripts = "".join(f'<script defer src="/vendor/{name}.js?v={__version__}"></script>' for name in SCRIPTS)
    dark = "<script>if(localStorage.getItem('codex.theme')==='dark')document.documentElement.classList.add('dark')</script>"
    return f'{styles}{dark}<script defer src="/vendor/plotly.js?v={plotly.__version__}"></script>{scripts}'


def create_app(workspace: Workspace, address: Address) -> FastAPI:
    """The whole app for one workspace; its own processes end when it does."""
    uploads = tempfile.mkdtemp(prefix="codex-ui-")
    os.environ["GRADIO_TEMP_DIR"] = uploads
    context = AppContext(workspace, address)
    compacting = Compacting(workspace)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            compacting.close()
            context.close()
            shutil.rmtree(uploads, ignore_errors=True)

    app = FastAPI(title="codex-ui", version=__version__, lifespan=lifespan, openapi_url=None, telemetry=SILENT)
    app.state.close = context.close
    app.add_middleware(Missing)
    app.add_middleware(Bodies, folder=Path(uploads))  # counts what does not say its length
    app.add_middleware(Guard, address=address)
    app.include_router(login_routes(Guard(app, address), address.token))
    app.include_router(api_routes(context))
    app.include_router(session_routes(context))
    app.include_router(sql_routes(context))
    app.include_router(data_routes(context))
    _add_files(app)
    return _mount_pages(app, context)


def _add_files(app: FastAPI) -> None:
    """`/vendor/NAME`: exactly the files of `static/` and plotly's script; no path reaches anything else."""
    known = {path.name: path for path in STATIC.iterdir()} | {"plotly.js": PLOTLY}

    @app.get("/vendor/{name}")
    def file(name: str) -> Response:
        if name not in known:
            return Response(f"{name!r} is no file of the app.", status_code=404, media_type="text/plain")
        return FileResponse(known[name], headers={"cache-control": "public, max-age=3600"})


def _mount_pages(app: FastAPI, context: AppContext) -> FastAPI:
    import gradio as gr

    from codex_ui.pages_build import build_pages
    from codex_ui.theme import theme

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="SSR mode is not supported")  # it is not asked for
        return gr.mount_gradio_app(
            app,
            build_pages(context),
            path="/",
            server_name=context.address.host,
            server_port=context.address.port,
            ssr_mode=False,
            run_history=False,
            footer_links=[],
            max_file_size=UPLOAD_BYTES,
            theme=theme(),
            head=head(),
            show_error=True,
            favicon_path=str(STATIC / "favicon.svg"),
        )
