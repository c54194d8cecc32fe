"""The one seam between the pipeline and whatever makes pixels: `Engine.render(batch)`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Protocol

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
        note: what was done to it that nobody asked for, "" where nothing was.
        how: what made it quicker than the stock pipeline, "" where nothing did.
    """

    request: RenderRequest
    pixels: Pixels
    seconds: float
    batch_size: int = 1
    prompt_used: str = ""
    cost: float = 0.0
    seed: int | None = None
    note: str = ""
    how: str = ""


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


Result = Rendered | Failed


def failed_reference(request: RenderRequest, error: ReferenceImageError) -> Failed:
    """The failure of a request whose reference cannot be loaded; final only where the file itself is bad."""
    reason = getattr(error, "reason", Reason.REFERENCE_INVALID)
    return Failed(request, reason, str(error), final=reason == Reason.REFERENCE_INVALID)


@dataclass
class Profile:
    """What an engine did and how long its device took; profiles of shards add up.

    Attributes:
        device: name of the device, "" for an engine without one.
        seconds: by stage. Of the local engine: `text`, `references`, `denoise`, `decode`, `warm-up` (first
            batch of a shape where kernels are chosen or compiled) and `wait` (for references to be loaded).
        images: pictures made outside warm-up.
        flops: of the transformer in stage `denoise`.
        limit_flops: operations a second the device reached in a dense matrix product, 0.0 if not measured.
        peak_bytes: most device memory held at once.
        counts: cache hits and misses, encoded prompts and references, retries, pictures rendered the quick way.
        notes: what the engine chose by itself that people may want to know, a line each.
    """

    device: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0
    flops: float = 0.0
    limit_flops: float = 0.0
    peak_bytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Profile) -> None:
        self.device = self.device or other.device
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.notes += [note for note in other.notes if note not in self.notes]
        self.images += other.images
        self.flops += other.flops
        self.limit_flops = max(self.limit_flops, other.limit_flops)
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class EngineOptions:
    """How a local engine uses its machine; none of it is asked of a picture, so none enters a fingerprint."""

    # The form of a run shows what stands below each.
    __pydantic_config__: ClassVar[dict[str, bool]] = {"use_attribute_docstrings": True}

    memory: Literal["auto", "resident", "two-phase", "offload"] = "auto"
    """`resident` keeps all parts on the device; `two-phase` streams the text encoder's layers from the host, for a
    window of prompts at a time; `offload` streams the transformer's too; `auto` takes the first that fits."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the repeated blocks and the decoder; `auto` lets the engine go over to compiled blocks, the quickest
    attention and the folded decoder by itself, on a GPU, where a size has pictures enough."""
    attention: str = ""
    """A backend of diffusers, for example _native_cudnn; empty for torch's own choice."""
    decoder: Literal["auto", "stock", "folded"] = "auto"
    """`folded` merges upsampling and convolution of the VAE decoder, equal but for rounding; `auto` does so where the
    engine goes over to the quick way."""
    tune: bool = True
    """Try smaller batch sizes on a GPU once and remember the fastest."""


class Engine(Protocol):
    """What makes pixels. One instance a process. Engines derive from it for `prepare` and `take_profile`."""

    name: str
    versions: dict[str, str]

    def bucket(self, request: RenderRequest) -> Hashable:
        """Requests of one bucket may share a batch; sortable among themselves."""
        ...

    def batch_size(self, request: RenderRequest) -> int:
        """How many requests of this bucket go into one call."""
        ...

    def render(self, batch: Sequence[RenderRequest]) -> Iterable[Result]:
        """Start to render requests of one bucket; one answer each, as they are done.

        A poisoned request fails alone. The answers must be consumed; the next batch may be started first,
        which keeps a device busy while the last pictures leave it.

        Raises:
            EngineError: the engine as a whole is broken; no request is to blame.
        """
        ...

    def begin(self, requests: Sequence[RenderRequest]) -> None:
        """Told all requests of a shard before the first of them."""
        return

    def prepare(self, upcoming: Sequence[RenderRequest]) -> None:
        """Told what comes next, so that references can be loaded ahead; never raises for a request's fault."""
        return

    def take_profile(self) -> Profile:
        """What was done since it was last asked."""
        return Profile()


EngineFactory = Callable[[LoadReference], Engine]
