"""Latents of reference photos in the output store: bounded, and no part of what is delivered."""

from __future__ import annotations

import logging
import threading

from catalogs.errors import PackshotError
from catalogs.identity import LATENTS
from catalogs.storage.store import Store

MOST_BYTES = 2 * 2**30
"""Some two thousand photos of a megapixel."""
_LEFT = 0.8
_EVERY = 100
_logger = logging.getLogger(__name__)


class LatentShelf:
    """Implements `inference.local.kept_latents.Shelf` over a store; the first error ends it."""

    def __init__(self, store: Store, mark: str, most_bytes: int = MOST_BYTES) -> None:
        self.mark = mark
        self._store, self._most, self._written = store, most_bytes, 0
        self._broken = threading.Event()

    def read(self, name: str) -> bytes | None:
        """None where there is none, or none can be read."""
        if self._broken.is_set():
            return None
        try:
            return self._store.read_or_none(f"{LATENTS}/{name}")
        except PackshotError as error:
            self._end(error)
            return None

    def write(self, name: str, data: bytes) -> None:
        """Keep a file, and now and then delete the oldest of too many."""
        if self._broken.is_set():
            return
        try:
            self._store.write(f"{LATENTS}/{name}", data)
            if self._written % _EVERY == 0:
                self._prune()
            self._written += 1
        except PackshotError as error:
            self._end(error)

    def _prune(self) -> None:
        files = self._store.list(LATENTS)
        total = sum(entry.size for entry in files.values())
        if total <= self._most:
            return
        oldest = []
        for key, entry in sorted(files.items(), key=lambda item: item[1].modified):
            if total <= _LEFT * self._most:
                break
            oldest.append(key)
            total -= entry.size
        self._store.delete(oldest)

    def _end(self, error: PackshotError) -> None:
        self._broken.set()
        _logger.warning("latents of references are kept no longer: %s", error)
