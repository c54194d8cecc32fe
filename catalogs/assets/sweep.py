"""Leftovers: bytes that no commit names, listed first and deleted after a grace."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from catalogs.assets.commits import READERS, named_keys
from catalogs.assets.quarantine import Hold
from catalogs.storage.store import MissingKey, Store

FOLDERS = ("assets", "renders", "thumbs")


@dataclass(frozen=True)
class Leftover:
    """One key no commit names.

    Attributes:
        bytes: its size.
        modified: when it was written.
    """

    key: str
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class Bounds:
    """What may be a leftover at all.

    Attributes:
        before: only what was written earlier; later bytes may wait for their commit.
        kept_renders: render fingerprints whose masters stay, committed or not.
        hold: what stays for the sake of commits that cannot be read.
    """

    before: datetime
    kept_renders: frozenset[str] = frozenset()
    hold: Hold = field(default_factory=Hold)

    def allow(self, key: str, modified: datetime) -> bool:
        folder, name = posixpath.split(key)
        kept = folder.startswith("renders/") and name.partition(".")[0] in self.kept_renders
        return modified < self.before and not kept


def leftovers(store: Store, bounds: Bounds) -> list[Leftover]:
    """What no commit names, within bounds but for their hold; temporary files of killed writers among it.

    Raises:
        UnreadCommit: what a commit names cannot be known.
    """
    # Listed before the commits are read: what is committed in between is seen as named.
    found = [
        Leftover(key, entry.size, entry.modified)
        for folder in FOLDERS
        for key, entry in store.list(folder).items()
        if bounds.allow(key, entry.modified)
    ]
    named = named_keys(store)
    stale = store.stale_temporaries(datetime.now(UTC) - bounds.before)
    return [item for item in found if item.key not in named] + [Leftover(key, 0, bounds.before) for key in stale]


def delete(store: Store, found: Sequence[Leftover], bounds: Bounds) -> list[Leftover]:
    """Delete leftovers that still are, and return them.

    A commit made since the listing keeps its bytes, and so does a run that wrote them again to name them soon.
    """
    named = named_keys(store)
    waiting = [item for item in found if item.key not in named]
    with ThreadPoolExecutor(READERS) as pool:
        gone = pool.map(lambda item: _delete(store, item, bounds), waiting)
        return [item for item, is_gone in zip(waiting, gone, strict=True) if is_gone]


def _delete(store: Store, item: Leftover, bounds: Bounds) -> bool:
    # One by one, right after a look at its time: a run that takes an old leftover writes it again first.
    try:
        modified = store.stat(item.key).modified
        still = bounds.allow(item.key, modified) and not bounds.hold.keeps(item.key, modified)
    except MissingKey:
        return False
    if still:
        store.delete([item.key])
    return still
