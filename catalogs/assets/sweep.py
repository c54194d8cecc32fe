"""Leftovers: bytes that no commit names, listed first and deleted after a grace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from catalogs.assets.commits import named_content
from catalogs.assets.masters import SWEEP_GRACE
from catalogs.identity import thumbnail_key
from catalogs.storage.store import Store

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


def leftovers(store: Store, grace: timedelta = SWEEP_GRACE) -> list[Leftover]:
    """Leftovers older than the grace, which is there for runs that have stored and not committed yet."""
    limit = datetime.now(UTC) - grace
    # Listed before the commits are read: what is committed in between is seen as named.
    found = [
        Leftover(key, entry.size, entry.modified)
        for folder in FOLDERS
        for key, entry in store.list(folder).items()
        if entry.modified < limit
    ]
    named = _named(store)
    stale = [Leftover(key, 0, limit) for key in store.stale_temporaries(grace)]
    return [item for item in found if item.key not in named] + stale


def delete(store: Store, found: Iterable[Leftover]) -> list[Leftover]:
    """Delete leftovers that still are; a commit made since the listing keeps its bytes. Returns them."""
    named = _named(store)
    still = [item for item in found if item.key not in named]
    store.delete(item.key for item in still)
    return still


def _named(store: Store) -> set[str]:
    """Keys of assets, masters, their records and thumbnails that any commit names, current or not."""
    named: set[str] = set()
    for asset_key, render_key, sha256 in named_content(store):
        if asset_key:
            named.add(asset_key)
            named.add(thumbnail_key(sha256))
        if render_key:
            named.update((render_key, render_key.removesuffix(".png") + ".json"))
    return named
