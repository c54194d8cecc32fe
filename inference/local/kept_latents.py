"""Latents of reference photos, kept beyond the process and read only while that is quicker than to encode them again.

One file a photo, size and VAE, in safetensors. What a file is named for decides its numbers: the photo's bytes, what
transparency was laid on, the size, the very weights of the VAE, and whether it takes large photos in tiles. A file that
is not what its name says is ignored.
"""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from inference.local.clock import elapsed

if TYPE_CHECKING:
    import torch

    from inference.local.checkpoints import Checkpoint

LEAST = 2
"""Measurements of each kind before any two are compared."""
_KEPT = 50
_NAME, _DIGEST = "latents", "sha256"


class Shelf(Protocol):
    """Where files are kept; made by the tasks.

    Attributes:
        mark: what else than a photo's bytes and size decides its pixels.
    """

    mark: str

    def read(self, name: str) -> bytes | None:
        """None where there is none, or none can be read."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Never raises: to keep nothing costs time only."""
        ...


class KeptLatents:
    """Reads on the threads that load photos, writes on one of its own."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._shelf: Shelf | None = None
        self._vae = ""
        self._lock = threading.Lock()
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="latents")
        self._encoded: list[tuple[Any, Any]] = []
        self._loaded: list[float] = []
        self._read: list[float] = []
        self.found = 0

    def use(self, shelf: Shelf | None) -> None:
        """Keep files there; None for nowhere."""
        self._shelf = shelf

    def read(self, sha256: str, width: int, height: int) -> torch.Tensor | None:
        """On the host; None where none is kept, or to encode is quicker."""
        shelf = self._shelf
        if shelf is None or not self._is_quicker():
            return None
        started = perf_counter()
        name = self._name(shelf, sha256, width, height)
        data = shelf.read(name)
        if data is None:
            return None
        _noted(self._read, perf_counter() - started)
        tensor = _unpacked(name, data)
        self.found += tensor is not None
        return tensor

    def keep(self, sha256: str, width: int, height: int, latents: torch.Tensor, arrived: Any) -> None:
        """Write latents once they are there.

        Args:
            latents: on the host.
            arrived: mark of the device after which they are.
        """
        shelf = self._shelf
        if shelf is not None:
            name = self._name(shelf, sha256, width, height)
            self._writing.submit(_write, shelf, name, latents, arrived)

    def loaded(self, seconds: float) -> None:
        """A photo was fetched, decoded and resized in so long."""
        _noted(self._loaded, seconds)

    def encoded(self, begun: Any, ended: Any) -> None:
        """A photo was encoded between two marks of the device."""
        _noted(self._encoded, (begun, ended))

    def finish(self) -> None:
        """Wait until all is written."""
        self._writing.submit(lambda: None).result()

    def _is_quicker(self) -> bool:
        encoding = [seconds for marks in list(self._encoded) if (seconds := elapsed(*marks)) is not None]
        if min(len(encoding), len(self._loaded)) < LEAST:
            return False
        if len(self._read) < LEAST:
            return True
        return median(self._read) < median(self._loaded) + median(encoding)

    def _name(self, shelf: Shelf, sha256: str, width: int, height: int) -> str:
        with self._lock:
            if not self._vae:
                self._vae = _vae_digest(self._checkpoint.vae)
        tiled = " tiled" if self._checkpoint.vae.use_tiling else ""  # edges of tiles show in latents too
        of = hashlib.sha256(f"{self._vae}{tiled} {shelf.mark} {sha256} {width}x{height}".encode()).hexdigest()
        return f"{of}.safetensors"


def _vae_digest(vae: Any) -> str:
    """Of all that encodes: its weights as they are, with their type."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        if not name.startswith(("decoder.", "post_quant_conv.")):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write(shelf: Shelf, name: str, latents: torch.Tensor, arrived: Any) -> None:
    from safetensors.torch import save

    if not isinstance(arrived, float):
        arrived.synchronize()
    latents = latents.contiguous()
    if latents.isfinite().all():  # else the device's fault would outlive the device
        shelf.write(name, save({_NAME: latents}, {_DIGEST: _digest(name, latents)}))


def _unpacked(name: str, data: bytes) -> torch.Tensor | None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        (tensor,) = load(data).values()
        header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    except (SafetensorError, ValueError, KeyError):
        return None
    return tensor if _digest(name, tensor).encode() in header else None


def _digest(name: str, tensor: torch.Tensor) -> str:
    """Of the numbers and the name they are kept under: a file that was moved to another is damaged too."""
    import torch

    digest = hashlib.sha256(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
    digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _noted(measured: list[Any], one: Any) -> None:
    """Keep the newest few."""
    measured.append(one)
    del measured[:-_KEPT]
