"""All pages as one Gradio program."""

from __future__ import annotations

import gradio as gr
from gradio.components import Navbar

from codex_ui.context import AppContext
from codex_ui.page import Page, all_pages
from codex_ui.shell import shell

UPLOADS_KEPT_SECONDS = 86_400
QUEUE_SECONDS = 0.02
"""How often Gradio looks for a person's actions. It looks every millisecond by itself, which takes a twentieth of a core day and night."""


def build_pages(context: AppContext) -> gr.Blocks:
    """Every page with the shell around it; the first one is Gradio's own."""
    home, *others = all_pages()
    assert home.path == "/", "the first page is at the root"
    with gr.Blocks(
        title="codex", fill_width=True, analytics_enabled=False, delete_cache=(UPLOADS_KEPT_SECONDS, UPLOADS_KEPT_SECONDS)
    ) as program:
        _build(home, context, program)
    for page in others:
        with program.route(page.title, page.path) as blocks:
            _build(page, context, blocks)
    program._queue.sleep_when_free = QUEUE_SECONDS
    return program


def _build(page: Page, context: AppContext, blocks: gr.Blocks) -> None:
    Navbar(visible=False)
    static(shell(page), elem_classes="cx-shellbox")
    page.build(context, blocks)


def static(value: str, **settings: object) -> gr.HTML:
    """HTML of ours, as it is: no style or script of Gradio's."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, **settings)  # pyright: ignore[reportArgumentType]
