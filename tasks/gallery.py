"""The gallery of what a campaign has delivered."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import Status, UnreadCommit, rows_of
from catalogs.assets.history import read_current
from catalogs.gallery.gallery import write_gallery
from catalogs.identity import run_key
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.storage.store import Store


def make_gallery(store: Store, campaign: str, run_id: str, unread: list[UnreadCommit] | None = None) -> str:
    """Write the gallery of the campaign's current assets; returns the URI of its page.

    Args:
        unread: takes the commits that cannot be read, which are passed over in any case; the page says how many.
    """
    from inference.finishing.pixels import thumbnail_of

    order = [(name, "ascending") for name in ("brand_id", "look", "shot", "channel", "variation")]
    unread = [] if unread is None else unread
    current = _sorted(read_current(store, campaign, unread=unread), order)
    shown = rows_of(current.filter(pc.not_equal(current["status"], Status.RETIRED.value)))
    details = _left_out(store, run_key(run_id, PLAN_NAME))
    if unread:
        details["Commits that could not be read"] = f"{len(unread)}: what they delivered is not shown"
    return store.uri(write_gallery(store, run_id, campaign, shown, details=details, make_thumbnail=thumbnail_of))


def _sorted(table: pa.Table, order: list[tuple[str, str]]) -> pa.Table:
    # `Table.sort_by` sorts in Arrow's own threads, which must hold nothing of ours at the end: see `decode_commit`.
    return table.take(pc.sort_indices(table, sort_keys=order))


def _left_out(store: Store, plan: str) -> dict[str, object]:
    """What the plan of this run leaves out."""
    numbers = PlanFile(store, plan).numbers if store.exists(plan) else {}
    counts = {"Catalog rows left out": numbers.get("rejected"), "Rows no right covers": numbers.get("refused")}
    return {label: f"{count}, see rejects.parquet of the run" for label, count in counts.items() if count}
