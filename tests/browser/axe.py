"""Accessibility by axe-core, and width: what a page shows at one size and theme."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

TAGS = ("wcag2a", "wcag2aa", "best-practice")
CUT = """
width => {
  const inside = (box) => box.right <= width + 1;
  const scrolls = (element) => getComputedStyle(element).overflowX !== 'visible' && inside(element.getBoundingClientRect());
  const held = (element) => {
    for (let each = element.parentElement; each && !each.matches('body, gradio-app, .gradio-container'); each = each.parentElement)
      if (scrolls(each)) return true;
    return false;
  };
  return [...document.querySelectorAll('body *')]
    .filter((each) => each.checkVisibility() && !inside(each.getBoundingClientRect()) && !held(each))
    .map((each) => `${each.tagName.toLowerCase()}#${each.id}.${each.className} to ${Math.round(each.getBoundingClientRect().right)}`)
    .slice(0, 5);
}
"""
"""What ends right of the window and cannot be scrolled to: Gradio's container cuts it, so that the document seems to fit."""


@cache
def _script() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def violations(page: Page, within: str = "", *, contrast: bool = True) -> list[str]:
    """What axe finds, one line for each rule that is broken.

    Args:
        page: what is looked at.
        within: the part of it, as a selector; "" is all of it.
        contrast: whether the contrast of texts is measured, which takes ten times as long as all other rules together.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_script())
    found: list[dict[str, Any]] = page.evaluate(
        """async ([within, values, contrast]) => {
          const rules = contrast ? {} : { 'color-contrast': { enabled: false } };
          const options = { runOnly: { type: 'tag', values }, rules, resultTypes: ['violations'], preload: false };
          return (await axe.run(within || document, options)).violations;
        }""",
        [within, list(TAGS), contrast],
    )
    return [f"{one['id']}: {one['help']} ({len(one['nodes'])}: {one['nodes'][0]['html'][:200]})" for one in found]


def does_not_fit(page: Page, width: int) -> list[str]:
    """What is wider than the window; waits for plots, which follow a moment later."""
    ask = f"width => document.documentElement.scrollWidth === width && ({CUT})(width).length === 0"
    try:
        page.wait_for_function(ask, arg=width, timeout=3000)
    except Exception:  # noqa: BLE001 - Playwright's own class for a wait that was too long; what is told follows
        wide = page.evaluate("document.documentElement.scrollWidth")
        return [f"the document is {wide} px wide, the window {width}: {page.evaluate(CUT, width)}"]
    return []
