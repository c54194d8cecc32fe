"""Rows that say again what is stored already: a known fingerprint, another cover list, a retirement, a withdrawal."""

from __future__ import annotations

from collections.abc import Mapping

from catalogs.assets.commits import ROWS_A_COMMIT, Pair, Status, Step, commit, commit_all, pair_of
from catalogs.assets.history import History, rows_at
from catalogs.assets.verification import GONE, stored_sizes
from catalogs.columns import Row, part, with_identity
from catalogs.plans.decision import Action, Work
from catalogs.plans.file import PlanFile
from catalogs.storage.store import Store

_SAID_ANEW = ("master", "product_id", "title", "covers", "upstream_references", "territory")
"""Columns that a plan knows anew of a row whose picture stays."""
_COLUMNS = (*with_identity("fingerprint", "action", "work"), *_SAID_ANEW)


def restate(store: Store, plan: PlanFile, run_id: str) -> int:
    """Commit the rows of a plan that need no pixels. Returns how many."""
    wanted = {
        pair_of(row): said_anew(row)
        for row in plan.rows(_COLUMNS)
        if row["work"] == Work.COMMIT and row["action"] != Action.WITHDRAW
    }
    return commit_again(store, plan.header.campaign, run_id, Step.RESTATE, Status.DELIVERED, wanted)


def said_anew(row: Row) -> Row:
    """What a plan's row says anew of a picture that stays; what it does not know stays as it is recorded."""
    told = part(row, _SAID_ANEW)
    if row["upstream_references"] is None:  # the look's photo could not be read
        told = part(told, ("master", "product_id", "title", "covers"))
    return told


def retire(store: Store, plan: PlanFile, run_id: str) -> int:
    """Commit a tombstone for every asset the plan found retired. Returns how many."""
    return _end(store, plan, run_id, Action.RETIRED, Step.RETIRE, Status.RETIRED)


def withdraw(store: Store, plan: PlanFile, run_id: str) -> int:
    """Commit a withdrawal of every asset the plan found without its right. Returns how many."""
    return _end(store, plan, run_id, Action.WITHDRAW, Step.WITHDRAW, Status.WITHDRAWN)


def _end(store: Store, plan: PlanFile, run_id: str, action: Action, step: Step, status: Status) -> int:
    wanted: dict[Pair, Row] = {pair_of(row): {} for row in plan.rows(_COLUMNS) if row["action"] == action}
    return commit_again(store, plan.header.campaign, run_id, step, status, wanted)


def commit_again(
    store: Store,
    campaign: str,
    run_id: str,
    step: Step,
    status: Status,
    wanted: Mapping[Pair, Row],
    is_found: bool = False,
) -> int:
    """Commit rows of the record anew, with another status and what is to be said anew of each. Returns how many.

    None is called delivered without a look at its file: what is said anew of one that is gone is kept, and that it is
    gone is said after it, in the same commit.

    Args:
        is_found: the files were looked at just now, whatever the record says.
    """
    if not wanted:
        return 0
    history = History.read(store, campaign)
    known = {pair: found for pair in wanted if (found := history.known(*pair)) and found.asset_key}
    looks = status == Status.DELIVERED and not is_found
    there = stored_sizes(store, campaign, {str(found.asset_key) for found in known.values()}) if looks else {}
    whole: list[Row] = []
    gone: list[Row] = []
    for pair, row in rows_at(store, {pair: found.order for pair, found in known.items()}):
        said: Row = {**row, "reason": None, "detail": _kept(row, status), **wanted[pair], "status": status.value}
        has_file = not looks or (known[pair].has_bytes and _is_whole(row, there))
        (whole if has_file else gone).append(said)
    commit_all(store, run_id, step, whole)
    for start in range(0, len(gone), ROWS_A_COMMIT):
        some = gone[start : start + ROWS_A_COMMIT]
        lost: list[Row] = [{**row, "detail": GONE, "status": Status.MISSING.value} for row in some]
        commit(store, run_id, step, some, then=lost)
    return len(whole) + len(gone)


def _kept(row: Row, status: Status) -> str | None:
    """What was said of a picture holds while it stands: its faults, what finishing could not do."""
    return row["detail"] if status == row["status"] == Status.DELIVERED else None


def _is_whole(row: Row, sizes: Mapping[str, int]) -> bool:
    size = sizes.get(str(row["asset_key"]))
    return size is not None and row["bytes"] in (size, None)
