"""How many requests go into one call: by a token budget, then by what the device has shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs.requests import RenderRequest
from inference.engine import EngineOptions
from inference.local.batching import CPU_TOKEN_BUDGET, TOKEN_BUDGET, batch_size_for, reference_geometry, tokens_of
from inference.local.device import device_name
from inference.local.measured import recall, remember
from inference.models.choice import fitting_batch
from inference.models.workload import Workload

if TYPE_CHECKING:
    from inference.local.checkpoints import Checkpoint

_KIND = "batch_sizes"
TRIES = 2
"""Measurements of a size before it is judged: kernels are chosen in the first."""


class BatchSizes:
    """Batch sizes of one checkpoint on one kind of device.

    A size that ran out of memory is remembered, and on a GPU smaller sizes are tried once and the one that takes least
    time a forward and picture is remembered.
    """

    def __init__(self, checkpoint: Checkpoint, options: EngineOptions) -> None:
        self._checkpoint = checkpoint
        shape, device = checkpoint.shape, checkpoint.device
        self._shares_references = checkpoint.family == "kv"
        self._forwards_a_step = 2 if checkpoint.family == "base" else 1
        size, precision = f"{shape.width}x{shape.blocks}", checkpoint.weight_precision
        self._model = "|".join((device_name(device), size, checkpoint.family, precision, checkpoint.memory))
        self._tokens = TOKEN_BUDGET if device.type == "cuda" else CPU_TOKEN_BUDGET
        self._tries = options.tune and device.type == "cuda"
        self._limits: dict[str, int] = {}
        self._seconds: dict[str, dict[int, list[float]]] = {}
        self._chosen: dict[str, int] = {key: int(size) for key, size in recall(_KIND).items()}

    def size(self, request: RenderRequest, how: str = "") -> int:
        """Of the next batch.

        Args:
            how: what makes the bucket faster, as it is written in rows; times of different ways are not compared.
        """
        key = self.key(request, how)
        budget = self._fitting(request, batch_size_for(request, self._shares_references, self._tokens))
        most = min(self._limits.get(key, budget), budget)
        if key in self._chosen:
            return max(1, min(self._chosen[key], most))
        return self._next_try(key, most) if self._tries else most

    def _fitting(self, request: RenderRequest, wanted: int) -> int:
        """As many as there is room for, by what the model needs; out of memory by itself costs a batch."""
        made = self._checkpoint
        if not made.room:
            return wanted
        references = [reference_geometry(one.width, one.height) for one in request.references]
        guided = made.family == "base" and (request.guidance or 0.0) > 1
        workload = Workload.of(request.width, request.height, references, wanted, second_forward=guided)
        tiled = bool(made.vae.use_tiling)
        return max(1, fitting_batch(made.parts, made.weight_precision, made.memory, workload, made.room, tiled))

    def limit(self, request: RenderRequest, size: int, how: str = "") -> None:
        """More than this ran out of memory."""
        key = self.key(request, how)
        self._limits[key] = size
        self._choose(key, min(self._chosen.get(key, size), size))

    def measured(self, request: RenderRequest, size: int, seconds: float, how: str = "") -> None:
        """A batch of this size took so long."""
        if self._tries:
            each = seconds / (size * self._forwards(request))
            self._seconds.setdefault(self.key(request, how), {}).setdefault(size, []).append(each)

    def key(self, request: RenderRequest, how: str = "") -> str:
        """What two measurements must agree on to be compared."""
        target, references = tokens_of(request)
        return "|".join((self._model, how, f"{target}+{references}", str(self._forwards(request))))

    def _forwards(self, request: RenderRequest) -> int:
        """Of the transformer, for one picture."""
        return max(1, request.steps) * (self._forwards_a_step if (request.guidance or 0) > 1 else 1)

    def _next_try(self, key: str, most: int) -> int:
        """A size not measured yet, then the fastest."""
        seen = self._seconds.get(key, {})
        for size in sizes_to_try(most):
            if len(seen.get(size, [])) < TRIES:
                return size
        # Within two percent the smaller batch: it frees memory and loses less to a kill.
        best = min(min(times) for times in seen.values())
        self._choose(key, min(size for size, times in seen.items() if min(times) <= 1.02 * best))
        return self._chosen[key]

    def _choose(self, key: str, size: int) -> None:
        self._chosen[key] = size
        remember(_KIND, {key: size})


def sizes_to_try(most: int) -> list[int]:
    """The largest and halves of it, down to two and one."""
    sizes = {most, 1, min(2, most)}
    while most > 2:
        most //= 2
        sizes.add(most)
    return sorted(sizes, reverse=True)
