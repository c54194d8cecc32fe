"""Layers of a model whose weights stay on the host, run on the device one after the other.

Two slots on the device take the layers in turn: while one computes, the next is copied into the other, on a stream of
its own. Weights never change, so nothing is ever copied back; after the last layer the first two are fetched already,
under whatever the device does until they are wanted again.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SLOTS = 2


@dataclass
class _Slot:
    """A layer's place on the device.

    Attributes:
        number: which layer's weights it holds, or will once they have arrived; -1 for none.
        arrived: event of the copying stream.
        used: event of the computing stream.
    """

    module: Any
    number: int = -1
    arrived: Any = None
    used: Any = None


class LayerStream:
    """Walks through layers of one shape."""

    def __init__(self, layers: Sequence[Any], device: Any) -> None:
        self._layers, self._device = list(layers), device
        self._stream: Any = None
        if device.type == "cuda":
            import torch

            stream: Any = torch.cuda.Stream
            self._stream = stream(device)
            for layer in self._layers:
                _pin(layer)
        self._slots = deque(_Slot(copy.deepcopy(self._layers[0]).to(device)) for _ in range(SLOTS))
        self._fetch_first()

    def __iter__(self) -> Iterator[Any]:
        """Every layer in order, each with its weights on the device until the next is asked for."""
        self._fetch_first()
        for number in range(len(self._layers)):
            slot = self._slots.popleft()
            try:
                self._await_copy(slot)
                yield slot.module
                self._mark_used(slot)
            finally:
                self._slots.append(slot)
            self._fetch(slot, (number + SLOTS) % len(self._layers))

    def _fetch_first(self) -> None:
        """Have the first layers in the slots: they are, unless the last walk was broken off."""
        for number, slot in enumerate(self._slots):
            if slot.number != number % len(self._layers):
                self._mark_used(slot)
                self._fetch(slot, number % len(self._layers))

    def _fetch(self, slot: _Slot, number: int) -> None:
        """Start to copy a layer's weights, once the slot's last work is done."""
        import torch

        slot.number = number
        if self._stream is None:
            _copy(self._layers[number], slot.module)
            return
        with torch.cuda.stream(self._stream):
            if slot.used is not None:
                self._stream.wait_event(slot.used)
            _copy(self._layers[number], slot.module)
            slot.arrived = self._stream.record_event()

    def _await_copy(self, slot: _Slot) -> None:
        if self._stream is not None:
            import torch

            torch.cuda.current_stream(self._device).wait_event(slot.arrived)

    def _mark_used(self, slot: _Slot) -> None:
        if self._stream is not None:
            import torch

            slot.used = torch.cuda.current_stream(self._device).record_event()


def _pin(module: Any) -> None:
    """Keep weights where the device reads them without the host's help."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.pin_memory()


def _copy(source: Any, target: Any) -> None:
    import torch

    with torch.no_grad():
        for mine, theirs in zip(target.parameters(), source.parameters(), strict=True):
            mine.copy_(theirs, non_blocking=True)
        for mine, theirs in zip(target.buffers(), source.buffers(), strict=True):
            mine.copy_(theirs, non_blocking=True)
