"""The gallery of what a campaign has delivered."""

from __future__ import annotations

from catalogs.assets.commits import Status, rows_of
from catalogs.assets.history import read_current
from catalogs.gallery.gallery import write_gallery
from catalogs.storage.store import Store


def make_gallery(store: Store, campaign: str, run_id: str) -> str:
    """Write the gallery of the campaign's current assets; returns the URI of its page."""
    from inference.finishing.pixels import thumbnail_of

    order = [(name, "ascending") for name in ("brand_id", "look", "shot", "channel", "variation")]
    rows = rows_of(read_current(store, campaign).sort_by(order))
    shown = (row for row in rows if row["status"] != Status.RETIRED)
    return store.uri(write_gallery(store, run_id, campaign, shown, make_thumbnail=thumbnail_of))
