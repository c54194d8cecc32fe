"""Reads letters for all processes of a machine, one picture at a time. Started by `inference.quality.reader` alone.

Listens on a socket of the file system and ends with the last connection to it, which the system closes for whoever was
killed: nothing outlives those who ask. Imports nothing of packshot, and what reads only here: it takes half a gigabyte.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import threading
from typing import Any

THREADS = 2
IDLE = 120.0  # seconds without a picture after which the memory is given back; who asks next starts another
FIRST = 60.0  # seconds in which somebody must come
_LARGEST = 4096
_HEAD = struct.Struct("!II")
_LENGTH = struct.Struct("!I")


class Desk:
    """Who is connected, and the one who is being read for."""

    def __init__(self, reads: Any) -> None:
        self._reads, self._reading = reads, threading.Lock()
        self.connected = 0
        self.counting = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        """Answer one process until it goes."""
        connection.settimeout(IDLE)
        try:
            _send(connection, {"alphabet": "".join(self._reads.alphabet)})
            while True:
                width, height = _HEAD.unpack(_received(connection, _HEAD.size))
                if not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
                    return
                pixels = _received(connection, width * height * 3)
                with self._reading:
                    answer = self._answer(pixels, width, height)
                _send(connection, answer)
        except OSError:
            pass
        finally:
            connection.close()
            with self.counting:
                self.connected -= 1

    def _answer(self, pixels: bytes, width: int, height: int) -> dict[str, Any]:
        try:
            return {"lines": self._reads.lines(pixels, width, height)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"[:300]}


class Reads:
    """The networks, in memory; weights are in the wheel of rapidocr, and nothing is fetched."""

    def __init__(self) -> None:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)
        threads = min(THREADS, os.cpu_count() or 1)
        engine = "EngineConfig.onnxruntime"
        options = {
            f"{engine}.intra_op_num_threads": threads,
            f"{engine}.inter_op_num_threads": 1,
            "Global.log_level": "critical",
        }
        self._ocr: Any = RapidOCR(params=options)
        self.alphabet: list[str] = self._ocr._load_rec_model().session.get_character_list()

    def lines(self, pixels: bytes, width: int, height: int) -> list[str]:
        """Lines of RGB pixels, from top to bottom."""
        import numpy as np

        picture = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        return list(self._ocr(np.ascontiguousarray(picture[:, :, ::-1])).txts or ())


def main() -> None:
    """Path of the socket is the one argument."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    door = socket.socket(socket.AF_UNIX)
    door.bind(sys.argv[1])
    door.listen(64)
    desk = Desk(Reads())
    door.settimeout(FIRST)
    while True:
        try:
            connection, _ = door.accept()
        except TimeoutError:
            connection = None
        if connection is not None:
            with desk.counting:
                desk.connected += 1
            threading.Thread(target=desk.serve, args=(connection,), daemon=True).start()
        door.settimeout(0.2)
        if connection is None and not desk.connected:
            os._exit(0)  # the networks' threads are not waited for


def _received(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 2**20))
        if not part:
            raise ConnectionError
        parts += part
    return bytes(parts)


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    connection.sendall(_LENGTH.pack(len(body)) + body)


if __name__ == "__main__":
    main()
