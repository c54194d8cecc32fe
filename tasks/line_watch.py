"""Watches the pictures of a shard by shot, and stops the shots most of whose pictures are rejected."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from time import monotonic

from catalogs.assets.delivered import Delivered
from catalogs.assets.lines import Picture, Stop, resumed
from catalogs.plans.file import PlanHeader
from catalogs.storage.store import Store

LOOK_SECONDS = 20.0
"""Between two looks at what other machines have committed."""


class LineWatch:
    """The lines of one shard's plan: what the record says of them, and the shard's own pictures on top.

    Args:
        index: the record, which is read again from time to time.
    """

    def __init__(self, store: Store, header: PlanHeader, index: Delivered) -> None:
        self._lines, self._index = header.lines, index
        self._since = resumed(store, header.campaign) if header.lines else {}
        self._own: dict[str, dict[str, Picture]] = defaultdict(dict)
        self._stops: dict[str, Stop] = {}
        self._lock = threading.Lock()
        self._looked = monotonic()

    def line_of(self, shot: str) -> str | None:
        """The name of a shot's line; None where nothing rejects its pictures."""
        return self._lines.get(shot)

    def add(self, shot: str, render_fingerprint: str, picture: Picture) -> None:
        """A picture of this shard that was judged."""
        with self._lock:
            if shot in self._lines:
                self._own[shot][render_fingerprint] = picture

    def stops(self, on_stop: Callable[[], object]) -> dict[str, Stop]:
        """The shots that are stopped, and why.

        Args:
            on_stop: called when the shard's own pictures have stopped one.
        """
        if not self._lines:
            return {}
        if monotonic() - self._looked >= LOOK_SECONDS:
            self._index.refresh()
            self._looked = monotonic()
        with self._lock:
            own = {shot: dict(pictures) for shot, pictures in self._own.items()}
        for shot, line in self._lines.items():
            if shot not in self._stops:
                stop = self._index.lines.stop_of(line, self._since.get(shot), own.get(shot, {}))
                if stop:
                    self._stops[shot] = stop
                    on_stop()
        return self._stops
