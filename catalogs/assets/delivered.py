"""What is delivered by now, kept up to date by reading only the commits that are new."""

from __future__ import annotations

import threading

from catalogs.assets.commits import Status, commit_keys, identity_of, read_commit
from catalogs.columns import with_identity
from catalogs.storage.store import Store

_COLUMNS = with_identity("status", "reason", "fingerprint", "render_key", "render_fingerprint")


class Delivered:
    """Delivered (identity, fingerprint) pairs and masters of one store; shared by the shards of a process.

    Attributes:
        failures: reason of the pairs that failed, whether or not they were delivered later.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: set[str] = set()
        self._pairs: set[bytes] = set()
        self._masters: dict[bytes, str] = {}
        self.failures: dict[bytes, str] = {}
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read the commits that appeared since the last call."""
        with self._lock:
            for key in commit_keys(self._store):
                if key not in self._read:
                    self._add(key)
                    self._read.add(key)

    def _add(self, key: str) -> None:
        for row in read_commit(self._store, key, _COLUMNS).to_pylist():
            pair = identity_of(row).digest() + bytes.fromhex(row["fingerprint"])
            if row["status"] == Status.DELIVERED:
                self._pairs.add(pair)
            elif row["status"] == Status.FAILED:
                self.failures[pair] = row["reason"]
            if row["render_key"]:
                self._masters[bytes.fromhex(row["render_fingerprint"])] = row["render_key"]

    def has(self, identity: bytes, fingerprint: str) -> bool:
        return identity + bytes.fromhex(fingerprint) in self._pairs

    def master(self, render_fingerprint: str) -> str | None:
        """Key of a committed master of a render."""
        return self._masters.get(bytes.fromhex(render_fingerprint))


_indexes: dict[str, Delivered] = {}
_indexes_lock = threading.Lock()


def delivered_in(store: Store) -> Delivered:
    """The index of a store in this process."""
    with _indexes_lock:
        return _indexes.setdefault(store.root, Delivered(store))
