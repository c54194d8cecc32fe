"""The time as a store tells it, for what machines with clocks of their own must agree on."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import datetime, timedelta

from catalogs.storage.store import Store


class StoreClock:
    """A store's clock: read once, from a file that is written for it, then counted on by a clock that nobody sets.

    Right to about a second: that is how finely object stores stamp.

    Args:
        folder: of the store, where the file may lie for a moment.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder, self._lock = store, folder, threading.Lock()
        self._zero: datetime | None = None

    def now(self) -> datetime:
        """The store's time, UTC.

        Raises:
            StorageError: it cannot be asked.
        """
        with self._lock:
            if self._zero is None:
                self._zero = self._ask() - timedelta(seconds=time.monotonic())
            return self._zero + timedelta(seconds=time.monotonic())

    def _ask(self) -> datetime:
        key = f"{self._folder}/clock-{uuid.uuid4().hex}.json"
        self._store.write(key, b"{}")
        try:
            return self._store.stat(key).modified
        finally:
            self._store.delete([key])
