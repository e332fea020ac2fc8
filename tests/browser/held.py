"""Answers of the app that a test keeps back, as a slow machine does."""

from __future__ import annotations

from playwright.sync_api import Page, Route

EVENTS = "**/gradio_api/queue/join*"
"""What Gradio sends for everything that happens on a page."""


class Held:
    """Requests of a page that do not reach the app until they are let go; use it in a `with` block.

    Args:
        page: asks.
        what: the addresses.
    """

    def __init__(self, page: Page, what: str = EVENTS) -> None:
        self._page = page
        self._what = what
        self._routes: list[Route] = []
        self._over = False

    def __enter__(self) -> Held:
        self._page.route(self._what, self._hold)
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        for route in self._routes:
            route.continue_()

    def _hold(self, route: Route) -> None:
        if self._over:
            route.continue_()
        else:
            self._routes.append(route)
