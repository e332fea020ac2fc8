"""What a query's process says through its pipe: frames, each a message in JSON or bytes of a file."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any

_HEAD = struct.Struct(">cI")
_MESSAGE, _BYTES = b"M", b"B"
_PIECE = 2**20

Frame = dict[str, Any] | bytes


class Replies:
    """The process's end of the pipe.

    Args:
        descriptor: where frames are written.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor

    def message(self, **fields: Any) -> None:
        """Say something, which JSON can hold; numbers that are not finite come across."""
        self._write(_MESSAGE, json.dumps(fields).encode())

    def rows(self, texts: Sequence[str]) -> None:
        """Send rows that are in JSON already."""
        self._write(_MESSAGE, b'{"rows":[%b]}' % ",".join(texts).encode())

    def data(self, data: bytes) -> None:
        """Send bytes of a file."""
        for at in range(0, len(data), _PIECE):
            self._write(_BYTES, data[at : at + _PIECE])

    def _write(self, kind: bytes, payload: bytes) -> None:
        whole = memoryview(_HEAD.pack(kind, len(payload)) + payload)
        while whole:
            whole = whole[os.write(self._descriptor, whole) :]


class Frames:
    """Puts frames together from what is read of the pipe."""

    def __init__(self) -> None:
        self._held = bytearray()

    def add(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now that `data` has come as well."""
        self._held += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if len(self._held) < _HEAD.size:
            return None
        kind, size = _HEAD.unpack_from(self._held)
        end = _HEAD.size + size
        if len(self._held) < end:
            return None
        payload = bytes(self._held[_HEAD.size : end])
        del self._held[:end]
        return payload if kind == _BYTES else json.loads(payload)
