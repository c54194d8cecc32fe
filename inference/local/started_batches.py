"""Batches on their way: samples with everything encoded, and work given to the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catalogs.requests import RenderRequest
from inference.local.acceleration import Way
from inference.local.keys_values import ReferenceSet


@dataclass(frozen=True)
class Sample:
    """One request with everything encoded.

    Attributes:
        text: (1, 512, context).
        references: encoded, None without.
    """

    request: RenderRequest
    text: Any
    references: ReferenceSet | None = None


@dataclass(frozen=True)
class Flight:
    """A batch whose work has been given to the device.

    Attributes:
        pixels: uint8 (batch, height, width, 3) on the host, complete once `done` has passed.
        verdicts: bool (batch, 2): finite, more than one colour.
        done: event of the device, None where work is done at once.
        seconds: how long a CPU took, or the events around a GPU's work.
        way: how transformer and decoder ran.
    """

    samples: list[Sample]
    way: Way
    pixels: Any
    verdicts: Any
    done: Any
    begun: Any

    def seconds(self) -> float:
        """Of the whole batch, on the device; waits until it is done."""
        if self.done is None:
            return float(self.begun)
        self.done.synchronize()
        return float(self.begun.elapsed_time(self.done)) / 1000
