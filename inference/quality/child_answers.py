"""What the processes that read and embed send back: a JSON object after its length, over a socket."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!I")


def answer_of(connection: socket.socket) -> dict[str, Any]:
    """The next answer.

    Raises:
        TimeoutError: it takes longer than the connection waits.
        OSError: the process has ended.
    """
    (length,) = _LENGTH.unpack(_received(connection, _LENGTH.size))
    answer: dict[str, Any] = json.loads(_received(connection, length))
    return answer


def last_line(said: str, otherwise: object) -> str:
    """The last line of what a process said that is not empty, cut to a message's length."""
    return next((line for line in reversed(said.split("\n")) if line.strip()), str(otherwise))[:300]


def _received(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise ConnectionError("it ended")
        parts += part
    return bytes(parts)
