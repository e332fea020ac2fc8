"""The browser that tests drive: the system's Chromium or Chrome, else Playwright's own, else as root the distribution's package.

`python -m tests.browser.find` prints its path, and ends with the command to type where there is none.
`NO_BROWSER=1` goes without; the last line of the tests then says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGE = "chromium"


def wanted() -> bool:
    """Whether browser tests shall run."""
    return not os.environ.get("NO_BROWSER")


def find() -> str | None:
    """The path of a browser that is there; installs nothing."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


def _install() -> str | None:
    """Playwright's own browser, else as root the distribution's; None when neither can be had."""
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium-headless-shell", "chromium"], check=False, stdout=sys.stderr)
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", PACKAGE]):
            subprocess.run(command, check=False, stdout=sys.stderr)
        found = find()
    return found


def main() -> int:
    """Find a browser, or bring one; 1 when there is none."""
    if not wanted():
        print("NO_BROWSER is set: browser tests are left out.")
        return 0
    found = find() or _install()
    if found is None:
        print(
            "No Chromium or Chrome was found, and none could be installed; browser tests need one.\n"
            "Install it: `sudo apt-get install chromium`, or `.venv/bin/python -m playwright install chromium`. "
            "Without: `NO_BROWSER=1 make test`.",
            file=sys.stderr,
        )
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
