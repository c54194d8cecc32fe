"""How much memory photos may take while several threads measure them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Lets threads begin while what they need together fits; one that needs more than all of it goes alone.

    Args:
        size: bytes.
    """

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, need: int) -> Iterator[None]:
        """Wait until `need` bytes are free, and hold them for the block."""
        need = min(need, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._held + need <= self._size)
            self._held += need
        try:
            yield
        finally:
            with self._changed:
                self._held -= need
                self._changed.notify_all()


# Two budgets, always taken in this order, so that no two threads wait for each other.
FILES = MemoryBudget(128 * 2**20)
PIXELS = MemoryBudget(384 * 2**20)
