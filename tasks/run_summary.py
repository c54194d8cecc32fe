"""A run in one file: its plan, its outcome, its work, its money as the journal has it, and its speed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from catalogs.identity import run_key
from catalogs.journal.sums import entries
from catalogs.journal.view import Costs
from catalogs.storage.store import Store
from tasks.outcome import Outcome
from tasks.profile import profile_of

SUMMARY_NAME = "summary.json"


def write_summary(
    store: Store,
    run_id: str,
    plan: Mapping[str, Any],
    outcome: Outcome,
    shards: Iterable[Mapping[str, Any]] = (),
    seconds: float = 0.0,
    problems: Sequence[str] = (),
) -> dict[str, Any]:
    """Write runs/<run_id>/summary.json and return it; `details` has of each reason what was said of its first failure.

    Args:
        problems: what shards said that failed as a whole.
    """
    reports = list(shards)
    totals = {
        name: sum(report[name] for report in reports)
        for name in ("delivered", "failed", "skipped", "rendered", "adopted", "engine_seconds")
    }
    summary = {
        "run_id": run_id,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": dict(plan),
        "outcome": outcome.as_dict(),
        "complete": outcome.complete,
        "shards": len(reports),
        "problems": list(problems),
        "details": {reason: said for report in reversed(reports) for reason, said in report["details"].items()},
        "remarks": dict(sum((Counter(report["remarks"]) for report in reports), Counter())),
        "work": totals,
        "profile": profile_of(reports, seconds),
        "costs": costs_of_run(store, run_id, plan),
        "seconds": round(seconds, 3),
    }
    store.write(run_key(run_id, SUMMARY_NAME), json.dumps(summary, indent=2, default=str).encode())
    return summary


def costs_of_run(store: Store, run_id: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a run spent, from the journal: also where it was stopped or killed, and what came to nothing.

    Args:
        plan: its summary.

    Raises:
        SpendError: the journal cannot be read.
    """
    if not plan["model"].startswith("bfl/"):
        return {}
    # Nothing is paid for before the plan is written. Stores stamp to the second.
    since = store.stat(plan["plan_key"]).modified - timedelta(seconds=1)
    mine = (entry for entry in entries(store, since) if entry.intent.run_id == run_id)
    return Costs.of(mine, ("brand_id", "shot")).as_dict()
