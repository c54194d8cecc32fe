"""The gallery of what a campaign has delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.attempts import Attempts
from catalogs.assets.commits import Status, UnreadCommit, rows_of
from catalogs.assets.history import read_current
from catalogs.columns import ReferenceRow, Row
from catalogs.gallery.data import APART, IN_SET, WHY_APART
from catalogs.gallery.gallery import NotMade, ShowPhoto, write_gallery
from catalogs.identity import run_key
from catalogs.inputs.reject_file import rejects_of
from catalogs.plans.file import PLAN_NAME, PlanFile, PlanHeader
from catalogs.references.book import load_reference
from catalogs.requests import Reference
from catalogs.storage.store import Store
from tasks.credentials import certificate_note
from tasks.set_outliers import apart_in

ORDER = ("brand_id", "title", "look", "shot", "channel", "variation")


def make_gallery(store: Store, campaign: str, run_id: str, unread: list[UnreadCommit] | None = None) -> str:
    """Write the gallery of the campaign's current assets; returns the URI of its page.

    Args:
        unread: takes the commits that cannot be read, which are passed over in any case; the page says how many.
    """
    from inference.finishing.pixels import thumbnail_of

    unread = [] if unread is None else unread
    key = run_key(run_id, PLAN_NAME)
    plan = PlanFile(store, key) if store.exists(key) else None
    current = read_current(store, campaign, unread=unread)
    current = _sorted(_titled(current, plan))
    shown = current.filter(pc.not_equal(current["status"], Status.RETIRED.value))
    attempts = Attempts.read(store, campaign, unread) if _is_judged(current) else None
    details = _left_out(plan) if plan else {}
    if plan and (note := certificate_note(plan.header)):
        details["Credentials"] = note
    if unread:
        details["Commits that could not be read"] = f"{len(unread)}: what they delivered is not shown"
    page = write_gallery(
        store,
        run_id,
        campaign,
        _held_against_sets(shown),
        details=details,
        make_thumbnail=thumbnail_of,
        show_photo=_photos(plan.header) if plan else None,
        left_out=_not_made(store, run_id),
        attempts_of=attempts.of if attempts else None,
    )
    return store.uri(page)


def _held_against_sets(table: pa.Table) -> Iterator[Row]:
    """The rows, those that stand apart from their sets with why."""
    apart = apart_in(table)
    for place, row in enumerate(rows_of(table)):
        why = {IN_SET: APART, WHY_APART: "; ".join(apart[place])} if place in apart else {}
        yield cast(Row, {**row, **why})


def _is_judged(table: pa.Table) -> bool:
    """Whether takes are to be expected: without a verdict nothing was made again, and the record is not read for it."""
    return bool(pc.any(pc.is_valid(table["verdict"])).as_py() or pc.any(pc.greater(table["take"], 0)).as_py())


def _sorted(table: pa.Table) -> pa.Table:
    # `Table.sort_by` sorts in Arrow's own threads, which must hold nothing of ours at the end: see `decode_commit`.
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in ORDER]))


def _titled(table: pa.Table, plan: PlanFile | None) -> pa.Table:
    """The table with the titles of the plan, as the catalog has them now; else those of the record."""
    titles: dict[tuple[str, str], str] = {}
    for row in plan.rows(("brand_id", "look", "title")) if plan else ():
        if row["title"]:
            titles[row["brand_id"], row["look"]] = row["title"]
    columns = (table[name].to_pylist() for name in ("brand_id", "look", "title"))
    known = [titles.get((brand, look), title) for brand, look, title in zip(*columns, strict=True)]
    place = table.schema.get_field_index("title")
    return table.set_column(place, "title", pa.array(known, pa.string()))


def _photos(header: PlanHeader) -> ShowPhoto:
    """How a photo of this plan becomes a small picture."""
    from inference.finishing.pixels import thumbnail

    def show(photo: ReferenceRow) -> bytes:
        reference = Reference(photo["uri"], photo["sha256"], photo["role"], photo["width"], photo["height"])
        background, pixels = header.reference_background, header.max_reference_pixels
        return thumbnail(load_reference(reference, background, pixels, header.places))

    return show


def _not_made(store: Store, run_id: str) -> NotMade:
    """What the plan of this run leaves out, by row."""
    left_out = NotMade()
    for reject in rejects_of(store, run_id):
        where = f"{reject.file}, row {reject.row}, {reject.column}"
        row = {"title": reject.title, "product": reject.product_id, "reason": reject.reason, "where": where}
        left_out.add(reject.code, row)
    return left_out


def _left_out(plan: PlanFile) -> dict[str, object]:
    """What the plan of this run leaves out, in numbers."""
    counts = {"Catalog rows left out": "rejected", "Rows no right covers": "refused"}
    found = ((label, plan.numbers.get(name)) for label, name in counts.items())
    return {label: f"{count}, see rejects.parquet of the run" for label, count in found if count}
