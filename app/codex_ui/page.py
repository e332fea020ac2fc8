"""What a page is; a page is one file in `pages/`, found and put into the navigation by its being there."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from gradio import Blocks

    from codex_ui.context import AppContext

Query = Mapping[str, str]


@dataclass(frozen=True)
class Live:
    """What of a page changes while it is looked at.

    Args:
        parts: HTML by the name of the element that shows it (`data-part`).
        done: whether nothing of it will change any more, so that nobody needs to ask again.
    """

    parts: Mapping[str, Markup] = field(default_factory=dict[str, Markup])
    done: bool = False


def _nothing(context: AppContext, query: Query) -> Live:
    return Live()


@dataclass(frozen=True)
class Page:
    """One page of the app.

    Args:
        title: in the navigation and the window.
        path: its address.
        order: its place in the navigation.
        build: makes its Gradio components; the second argument is the page itself, for what happens when it is opened.
        group: the heading it stands under in the navigation; "" for none.
        icon: the name of its picture in `shell.ICONS`; "" keeps it out of the navigation.
        under: the path of the page that the navigation marks instead.
        live: what of it changes, from what the address asks for.
    """

    title: str
    path: str
    order: int
    build: Callable[[AppContext, Blocks], None]
    group: str = ""
    icon: str = ""
    under: str = ""
    live: Callable[[AppContext, Query], Live] = _nothing

    @property
    def name(self) -> str:
        """What the app's own addresses call it: "home", "runs"."""
        return self.path.strip("/") or "home"


@cache
def all_pages() -> tuple[Page, ...]:
    """Every page in `pages/`, in the order of the navigation.

    Raises:
        ValueError: two pages have one path.
    """
    from codex_ui import pages

    names = sorted(module.name for module in pkgutil.iter_modules(pages.__path__) if not module.name.startswith("_"))
    found = sorted((importlib.import_module(f"codex_ui.pages.{name}").PAGE for name in names), key=lambda page: page.order)
    paths = [page.path for page in found]
    if len(set(paths)) != len(paths):
        raise ValueError(f"two pages have one path: {paths}")
    return tuple(found)
