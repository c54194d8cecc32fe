"""A commit that cannot be read: what is said of it, and how it is moved aside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from catalogs.assets.commits import UnreadCommit, unread_commits
from catalogs.assets.quarantine import move_aside, rows_held
from catalogs.campaigns.campaign import Campaign
from catalogs.errors import PackshotError
from catalogs.identity import run_key
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.storage.store import MissingKey, Store
from tasks.run_summary import SUMMARY_NAME


@contextmanager
def naming(campaign: str) -> Iterator[None]:
    """Put the campaign's file into the advice of an `UnreadCommit` that the block raises."""
    try:
        yield
    except UnreadCommit as error:
        raise error.naming(campaign) from None


@dataclass(frozen=True)
class Quarantined:
    """What became of the commits of an output that cannot be read.

    Attributes:
        moved: of each that was moved aside: `commit`, `moved_to`, `problem` and what it `held`, for people.
        left: those that only a newer packshot reads.
    """

    moved: list[dict[str, str]]
    left: list[UnreadCommit]


def quarantine(campaign: Campaign, store: Store) -> Quarantined:
    """Move every commit of the output that cannot be read aside, of whatever campaign: each stops all of them.

    Runs at work are not asked: none of them can use what is moved, and whatever they commit anew is another file.

    Raises:
        StorageError: the store does not answer.
    """
    moved, left = [], []
    for error in unread_commits(store):
        if error.is_newer:
            left.append(error.naming(campaign.source))
            continue
        try:
            held = _held(store, error.key)
        except MissingKey:
            continue
        if key := move_aside(store, error, held):
            told = {"commit": store.uri(error.key), "moved_to": store.uri(key), "problem": error.problem}
            moved.append({**told, "held": held_line(held)})
    return Quarantined(moved, left)


def _held(store: Store, key: str) -> dict[str, Any]:
    """What is known of a commit's rows: by what of it can be read, and by what its start has written beside it."""
    run_id = key.split("/")[1]
    held = rows_held(store.read(key))
    try:
        plan = PlanFile(store, run_key(run_id, PLAN_NAME))
        held["run"] = {
            "campaign": plan.header.campaign,
            "planned": sum(table.num_rows for table in plan.tables(["shot"])),
        }
        summary = json.loads(store.read_or_none(run_key(run_id, SUMMARY_NAME)) or b"{}")
        held["run"]["delivered"] = summary["outcome"]["delivered"]
    except (PackshotError, ValueError, TypeError, LookupError):
        pass  # as much as is known
    return held


def held_line(held: Mapping[str, Any]) -> str:
    """What a commit held, in a few words."""
    parts = []
    if "rows" in held:
        of = ", ".join(held.get("campaign", ())) or "an unknown campaign"
        parts.append(f"{held['rows']} rows of {of}")
    if run := held.get("run"):
        made = f", delivered at its end {run['delivered']}" if "delivered" in run else ""
        parts.append(f"its run planned {run['planned']} rows of {run['campaign']}{made}")
    return "; ".join(parts) or "unknown"
