"""Runs a vision model for one process of packshot, a picture at a time. Started by `inference.quality.vision_model`.

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
_SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_TOWERS = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}


class Embeds:
    """Embeds pictures.

    Args:
        folder: of a DINOv2, CLIP or SigLIP model.
    """

    def __init__(self, folder: str) -> None:
        import transformers

        config = transformers.AutoConfig.from_pretrained(folder, **_SAFE)
        kind = getattr(transformers, _TOWERS.get(config.model_type, "AutoModel"))
        self._model = _loaded(kind, folder, "sdpa")

    def answer(self, pixels: Any) -> dict[str, Any]:
        """`pooler_output`, else the mean over all tokens."""
        made = self._model(pixel_values=pixels)
        pooled = getattr(made, "pooler_output", None)
        vector = made.last_hidden_state.mean(dim=1) if pooled is None else pooled
        return {"embedding": [float(one) for one in vector[0].tolist()]}


class Detects:
    """Finds objects of one class.

    Args:
        folder: of an object detection model.
        number: of the class among its labels.
    """

    def __init__(self, folder: str, number: str) -> None:
        import transformers

        # Their backbones of convolutions know no other attention than the plain one.
        attention = {"": "sdpa", "backbone_config": "eager"}
        self._model = _loaded(transformers.AutoModelForObjectDetection, folder, attention)
        self._number = int(number)
        if not self._number < self._model.config.num_labels:
            raise ValueError(f"its labels have no number {number}")

    def answer(self, pixels: Any) -> dict[str, Any]:
        """The best score that any of its queries has for the class, in [0, 1]."""
        logits = self._model(pixel_values=pixels).logits[0]
        labels = self._model.config.num_labels
        if logits.shape[-1] == labels + 1:  # the last one says that there is nothing
            scores = logits.softmax(-1)
        elif logits.shape[-1] == labels:
            scores = logits.sigmoid()
        else:
            raise ValueError(f"it tells {logits.shape[-1]} classes, and has labels for {labels}")
        return {"score": float(scores[:, self._number].max())}


_DOES = {"embed": Embeds, "detect": Detects}


def _loaded(kind: Any, folder: str, attention: Any) -> Any:
    """A model in float32; no code of its folder is run, and no pickle is read."""
    import torch

    # A configuration may name an attention that would be fetched: here it is always torch's.
    options = {"use_safetensors": True, "dtype": torch.float32, "attn_implementation": attention}
    model, told = kind.from_pretrained(folder, output_loading_info=True, **_SAFE, **options)
    if wrong := sorted(map(str, (*told["missing_keys"], *told.get("mismatched_keys", ())))):
        raise ValueError(f"its weights lack {wrong[0]} and {len(wrong) - 1} more")
    return model.eval()


def _prepare() -> int:
    """Bound what torch takes of the machine. Returns its number of threads."""
    import torch
    import transformers

    torch.set_num_threads(min(THREADS, os.cpu_count() or 1))
    torch.set_num_interop_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return int(torch.get_num_threads())


def main() -> None:
    """Number of the open socket, folder of the model, what is to be done, and what that takes are the arguments."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.nice(NICE)
    folder, does, *more = sys.argv[2:]
    with suppress(OSError):  # who asked is gone
        try:
            threads = _prepare()
            model = _DOES[does](folder, *more)
        except Exception as error:
            _send(connection, {"error": _said(error)})
            return
        _send(connection, {"threads": threads})
        while True:
            _send(connection, _answer(model, connection))


def _answer(model: Embeds | Detects, connection: socket.socket) -> dict[str, Any]:
    height, width = _HEAD.unpack(_received(connection, _HEAD.size))
    if not (0 < height <= _LARGEST and 0 < width <= _LARGEST):
        raise ConnectionError
    values = _received(connection, 4 * 3 * height * width)
    try:
        return _looked(model, values, height, width)
    except Exception as error:
        return {"error": _said(error)}


def _looked(model: Embeds | Detects, values: bytearray, height: int, width: int) -> dict[str, Any]:
    """What a model says of float32 of shape (3, height, width)."""
    import torch

    with torch.inference_mode():
        return model.answer(torch.frombuffer(values, dtype=torch.float32).reshape(1, 3, height, width))


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
