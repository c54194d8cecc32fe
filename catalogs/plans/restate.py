"""Rows that say again what is stored already: another cover list, a known fingerprint, a retirement."""

from __future__ import annotations

from collections.abc import Mapping

from catalogs.assets.commits import Clock, Status, commit, identity_of, read_commits
from catalogs.columns import Row, with_identity
from catalogs.plans.decision import Action, Work
from catalogs.plans.file import PlanFile
from catalogs.storage.store import Store

ROWS_A_COMMIT = 5_000
_COLUMNS = with_identity("product_id", "covers", "fingerprint", "action", "work")


def restate(store: Store, plan: PlanFile, run_id: str) -> int:
    """Commit the rows of a plan that need no pixels. Returns how many."""
    wanted: dict[bytes, Row] = {
        _pair(row): {"product_id": row["product_id"], "covers": row["covers"]}
        for row in plan.rows(_COLUMNS)
        if row["work"] == Work.COMMIT
    }
    return _commit_again(store, plan, run_id, wanted)


def retire(store: Store, plan: PlanFile, run_id: str) -> int:
    """Commit a tombstone for every asset the plan found retired. Returns how many."""
    wanted: dict[bytes, Row] = {
        _pair(row): {"status": Status.RETIRED.value} for row in plan.rows(_COLUMNS) if row["action"] == Action.RETIRED
    }
    return _commit_again(store, plan, run_id, wanted)


def _pair(row: Row) -> bytes:
    return identity_of(row).digest() + bytes.fromhex(row["fingerprint"])


def _commit_again(store: Store, plan: PlanFile, run_id: str, wanted: Mapping[bytes, Row]) -> int:
    if not wanted:
        return 0
    now = Clock(plan.header.floor).now()
    rows: list[Row] = [
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
