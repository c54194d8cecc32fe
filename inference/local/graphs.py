"""Denoising loops recorded once and replayed: at small sizes the host starts kernels slower than a GPU ends them.

A recorded loop (CUDA graph) reads and writes the same memory at each replay, so what steers a batch is copied into the
place of what was recorded. Each bucket and batch size is timed both ways, and replayed only where that is quicker.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from catalogs.requests import RenderRequest
from inference.local.acceleration import Way
from inference.local.batching import bucket_key, tokens_of
from inference.local.clock import elapsed, mark
from inference.local.denoising import Conditions, denoise
from inference.local.faults import is_lost, one_line

if TYPE_CHECKING:
    import torch

    from inference.local.checkpoints import Checkpoint

MOST_TOKENS = 1_024
"""Of a picture, 512 x 512: above it a step takes the GPU longer than the host needs to start it."""
RECORDED = 2
"""Loops held: each holds the memory of its activations."""
GAIN = 0.97
"""Of the time of the plain loop, below which a replay counts as quicker."""
_PLAIN = 2

Record = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]
"""Takes a loop; gives what replays it, and the tensor that holds its result after each replay."""


@dataclass
class _Tried:
    """What is known of a loop.

    Attributes:
        plain: marks around plain runs, the first of which may have warmed up.
        replayed: marks around replays.
    """

    plain: list[tuple[Any, Any]] = field(default_factory=list)
    replayed: list[tuple[Any, Any]] = field(default_factory=list)
    refused: bool = False


@dataclass(frozen=True)
class _Recorded:
    """A loop, and all memory that it reads."""

    start: torch.Tensor
    conditions: Conditions
    result: Any
    replay: Callable[[], None]
    held: Any


class Graphs:
    """Denoises, by replay where that is quicker."""

    def __init__(self, checkpoint: Checkpoint, record: Record | None = None) -> None:
        """
        Args:
            record: without, loops are recorded on a GPU and nowhere else.
        """
        self._checkpoint = checkpoint
        on_gpu = checkpoint.device.type == "cuda" and not checkpoint.is_hooked
        self._record: Record | None = record or (record_graph if on_gpu else None)
        self._tried: dict[Hashable, _Tried] = {}
        self._recorded: LRUCache[Hashable, _Recorded] = LRUCache(RECORDED)
        self.replayed = 0
        self.notes: dict[str, None] = {}

    def clear(self) -> None:
        """Give the device's memory back."""
        self._recorded.clear()

    def denoise(self, request: RenderRequest, start: torch.Tensor, conditions: Conditions, way: Way) -> Any:
        """`inference.local.denoising.denoise`, for a batch that runs in this way."""
        key = (bucket_key(request), len(start), way, conditions.places)
        tried = self._tried.setdefault(key, _Tried())
        if not self._record or tried.refused or tokens_of(request)[0] > MOST_TOKENS:
            return denoise(self._checkpoint, request, start, conditions)
        if len(tried.plain) < _PLAIN:
            return self._timed(tried.plain, lambda: denoise(self._checkpoint, request, start, conditions))
        recorded = self._recorded.get(key) or self._new(key, tried, request, start, conditions)
        if recorded is None:
            return denoise(self._checkpoint, request, start, conditions)
        self._judge(key, tried)
        self.replayed += len(start)
        return self._timed(tried.replayed, lambda: _replayed(recorded, start, conditions))

    def _new(
        self, key: Hashable, tried: _Tried, request: RenderRequest, start: torch.Tensor, conditions: Conditions
    ) -> _Recorded | None:
        """Record a loop over copies of what it reads; None where that fails."""
        assert self._record is not None
        copied = conditions.copied()
        mine = start.clone()
        try:
            replay, result = self._record(lambda: denoise(self._checkpoint, request, mine, copied))
        except Exception as error:
            if is_lost(error):
                raise
            tried.refused = True
            self.notes[f"not replayed: {one_line(error)}"] = None
            return None
        # What others keep of it, its position embeddings, may be dropped there.
        held = [*getattr(self._checkpoint.transformer.pos_embed, "held", [])]
        self._recorded[key] = _Recorded(mine, copied, result, replay, held)
        return self._recorded[key]

    def _timed(self, marks: list[tuple[Any, Any]], run: Callable[[], Any]) -> Any:
        device = self._checkpoint.device
        begun = mark(device)
        result = run()
        if len(marks) < _PLAIN:
            marks.append((begun, mark(device)))
        return result

    def _judge(self, key: Hashable, tried: _Tried) -> None:
        """Give a replay up that is not quicker; as long as a GPU has not ended what is timed, nothing is known."""
        if len(tried.replayed) < _PLAIN:
            return
        plain, replayed = (_least(marks) for marks in (tried.plain, tried.replayed))
        if plain is not None and replayed is not None and replayed > GAIN * plain:
            tried.refused = True
            self._recorded.pop(key, None)


def _least(marks: list[tuple[Any, Any]]) -> float | None:
    """Seconds of the quickest of those that have ended."""
    return min((seconds for pair in marks if (seconds := elapsed(*pair)) is not None), default=None)


def _replayed(recorded: _Recorded, start: torch.Tensor, conditions: Conditions) -> Any:
    recorded.start.copy_(start)
    recorded.conditions.take(conditions)
    recorded.replay()
    return recorded.result.clone()  # the next replay writes there


def record_graph(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Record what a function does on the GPU; see `Record`."""
    import torch

    current, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        run()  # libraries choose kernels and take their workspaces outside the recording
    current.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = run()
    return graph.replay, result
