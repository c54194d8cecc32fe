"""Of a run's time, the share in which the device computes nothing, by the intervals of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TypeVar

import torch

Made = TypeVar("Made")


def idle_share(work: Callable[[], Made], device: torch.device) -> tuple[Made, float | None]:
    """What `work` returns, and the share of its time without a kernel or a copy; None without a GPU."""
    if device.type != "cuda":
        return work(), None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA]) as taken:
        started = perf_counter()
        made = work()
        torch.cuda.synchronize(device)
        seconds = perf_counter() - started
    events = taken.events() or []
    busy = [(one.time_range.start, one.time_range.end) for one in events if one.device_type == DeviceType.CUDA]
    assert busy, "the profiler saw no kernel: it is not let near the card's counters here"
    return made, 1 - covered(busy) / 1e6 / seconds


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
