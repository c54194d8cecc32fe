"""The device a checkpoint runs on: its name, its memory, its speed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def device_name(device: Any) -> str:
    """For people and as a key: "NVIDIA H200", or "cpu"."""
    if device.type != "cuda":
        return str(device.type)
    import torch

    return str(torch.cuda.get_device_name(device))


@contextmanager
def current(device: Any) -> Iterator[None]:
    """Make a GPU the one that streams, events and pinned memory belong to: each thread begins with the first card."""
    if device.type != "cuda":
        yield
        return
    import torch

    with torch.cuda.device(device):
        yield


def on_device(tensor: torch.Tensor, device: Any) -> torch.Tensor:
    """A tensor of the host on the device, without making the host wait for what the device still has to do."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def peak_bytes(device: Any) -> int:
    """Most memory the process has held: of the GPU, else of the host."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@cache
def dense_flops(device: Any, dtype: Any) -> float:
    """Operations a second of a large dense matrix product in this data type, measured once a process."""
    import torch

    cuda = device.type == "cuda"
    side = 8192 if cuda else 1024
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def seconds() -> float:
        if cuda:
            torch.cuda.synchronize(device)
        started = perf_counter()
        for _ in range(4):
            left @ right
        if cuda:
            torch.cuda.synchronize(device)
        return (perf_counter() - started) / 4

    seconds()
    return 2.0 * side**3 / min(seconds() for _ in range(3))


def empty_cache() -> None:
    """Give memory that torch keeps for later back to the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def forget() -> None:
    """Give back the memory of what nothing names any more: a model's parts name each other."""
    gc.collect()
    empty_cache()
