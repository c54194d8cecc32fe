"""Masters in the store: their records, their leftovers, and taking a leftover into use again."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from catalogs.identity import render_key, render_prefix, render_record_key
from catalogs.storage.store import MissingKey, Store

SWEEP_GRACE = timedelta(hours=24)
# A leftover this old might be swept between its adoption and the commit: it is written again first.
REWRITE_AFTER = SWEEP_GRACE / 4
# The longest time from a store to the commit that names it. A shard is cut to two minutes of estimated work and commits
# at its end, whatever broke; hours are for estimates far too low, long --shard-seconds and a store that is away.
STORED_TO_COMMITTED = timedelta(hours=6)
# No younger leftover may be swept: adopted as it lies at its last moment, it is named so much later.
LEAST_GRACE = REWRITE_AFTER + STORED_TO_COMMITTED


@dataclass(frozen=True)
class MasterRecord:
    """What the rows of a master need to know of its making; stored beside it as JSON.

    Attributes:
        sha256: of the PNG bytes.
        pixel_sha256: of the pixels.
        seconds: engine time of this image.
        cost: USD.
        seed: the seed really used, None when it is the request's own.
        note: what was done to the picture that nobody asked for.
    """

    sha256: str
    pixel_sha256: str
    width: int
    height: int
    engine: str
    model: str
    model_revision: str
    seconds: float
    batch_size: int
    prompt_used: str = ""
    cost: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    note: str = ""

    def encode(self) -> bytes:
        said = {name: value for name, value in asdict(self).items() if name != "note" or value}
        return json.dumps(said, sort_keys=True).encode()


@dataclass(frozen=True)
class Master:
    """A stored master: its key, its bytes, its record."""

    key: str
    data: bytes
    record: MasterRecord


def store_master(store: Store, fingerprint: str, data: bytes, record: MasterRecord) -> Master:
    """Store a master. The record goes first: a master without one could not be adopted."""
    key = render_key(fingerprint, record.sha256)
    store.write(render_record_key(fingerprint, record.sha256), record.encode())
    store.write(key, data)
    return Master(key, data, record)


def read_master(store: Store, fingerprint: str, key: str) -> Master | None:
    """A master by its key; None when it is gone, or its bytes are not those its key and record name."""
    try:
        data = store.read(key)
        record = _record(store.read(posixpath.splitext(key)[0] + ".json"))
    except MissingKey:
        return None
    if record is None or hashlib.sha256(data).hexdigest() != record.sha256:
        return None
    return Master(key, data, record) if key == render_key(fingerprint, record.sha256) else None


def adopt_master(store: Store, fingerprint: str) -> Master | None:
    """A whole leftover of this render from a run that died before its commit, if there is one."""
    for key, entry in store.list_names(render_prefix(fingerprint)).items():
        if not key.endswith(".png"):
            continue
        master = read_master(store, fingerprint, key)
        if master is None:
            continue
        if datetime.now(UTC) - entry.modified > REWRITE_AFTER:
            store_master(store, fingerprint, master.data, master.record)
        return master
    return None


def _record(data: bytes) -> MasterRecord | None:
    try:
        fields: dict[str, Any] = json.loads(data)
        return MasterRecord(**fields)
    except (ValueError, TypeError):
        return None
