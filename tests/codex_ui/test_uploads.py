"""Sizes of requests, and what is left of uploads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from codex_ui.uploads import UPLOAD_PATH, Bodies


def ask(folder: Path, path: str, pieces: list[bytes], *, ends: bool = True, length: int | None = None) -> int | None:
    """The status of a request that brings these pieces to something that writes them to a file, as Gradio does; None without an answer."""
    sent: list[dict[str, Any]] = []
    coming = [
        {"type": "http.request", "body": piece, "more_body": not ends or place < len(pieces)} for place, piece in enumerate(pieces, 1)
    ]

    async def receive() -> Any:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        with open(folder / "tmpabc", "wb") as file:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                file.write(message["body"])
                if not message["more_body"]:
                    break
        (folder / "whole").mkdir()
        (folder / "tmpabc").rename(folder / "whole" / "tmp-name.jsonl")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    headers = [(b"content-length", str(length).encode())] if length is not None else []
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(Bodies(inner, folder, request_bytes=10, upload_bytes=100)(scope, receive, send))
    return sent[0]["status"] if sent else None


@pytest.mark.parametrize(
    ("path", "most"), [(UPLOAD_PATH, 100), ("/api/runs", 10), ("/gradio_api/queue/join", 10), (f"{UPLOAD_PATH}/x", 10)]
)
def test_request_of_the_largest_size_is_let_in_and_one_byte_more_is_not(tmp_path: Path, path: str, most: int) -> None:
    for number, (pieces, length, status) in enumerate(
        [([b"x" * most], None, 200), ([b"x"] * (most + 1), None, 413), ([b"x"], most + 1, 413), ([b"x" * most], most, 200)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert ask(folder, path, pieces, length=length) == status


def test_upload_that_is_refused_or_broken_off_leaves_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    assert ask(folder, UPLOAD_PATH, [b"x" * 60, b"x" * 60]) == 413
    assert list(folder.iterdir()) == []
    assert ask(folder, UPLOAD_PATH, [b"x" * 60], ends=False) is None
    assert list(folder.iterdir()) == []
    assert ask(folder, UPLOAD_PATH, [b"x" * 60]) == 200
    assert [path.name for path in folder.rglob("*")] == ["whole", "tmp-name.jsonl"]
