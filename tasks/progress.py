"""Progress of the work of this process: one bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TextIO

from tqdm import tqdm

from tasks.log_lines import is_json, say

LINE_EVERY_SECONDS = 15.0

_current: AssetProgress | None = None


class AssetProgress:
    """Counts assets of a run, or other things.

    Args:
        total: None where nobody knows.
        waiting: told how many are still to come, of a known total.
    """

    def __init__(
        self,
        total: int | None,
        stream: TextIO,
        unit: str = "asset",
        waiting: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._waiting = waiting
        self.total, self.unit, self.delivered, self.failed = total, unit, 0, 0
        self._lock = threading.Lock()
        self._stream, self._started, self._last_line = stream, monotonic(), monotonic()
        self._bar = (
            tqdm(total=total, unit=unit, file=stream, leave=False) if stream.isatty() and not is_json() else None
        )
        self._tell_waiting()

    def add(self, delivered: int, failed: int) -> None:
        with self._lock:
            self.delivered += delivered
            self.failed += failed
            self._tell_waiting()
            if self._bar is not None:
                self._bar.update(delivered + failed)
                if failed:
                    self._bar.set_postfix(failed=self.failed)
            elif monotonic() - self._last_line >= LINE_EVERY_SECONDS:
                self._last_line = monotonic()
                say(self.line(), self._stream)

    def _tell_waiting(self) -> None:
        if self.total is not None:
            self._waiting(max(0, self.total - self.delivered - self.failed))

    def line(self) -> str:
        done = self.delivered + self.failed
        rate = done / max(monotonic() - self._started, 1e-9)
        if self.total is None:
            return f"{done} {self.unit}s, {self.failed} failed, {rate:.1f} {self.unit}s/s"
        done = min(self.total, done)  # a shard that is tried again counts twice
        said = f"{done}/{self.total} {self.unit}s, {self.failed} failed"
        if not done:  # nobody knows how long it takes
            return said
        return f"{said}, {rate:.1f} {self.unit}s/s, about {(self.total - done) / rate:.0f} s left"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def asset_progress(
    total: int, stream: TextIO = sys.stderr, waiting: Callable[[int], None] = lambda count: None
) -> Iterator[AssetProgress]:
    """Show the progress of `total` assets while the block runs.

    Args:
        waiting: told how many are still to come, 0 at the end.
    """
    global _current
    _current = progress = AssetProgress(total, stream, waiting=waiting)
    try:
        yield progress
    finally:
        _current = None
        progress.close()
        waiting(0)


def report(delivered: int, failed: int) -> None:
    """Count assets; does nothing in a process that shows no progress, such as a Ray worker."""
    if _current is not None:
        _current.add(delivered, failed)
