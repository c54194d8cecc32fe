"""What an output holds while nobody is at work there, told from its files and commits alone."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from catalogs.assets.commits import Status, Step
from catalogs.columns import IDENTITY
from catalogs.storage.store import Store

Pair = tuple[tuple[Any, ...], str]


@dataclass
class Held:
    """An output when nobody is at work.

    Attributes:
        keys: of assets and masters, with the time of each.
        named: keys of assets and masters that a commit names as delivered.
        whole: masters that are whole, by render fingerprint.
        torn: masters that are not what their key says.
        bare: masters without their record, as a sweep that is killed while it deletes may leave them.
        delivered: how often a render's commit calls an (identity, fingerprint) delivered.
        missing: how often a look called it missing.
        files: the keys that commits name of it.
    """

    keys: dict[str, float] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    whole: dict[str, str] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    delivered: Counter[Pair] = field(default_factory=Counter)
    missing: Counter[Pair] = field(default_factory=Counter)
    files: dict[Pair, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, store: Store, read: dict[str, Any]) -> Held:
        """What a store holds; `read` remembers what was read before, by key and tag."""
        held = cls()
        held._read_commits(store, read)
        found = {**store.list("assets"), **store.list("renders")}
        held.keys = {key: entry.modified.timestamp() for key, entry in found.items()}
        for key in (key for key in found if key.startswith("renders/") and key.endswith(".png")):
            fingerprint, content = key.split("/")[-1].split(".")[:2]
            tagged = f"{key} {found[key].tag}"
            if tagged not in read:
                read[tagged] = hashlib.sha256(store.read(key)).hexdigest()[:12]
            if read[tagged] != content:
                held.torn.append(key)
            elif key.removesuffix("png") + "json" in found:
                held.whole[fingerprint] = key
            else:
                held.bare.append(key)
        return held

    def _read_commits(self, store: Store, read: dict[str, Any]) -> None:
        for key in store.list("catalog"):
            if key not in read:
                read[key] = pq.read_table(io.BytesIO(store.read(key))).to_pylist()
            for row in read[key]:
                pair = (tuple(row[name] for name in IDENTITY), row["fingerprint"])
                if row["status"] == Status.MISSING:
                    self.missing[pair] += 1
                elif row["status"] == Status.DELIVERED:
                    self.delivered[pair] += row["step"] == Step.RENDER
                    self.files[pair].add(row["asset_key"])
                    self.named |= {key for key in (row["asset_key"], row["render_key"]) if key}

    @property
    def uncommitted(self) -> set[str]:
        """Keys of assets and masters that no commit names."""
        return {key for key in self.keys if not key.endswith(".json") and key not in self.named}

    def lost(self, taken: Iterable[str]) -> set[str]:
        """What the record names and is not there, but for what somebody took away."""
        return self.named - self.keys.keys() - set(taken)

    def twice(self) -> list[Pair]:
        """Pairs that renders delivered more often than they were found missing and once, or as two files."""
        often = [pair for pair, count in self.delivered.items() if count > 1 + self.missing[pair]]
        return [*often, *(pair for pair, files in self.files.items() if len(files) > 1)]
