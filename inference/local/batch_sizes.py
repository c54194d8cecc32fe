"""How many requests go into one call, and the memory of what a kind of GPU has shown."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from catalogs.requests import RenderRequest
from inference.engine import EngineOptions
from inference.local.batching import CPU_TOKEN_BUDGET, TOKEN_BUDGET, batch_size_for, tokens_of
from inference.models.weights import cache_folder

if TYPE_CHECKING:
    from inference.local.checkpoints import Checkpoint
from inference.local.device import device_name

_MEMORY = "batch-sizes.json"


class BatchSizes:
    """How many requests of a bucket go into one call: by a token budget, then by what the device has shown.

    A size that ran out of memory is remembered, and on a GPU smaller sizes are tried once and the fastest is
    remembered: for this kind of GPU, under the cache folder.
    """

    def __init__(self, checkpoint: Checkpoint, options: EngineOptions) -> None:
        shape, device = checkpoint.shape, checkpoint.device
        self._shares_references = checkpoint.family == "kv"
        self._machine = f"{device_name(device)} {shape.width}x{shape.blocks} {checkpoint.family} {checkpoint.memory}"
        self._tokens = TOKEN_BUDGET if device.type == "cuda" else CPU_TOKEN_BUDGET
        self._tries = options.tune and device.type == "cuda"
        self._limits: dict[str, int] = {}
        self._seconds: dict[str, dict[int, list[float]]] = {}
        self._chosen: dict[str, int] = _read_memory().get(self._machine, {})

    def size(self, request: RenderRequest) -> int:
        """Of the next batch."""
        key = self._key(request)
        budget = batch_size_for(request, self._shares_references, self._tokens)
        most = min(self._limits.get(key, budget), budget)
        if key in self._chosen:
            return max(1, min(self._chosen[key], most))
        return self._next_try(key, most) if self._tries else most

    def limit(self, request: RenderRequest, size: int) -> None:
        """More than this ran out of memory."""
        key = self._key(request)
        self._limits[key] = size
        self._chosen[key] = min(self._chosen.get(key, size), size)
        self._remember()

    def measured(self, request: RenderRequest, size: int, seconds: float) -> None:
        """A batch of this size took so long."""
        if self._tries:
            self._seconds.setdefault(self._key(request), {}).setdefault(size, []).append(seconds / size)

    def _next_try(self, key: str, most: int) -> int:
        """A size not measured yet, each twice since the first call of a shape warms up; then the fastest."""
        seen = self._seconds.get(key, {})
        for size in _halves(most):
            if len(seen.get(size, [])) < 2:
                return size
        # Within two percent the smaller batch: it frees memory and loses less to a kill.
        best = min(min(times) for times in seen.values())
        self._chosen[key] = min(size for size, times in seen.items() if min(times) <= 1.02 * best)
        self._remember()
        return self._chosen[key]

    def _key(self, request: RenderRequest) -> str:
        target, references = tokens_of(request)
        return f"{target}+{references}"

    def _remember(self) -> None:
        """Replace the memory at once; without a writable cache folder it is only for this process."""
        try:
            folder = cache_folder()
            folder.mkdir(parents=True, exist_ok=True)
            content = {**_read_memory(), self._machine: self._chosen}
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
                json.dump(content, file, indent=0, sort_keys=True)
            os.replace(file.name, folder / _MEMORY)
        except OSError:
            return


def _halves(most: int) -> list[int]:
    """`most`, then halves of it down to one."""
    return [max(1, most >> shift) for shift in range(int(math.log2(most)) + 1)]


def _read_memory() -> dict[str, dict[str, int]]:
    try:
        content = json.loads(Path(cache_folder() / _MEMORY).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
