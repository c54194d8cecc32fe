"""The one seam between the pipeline and whatever makes pixels: `Engine.render(batch)`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from catalogs.errors import ReferenceImageError
from catalogs.requests import Reason, Reference, RenderRequest

Pixels = npt.NDArray[np.uint8]
LoadReference = Callable[[Reference], Image.Image]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One request's picture.

    Attributes:
        pixels: uint8 of shape (height, width, 3), sRGB.
        seconds: this image's share of the engine's time.
        batch_size: how many requests shared the call (bf16 results depend on it).
        prompt_used: the text the model really saw, "" when it is the request's own.
        cost: USD paid for it, 0.0 for local engines.
        seed: the seed really used, None when it is the request's own.
    """

    request: RenderRequest
    pixels: Pixels
    seconds: float
    batch_size: int = 1
    prompt_used: str = ""
    cost: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """One request that failed alone.

    Attributes:
        reason: from the closed list.
        detail: one line for people.
        final: True when the same request would fail again.
        cost: USD paid for it all the same.
    """

    request: RenderRequest
    reason: Reason
    detail: str
    final: bool
    cost: float = 0.0


def failed_reference(request: RenderRequest, error: ReferenceImageError) -> Failed:
    """The failure of a request whose reference cannot be loaded; final only where the file itself is bad."""
    reason = getattr(error, "reason", Reason.REFERENCE_INVALID)
    return Failed(request, reason, str(error), final=reason == Reason.REFERENCE_INVALID)


class Engine(Protocol):
    """What makes pixels. One instance a process; not called from two threads at once."""

    name: str
    versions: dict[str, str]

    def bucket(self, request: RenderRequest) -> Hashable:
        """Requests of one bucket may share a batch; sortable among themselves."""

    def batch_size(self, request: RenderRequest) -> int:
        """How many requests of this bucket go into one call."""

    def render(self, batch: Sequence[RenderRequest]) -> Iterable[Rendered | Failed]:
        """Render requests of one bucket; one answer each, as they are done. A poisoned request fails alone.

        Raises:
            EngineError: the engine as a whole is broken; no request is to blame.
        """


EngineFactory = Callable[[LoadReference], Engine]
