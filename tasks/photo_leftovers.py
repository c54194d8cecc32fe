"""Fetched photos that nothing names any more: no URL's last record, and no plan that may yet be rendered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from catalogs.assets.sweep import Leftover
from catalogs.errors import CampaignError
from catalogs.identity import PHOTOS
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.references.fetch_records import FetchRecords
from catalogs.storage.store import Store


def photo_leftovers(store: Store, before: datetime) -> list[Leftover]:
    """Photos that may be swept; none while a file of records cannot be read.

    Args:
        before: only what was written, and replaced by other bytes of its URL, earlier: plans of before then, and runs
            that began before then, may name it.
    """
    # Listed before the records are read: what is recorded in between is seen as named.
    old = {key: entry for key, entry in store.list(PHOTOS).items() if entry.modified < before}
    if not old:
        return []
    records = FetchRecords.read(store)
    if records.unread:
        return []
    for record in records.latest.values():
        old.pop(record.key, None)
    unnamed = {key for key in old if key not in records.replaced or records.replaced[key] < before}
    if unnamed:
        planned = {sha256 for plan in _current_plans(store) for sha256 in _photos_of(plan)}
        unnamed = {key for key in unnamed if _sha256_of(key) not in planned}
    return [Leftover(key, old[key].size, old[key].modified) for key in sorted(unnamed)]


def _sha256_of(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _current_plans(store: Store) -> Iterator[PlanFile]:
    """Of each campaign the newest plan, and the newest of the whole of it."""
    told: set[str] = set()
    whole: set[str] = set()
    for run_id in sorted(store.folders("runs"), reverse=True):
        try:
            plan = PlanFile(store, f"runs/{run_id}/{PLAN_NAME}")
        except CampaignError:  # none, or one that nobody can render
            continue
        name = plan.header.campaign
        if name not in told or (name not in whole and not plan.header.partial):
            yield plan
        told.add(name)
        whole.update([] if plan.header.partial else [name])


def _photos_of(plan: PlanFile) -> Iterator[str]:
    for row in plan.rows(["references"]):
        yield from (photo["sha256"] for photo in row["references"] or ())
