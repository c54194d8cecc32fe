"""Nights on which nothing is new: their plans say what the one before said, and are not kept a second time."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from catalogs.errors import CampaignError
from catalogs.identity import run_key
from catalogs.inputs.reject_file import REJECTS_NAME
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.storage.store import Store

STARTS_LOOKED_AT = 100
"""How many starts back; whoever finds none keeps a plan again, which the next ones find."""


def plan_before(store: Store, folder: Path) -> str | None:
    """The key of the newest plan of a campaign, where it says the same as one that was just made.

    Args:
        folder: of the plan that was made, and of the rows that it leaves out.
    """
    made = PlanFile(Store.at(str(folder)), PLAN_NAME)
    owner = made.header.campaign, made.header.kind
    for start in sorted(store.folders("runs"), reverse=True)[:STARTS_LOOKED_AT]:
        try:
            found = PlanFile(store, run_key(start, PLAN_NAME))
            if (found.header.campaign, found.header.kind) != owner:
                continue
            same = _rejects(folder) == store.read_or_none(run_key(start, REJECTS_NAME)) and made.says_the_same(found)
            return run_key(start, PLAN_NAME) if same else None
        except CampaignError:  # a start without a plan, as of a quiet night, or one that nobody can read
            continue
    return None


def _rejects(folder: Path) -> bytes | None:
    """What a plan leaves out, as it is stored: not at all where that is nothing."""
    file = folder / REJECTS_NAME
    return file.read_bytes() if pq.read_metadata(file).num_rows else None


def keys_of(plan: str) -> dict[str, str]:
    """What a summary names where its plan is that of another start."""
    start = plan.rpartition("/")[0]
    return {"plan_key": plan, "rejects_key": f"{start}/{REJECTS_NAME}"}
