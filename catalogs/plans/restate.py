"""Rows that say again what is stored already: another cover list, a known fingerprint, a retirement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from catalogs.assets.records import Clock, Status, commit, identity_of, read_commits
from catalogs.plans.plan import Action, PlanFile, Work
from catalogs.storage.store import Store

ROWS_A_COMMIT = 5_000
_KEYS = [
    "campaign",
    "kind",
    "brand_id",
    "look",
    "product_id",
    "covers",
    "shot",
    "channel",
    "variation",
    "fingerprint",
    "action",
    "work",
]
Row = dict[str, Any]


def restate(store: Store, plan: PlanFile, run_id: str) -> int:
    """Commit the rows of a plan that need no pixels. Returns how many."""
    wanted = {
        _pair(row): {"product_id": row["product_id"], "covers": row["covers"]}
        for row in _plan_rows(plan)
        if row["work"] == Work.COMMIT
    }
    return _commit_again(store, plan, run_id, wanted)


def retire(store: Store, plan: PlanFile, run_id: str) -> int:
    """Commit a tombstone for every asset the plan found retired. Returns how many."""
    wanted: dict[bytes, Row] = {
        _pair(row): {"status": Status.RETIRED.value} for row in _plan_rows(plan) if row["action"] == Action.RETIRED
    }
    return _commit_again(store, plan, run_id, wanted)


def _plan_rows(plan: PlanFile) -> Iterator[Row]:
    for table in plan.tables(_KEYS):
        yield from table.to_pylist()


def _pair(row: Mapping[str, Any]) -> bytes:
    return identity_of(row).digest() + bytes.fromhex(row["fingerprint"])


def _commit_again(store: Store, plan: PlanFile, run_id: str, wanted: Mapping[bytes, Row]) -> int:
    if not wanted:
        return 0
    now = Clock(plan.header.floor).now()
    rows = [
        {**row, "status": Status.DELIVERED.value, **wanted[pair], "run_id": run_id, "created_at": now}
        for pair, row in _stored_rows(store, wanted).items()
    ]
    for start in range(0, len(rows), ROWS_A_COMMIT):
        commit(store, run_id, rows[start : start + ROWS_A_COMMIT])
    return len(rows)


def _stored_rows(store: Store, wanted: Mapping[bytes, Row]) -> dict[bytes, Row]:
    """The last delivered or retired row of each wanted pair, with its whole content."""
    found: dict[bytes, Row] = {}
    for table in read_commits(store):
        for row in table.drop_columns("commit").to_pylist():
            pair = _pair(row)
            if pair not in wanted or not row["asset_key"]:
                continue
            if pair not in found or row["created_at"] > found[pair]["created_at"]:
                found[pair] = row
    return found
