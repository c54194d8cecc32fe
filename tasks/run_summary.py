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
        for name in ("delivered", "failed", "skipped", "rendered", "adopted", "rejected", "engine_seconds")
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
        "gallery": "",
    }
    store.write(run_key(run_id, SUMMARY_NAME), json.dumps(summary, indent=2, default=str).encode())
    return summary


def of_rounds(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of one run in one summary: plan and outcome of the last, the work, time and money of all."""
    last, *before = rounds[-1], *rounds[:-1]
    if not before:
        return last
    return {
        **last,
        "rounds": [one["run_id"] for one in rounds],
        "shards": sum(one["shards"] for one in rounds),
        "problems": list(dict.fromkeys(problem for one in rounds for problem in one["problems"])),
        "details": {reason: said for one in rounds for reason, said in one["details"].items()},
        "remarks": _added(one["remarks"] for one in rounds),
        "work": _added(one["work"] for one in rounds),
        "profile": max(rounds, key=lambda one: int(one["work"]["rendered"]))["profile"],
        "costs": _added(one["costs"] for one in rounds),
        "seconds": round(sum(one["seconds"] for one in rounds), 3),
    }


def _added(numbers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Mappings of numbers, and of mappings of them, added up name by name."""
    found: dict[str, Any] = {}
    for one in numbers:
        for name, value in one.items():
            inner = isinstance(value, Mapping)
            found[name] = _added((found.get(name, {}), value)) if inner else found.get(name, 0) + value
    return found


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
