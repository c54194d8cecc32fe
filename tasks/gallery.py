"""The gallery of what a campaign has delivered."""

from __future__ import annotations

import pyarrow.compute as pc

from catalogs.assets.commits import Status, rows_of
from catalogs.assets.history import read_current
from catalogs.gallery.gallery import write_gallery
from catalogs.identity import run_key
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.storage.store import Store


def make_gallery(store: Store, campaign: str, run_id: str) -> str:
    """Write the gallery of the campaign's current assets; returns the URI of its page."""
    from inference.finishing.pixels import thumbnail_of

    order = [(name, "ascending") for name in ("brand_id", "look", "shot", "channel", "variation")]
    current = read_current(store, campaign).sort_by(order)
    shown = rows_of(current.filter(pc.not_equal(current["status"], Status.RETIRED.value)))
    details = _left_out(store, run_key(run_id, PLAN_NAME))
    return store.uri(write_gallery(store, run_id, campaign, shown, details=details, make_thumbnail=thumbnail_of))


def _left_out(store: Store, plan: str) -> dict[str, object]:
    """What the plan of this run leaves out."""
    numbers = PlanFile(store, plan).numbers if store.exists(plan) else {}
    counts = {"Catalog rows left out": numbers.get("rejected"), "Rows no right covers": numbers.get("refused")}
    return {label: f"{count}, see rejects.parquet of the run" for label, count in counts.items() if count}
