"""What is delivered by now, kept up to date by reading only the commits that are new."""

from __future__ import annotations

import threading

from catalogs.assets.commits import UnreadCommit, commit_keys, read_commit
from catalogs.assets.history import History
from catalogs.storage.store import Store


class Delivered(History):
    """The history of one campaign, or of all, as it grows; shared by the shards of a process."""

    def __init__(self, store: Store, campaign: str | None) -> None:
        super().__init__(campaign)
        self._store = store
        self._read: set[str] = set()
        self._lock = threading.Lock()

    def refresh(self, unread: list[UnreadCommit] | None = None) -> None:
        """Read the commits that appeared since the last call.

        Nothing of ours deletes commits, but that it moves aside what cannot be read; where somebody took an output
        away, what was in it is forgotten.

        Args:
            unread: takes the commits that cannot be read, which then are passed over; else the first is raised.
        """
        with self._lock:
            keys = commit_keys(self._store)
            if not self._read.issubset(keys):
                self._clear()
                self._read.clear()
            for key in keys:
                if key in self._read:
                    continue
                try:
                    self.add(read_commit(self._store, key, self.columns))
                    self._read.add(key)
                except UnreadCommit as error:
                    if unread is None:
                        raise
                    unread.append(error)


_indexes: dict[tuple[str, str], Delivered] = {}
_indexes_lock = threading.Lock()


def delivered_in(store: Store, campaign: str) -> Delivered:
    """The index of a campaign in a store in this process."""
    with _indexes_lock:
        return _indexes.setdefault((store.root, campaign), Delivered(store, campaign))
