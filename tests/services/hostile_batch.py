"""Many queries in one process that is confined as a query's own is: `python -m tests.services.hostile_batch`, a request on its input.

Starting a process for each of a hundred queries would take most of a minute; what it may do is the same.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from codex.services import sql_child
from codex.services.sql_frames import Replies


def main() -> None:
    """Ask the queries of the request, one after the other."""
    request: dict[str, Any] = json.load(sys.stdin)
    if not request["landlock"]:
        sql_child.confine = lambda readable: False
    replies = Replies(1)
    ask = sql_child.opened(request, replies)
    for query in request["queries"]:
        sql_child.settle(replies, lambda query=query: sql_child.answer({**request, "query": query}, ask, replies))


if __name__ == "__main__":
    main()
