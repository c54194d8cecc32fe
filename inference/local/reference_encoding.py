"""Reference photos to latents: loaded ahead by threads, encoded once per content, kept on device and host."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from catalogs.errors import ReferenceImageError
from catalogs.requests import Reference
from inference.engine import LoadReference
from inference.local.batching import MAX_REFERENCE_AREA, reference_geometry
from inference.local.checkpoints import Checkpoint
from inference.local.clock import StageClock, mark
from inference.local.device import on_device
from inference.local.kept_latents import KeptLatents, Shelf
from inference.models.memory import REFERENCE_LATENT_BYTES

if TYPE_CHECKING:
    import torch

LOADERS = 4
HOST_BYTES = 2**30
"""Latents of a megapixel take 1 MB in bfloat16."""

Key = tuple[str, int, int]
Pixels = npt.NDArray[np.uint8]


def _size_of(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _key(reference: Reference) -> Key:
    return reference.sha256, reference.width, reference.height


class ReferenceEncoder:
    """Encodes references; `prefetch` may be called from other threads than the rest."""

    def __init__(self, checkpoint: Checkpoint, clock: StageClock, load: LoadReference) -> None:
        self._checkpoint, self._clock, self._load = checkpoint, clock, load
        self._on_device: LRUCache[Key, Any] = LRUCache(REFERENCE_LATENT_BYTES, getsizeof=_size_of)
        self._on_host: LRUCache[Key, Any] = LRUCache(HOST_BYTES, getsizeof=_size_of)
        self._kept = KeptLatents(checkpoint)
        self._mark = ""
        self._loading: dict[Key, tuple[str, Future[Any]]] = {}
        self._threads = ThreadPoolExecutor(LOADERS, thread_name_prefix="reference")
        self._lock = threading.Lock()
        self._levels: Any = None
        self._counts = {"references_encoded": 0, "reference_hits": 0}

    @property
    def counts(self) -> dict[str, int]:
        """Since the start."""
        return {**self._counts, "references_read": self._kept.found}

    def load_with(self, load: LoadReference, shelf: Shelf | None = None) -> None:
        """Use another shard's way to load; what the last one left behind is forgotten.

        Args:
            shelf: where latents are kept for other processes.
        """
        how = shelf.mark if shelf else ""
        with self._lock:
            self._load = load
            self._kept.use(shelf)
            if how != self._mark:  # the same file is other pixels now
                self._mark = how
                self._on_device.clear()
                self._on_host.clear()
            for _, future in self._loading.values():
                future.cancel()
            self._loading.clear()

    def prefetch(self, references: Sequence[Reference]) -> None:
        """Start to load what is not encoded yet; an error is met by the request that needs it."""
        with self._lock:
            for reference in references:
                key = _key(reference)
                if key not in self._loading and key not in self._on_device and key not in self._on_host:
                    self._loading[key] = reference.uri, self._threads.submit(self._prepared, reference, self._load)

    def drop_caches(self) -> None:
        """Give the device's memory back."""
        self._on_device.clear()

    def latents(self, reference: Reference) -> Any:
        """(1, channels, h/16, w/16) on the device.

        Raises:
            ReferenceImageError: it cannot be loaded, or is not what was planned.
        """
        key = _key(reference)
        with self._lock:
            found = self._on_device.get(key)
            if found is None and (stored := self._on_host.get(key)) is not None:
                found = stored.to(self._checkpoint.device, non_blocking=True)
        if found is not None:
            self._counts["reference_hits"] += 1
            with self._lock:
                _put(self._on_device, key, found)
            return found
        made = self._made_ready(reference)
        is_read = not isinstance(made, np.ndarray)
        found = on_device(made, self._checkpoint.device) if is_read else self._encode(made)
        # Read again by the same stream only, so it need not have arrived yet.
        on_host = made if is_read else found.to("cpu", non_blocking=True)
        with self._lock:
            _put(self._on_device, key, found)
            _put(self._on_host, key, on_host)
        if not is_read and not reference.is_render:
            self._kept.keep(*key, on_host, mark(self._checkpoint.device))
        return found

    def _made_ready(self, reference: Reference) -> Any:
        """Latents that were kept, else pixels."""
        self.prefetch([reference])
        with self._lock:
            uri, future = self._loading.pop(_key(reference))
        with self._clock.stage("wait"):
            try:
                return future.result()
            except ReferenceImageError:
                if uri == reference.uri:
                    raise
                # Of the same content when it was planned: what has come over that file since is no fault of this one.
                return self._prepared(reference, self._load)

    def _prepared(self, reference: Reference, load: LoadReference) -> Any:
        """Latents that were kept of a photo, else its pixels: uint8 (height, width, 3)."""
        # Another shot's picture is named for its request, and may be made again in other pixels.
        kept = None if reference.is_render else self._kept.read(*_key(reference))
        if kept is not None:
            return kept
        started = perf_counter()
        pixels = self._pixels(reference, load)
        self._kept.loaded(perf_counter() - started)
        return pixels

    def _pixels(self, reference: Reference, load: LoadReference) -> Pixels:
        """Resized and cropped as the stock pipeline does."""
        image = load(reference)
        if (image.width, image.height) != (reference.width, reference.height):
            found = f"is {image.width}x{image.height}, planned as {reference.width}x{reference.height}"
            raise ReferenceImageError(reference.uri, "", found, "plan again")
        processor = self._checkpoint.pipe.image_processor
        image = image.convert("RGB")
        if image.width * image.height > MAX_REFERENCE_AREA:
            image = processor._resize_to_target_area(image, MAX_REFERENCE_AREA)
        width, height = reference_geometry(reference.width, reference.height)
        return np.asarray(processor._resize_and_crop(image, width, height))

    def _encode(self, pixels: Pixels) -> Any:
        import torch

        vae, pipe = self._checkpoint.vae, self._checkpoint.pipe
        begun = mark(self._checkpoint.device)
        with self._clock.stage("references"):
            tensor = on_device(torch.from_numpy(pixels.copy()), self._checkpoint.device).permute(2, 0, 1)[None]
            if self._levels is None:
                self._levels = on_device(levels(vae.dtype), self._checkpoint.device)
            self._counts["references_encoded"] += 1
            made = pipe._encode_vae_image(self._levels[tensor.int()], None)
        self._kept.encoded(begun, mark(self._checkpoint.device))
        return made


def levels(dtype: Any) -> torch.Tensor:
    """(256,) on the host: what the stock pipelines make of each level of a photo.

    They divide on the host, in float32; a GPU would multiply by the reciprocal, and differ at some of the levels.
    """
    import torch

    unit = torch.from_numpy(np.arange(256, dtype=np.float32) / np.float32(255))
    return (2 * unit - 1).to(dtype)


def _put(cache: LRUCache[Any, Any], key: Any, value: Any) -> None:
    if cache.getsizeof(value) <= cache.maxsize:
        cache[key] = value
