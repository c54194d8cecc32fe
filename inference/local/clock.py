"""Device time by stage, without making the host wait for the device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any


def device_event() -> Any:
    """A mark that can be put into a GPU's stream and tells the time between two; who waits for it sleeps."""
    import torch

    event: Any = torch.cuda.Event
    return event(enable_timing=True, blocking=True)


def mark(device: Any) -> Any:
    """Now: an event in the device's stream, or seconds where work is done at once."""
    if device.type != "cuda":
        return perf_counter()
    event = device_event()
    event.record()
    return event


def elapsed(begun: Any, ended: Any) -> float | None:
    """Seconds between two marks; None as long as the device has not passed the second."""
    if isinstance(ended, float):
        return float(ended - begun)
    return float(begun.elapsed_time(ended)) / 1000 if ended.query() else None


class StageClock:
    """Adds up seconds by stage; on a GPU by events that are read once the device has passed them."""

    def __init__(self, device: Any) -> None:
        self._cuda = device.type == "cuda"
        self._seconds: dict[str, float] = defaultdict(float)
        self._marks: list[tuple[str, Any, Any]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside as time of stage `name`; stages do not nest."""
        if not self._cuda:
            started = perf_counter()
            try:
                yield
            finally:
                self._seconds[name] += perf_counter() - started
            return
        begin, end = device_event(), device_event()
        begin.record()
        try:
            yield
        finally:
            end.record()
            self._marks.append((name, begin, end))

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name] += seconds

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last call; those still running on the device come with the next."""
        running = []
        for name, begin, end in self._marks:
            try:
                if end.query():
                    self._seconds[name] += begin.elapsed_time(end) / 1000
                else:
                    running.append((name, begin, end))
            except RuntimeError:  # the device failed, which is told where its work is
                continue
        self._marks = running
        taken, self._seconds = dict(self._seconds), defaultdict(float)
        return taken
