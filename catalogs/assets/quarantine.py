"""Commits that cannot be read, moved aside, and what a sweep keeps for their sake.

    quarantine/<run_id>/<name>.parquet    its bytes
    quarantine/<run_id>/<name>.json       when, why and what it held; while it stands, a sweep keeps what it may have
                                          named

Nothing is lost by it: what such a commit named still lies under its key, and the next render takes it into use again.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.assets.commits import CATALOG, UnreadCommit, keys_named
from catalogs.assets.shapes import OF_BAD_BYTES
from catalogs.storage.filesystems import TEMPORARY
from catalogs.storage.store import MissingKey, Store

QUARANTINE = "quarantine/"


def move_aside(store: Store, commit: UnreadCommit, held: Mapping[str, object]) -> str | None:
    """Move a commit into the quarantine: the record first, then a copy, and then the commit is deleted.

    Stopped in between, it is still there to be moved once more. One that was mended meanwhile stays where it is.

    Args:
        held: what is known of its rows, for people.

    Returns:
        The key of its copy; None where it was gone already.
    """
    try:
        data = store.read(commit.key)
        key = _key(store, commit.key, data)
        record = {
            "commit": commit.key,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "problem": commit.problem,
            "sha256": hashlib.sha256(data).hexdigest(),
            **held,
        }
        store.write(_record_key(key), json.dumps(record, indent=2, sort_keys=True).encode())
        store.write(key, data)
        if store.read(commit.key) == data:
            store.delete([commit.key])
    except MissingKey:
        return None
    return key


def _key(store: Store, commit: str, data: bytes) -> str:
    """Where a commit goes; a second one of its name beside the first."""
    key = QUARANTINE + commit.removeprefix(CATALOG)
    if store.read_or_none(key) in (None, data):
        return key
    return f"{key.removesuffix('.parquet')}.{hashlib.sha256(data).hexdigest()[:12]}.parquet"


def _record_key(key: str) -> str:
    return key.removesuffix(".parquet") + ".json"


def rows_held(data: bytes) -> dict[str, Any]:
    """What can still be read of a file that is no commit: `rows`, and as far as it has such columns, what they say.

    Returns:
        {} where nothing can be read.
    """
    held: dict[str, Any] = {}
    for name in ("campaign", "status"):
        try:
            with pq.ParquetFile(pa.BufferReader(data)) as file:
                held["rows"] = file.metadata.num_rows
                values = file.read(columns=[name], use_threads=False)[name].to_pylist()
            held[name] = dict(Counter(value for value in values if isinstance(value, str)))
        except OF_BAD_BYTES:
            continue
    return held


@dataclass(frozen=True)
class Hold:
    """What a sweep keeps for the commits in quarantine.

    Attributes:
        before: everything that was written earlier, as nobody knows what they named; None where that is known of all.
        keys: what they are known to have named.
    """

    before: datetime | None = None
    keys: frozenset[str] = frozenset()

    def keeps(self, key: str, modified: datetime) -> bool:
        """Whether a key that no commit names may have been named by one in quarantine."""
        if posixpath.basename(key).startswith(TEMPORARY):
            return False
        return key in self.keys or (self.before is not None and modified <= self.before)


def held_by_quarantine(store: Store) -> Hold:
    """What the commits in quarantine may have named."""
    stored = store.list(QUARANTINE)
    keys: set[str] = set()
    before: datetime | None = None
    for key, entry in stored.items():
        if not key.endswith(".json"):
            continue
        copy = key.removesuffix(".json") + ".parquet"
        named = keys_named(store.read(copy)) if copy in stored else None
        if named is None:
            before = max(before or entry.modified, entry.modified)
        else:
            keys |= named
    return Hold(before, frozenset(keys))


def forget_quarantined(store: Store) -> int:
    """Let sweeps take what only commits in quarantine may have named; their bytes stay. Returns how many they were."""
    records = [key for key in store.list(QUARANTINE) if key.endswith(".json")]
    store.delete(records)
    return len(records)
