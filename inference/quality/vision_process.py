"""Embeds pictures for one process of packshot, one at a time. Started by `inference.quality.embedder` alone.

It is a process of its own since torch's number of threads is one for a whole process: few threads here would be few
for an engine on the CPU there, and sum its pictures otherwise. It ends with whoever started it.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

THREADS = 2
"""Of torch; more would take them from what feeds the device."""

NICE = 5
_HEAD, _LENGTH = struct.Struct("!II"), struct.Struct("!I")
_LARGEST = 4096  # pixels of a side
_TOWERS = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}


class Model:
    """A vision model of transformers in float32 on the CPU; no code of its folder is run, and no pickle is read."""

    def __init__(self, folder: str) -> None:
        import torch
        import transformers

        torch.set_num_threads(min(THREADS, os.cpu_count() or 1))
        torch.set_num_interop_threads(1)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        config = transformers.AutoConfig.from_pretrained(folder, **safe)
        kind = getattr(transformers, _TOWERS.get(config.model_type, "AutoModel"))
        # A configuration may name an attention that would be fetched: here it is always torch's.
        options = {"use_safetensors": True, "dtype": torch.float32, "attn_implementation": "sdpa"}
        self._model, told = kind.from_pretrained(folder, output_loading_info=True, **safe, **options)
        if wrong := sorted(map(str, (*told["missing_keys"], *told.get("mismatched_keys", ())))):
            raise ValueError(f"its weights lack {wrong[0]} and {len(wrong) - 1} more")
        self._model.eval()
        self._torch = torch

    def embedding(self, values: bytearray, height: int, width: int) -> list[float]:
        """Of float32 of shape (3, height, width); `pooler_output`, else the mean over all tokens."""
        torch = self._torch
        pixels = torch.frombuffer(values, dtype=torch.float32).reshape(1, 3, height, width)
        with torch.inference_mode():
            made = self._model(pixel_values=pixels)
            pooled = getattr(made, "pooler_output", None)
            vector = made.last_hidden_state.mean(dim=1) if pooled is None else pooled
        return [float(one) for one in vector[0].tolist()]


def main() -> None:
    """Number of the open socket and folder of the model are the arguments."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.nice(NICE)
    with suppress(OSError):  # who asked is gone
        try:
            model = Model(sys.argv[2])
        except Exception as error:
            _send(connection, {"error": _said(error)})
            return
        _send(connection, {"threads": model._torch.get_num_threads()})
        while True:
            _send(connection, _answer(model, connection))


def _answer(model: Model, connection: socket.socket) -> dict[str, Any]:
    height, width = _HEAD.unpack(_received(connection, _HEAD.size))
    if not (0 < height <= _LARGEST and 0 < width <= _LARGEST):
        raise ConnectionError
    values = _received(connection, 4 * 3 * height * width)
    try:
        return {"embedding": model.embedding(values, height, width)}
    except Exception as error:
        return {"error": _said(error)}


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _received(connection: socket.socket, count: int) -> bytearray:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 2**20))
        if not part:
            raise ConnectionError
        parts += part
    return parts


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    connection.sendall(_LENGTH.pack(len(body)) + body)


if __name__ == "__main__":
    main()
