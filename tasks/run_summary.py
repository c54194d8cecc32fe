"""A run in one file: its plan, its outcome, its work, its money and its speed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from catalogs.identity import run_key
from catalogs.storage.store import Store
from tasks.outcome import Outcome
from tasks.profile import profile_of


def write_summary(
    store: Store,
    run_id: str,
    plan: Mapping[str, Any],
    outcome: Outcome,
    shards: Iterable[Mapping[str, Any]] = (),
    seconds: float = 0.0,
    problems: Sequence[str] = (),
) -> dict[str, Any]:
    """Write runs/<run_id>/summary.json and return it.

    Args:
        problems: what shards said that failed as a whole.
    """
    reports = list(shards)
    totals = {
        name: sum(report[name] for report in reports)
        for name in ("delivered", "failed", "skipped", "rendered", "adopted", "engine_seconds", "cost")
    }
    summary = {
        "run_id": run_id,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": dict(plan),
        "outcome": outcome.as_dict(),
        "complete": outcome.complete,
        "shards": len(reports),
        "problems": list(problems),
        "work": totals,
        "profile": profile_of(reports, seconds),
        "costs": _costs(reports),
        "seconds": round(seconds, 3),
    }
    store.write(run_key(run_id, "summary.json"), json.dumps(summary, indent=2, default=str).encode())
    return summary


def _costs(reports: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """USD of a run by brand and by shot."""
    sums: dict[str, dict[str, float]] = {"by_brand": {}, "by_shot": {}}
    for report in reports:
        for name, cost in report["costs"].items():
            brand, _, shot = name.rpartition("/")
            for by, key in (("by_brand", brand), ("by_shot", shot)):
                sums[by][key] = round(sums[by].get(key, 0.0) + cost, 6)
    return sums
