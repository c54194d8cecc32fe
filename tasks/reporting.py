"""After the work: is every planned asset delivered, the summary file, the gallery."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from catalogs.assets.delivered import delivered_in
from catalogs.assets.history import read_current
from catalogs.assets.records import Status, identity_of
from catalogs.campaigns.campaign import Campaign
from catalogs.gallery.gallery import write_gallery
from catalogs.plans.plan import Action, PlanFile
from catalogs.storage.store import Store
from tasks.profile import profile_of

_STATUS_COLUMNS = [
    "campaign",
    "kind",
    "brand_id",
    "look",
    "shot",
    "channel",
    "variation",
    "fingerprint",
    "action",
    "status",
    "reason",
    "final",
]


@dataclass
class Outcome:
    """A plan against the asset catalog of this moment.

    Attributes:
        planned: assets that the campaign wants.
        reasons: failures by reason, as last committed.
    """

    planned: int = 0
    delivered: int = 0
    failed: int = 0
    missing: int = 0
    retired: int = 0
    withdraw: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        return self.delivered == self.planned

    def as_dict(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "delivered": self.delivered,
            "failed": self.failed,
            "missing": self.missing,
            "retired": self.retired,
            "withdraw": self.withdraw,
            "reasons": dict(self.reasons),
        }


def outcome_of(store: Store, plan: PlanFile) -> Outcome:
    """Compare a plan with what is delivered now."""
    index = delivered_in(store)
    index.refresh()
    failures = index.failures
    outcome = Outcome()
    for table in plan.tables(_STATUS_COLUMNS):
        for row in table.to_pylist():
            if row["action"] in (Action.RETIRED, Action.WITHDRAW):
                outcome.retired += row["action"] == Action.RETIRED
                outcome.withdraw += row["action"] == Action.WITHDRAW
                continue
            outcome.planned += 1
            digest = identity_of(row).digest()
            if index.has(digest, row["fingerprint"]):
                outcome.delivered += 1
            elif reason := failures.get(digest + bytes.fromhex(row["fingerprint"])):
                outcome.failed += 1
                outcome.reasons[reason] += 1
            else:
                outcome.missing += 1
    return outcome


def write_summary(
    store: Store,
    run_id: str,
    plan: Mapping[str, Any],
    outcome: Outcome,
    shards: Iterable[Mapping[str, Any]] = (),
    seconds: float = 0.0,
) -> dict[str, Any]:
    """Write runs/<run_id>/summary.json and return it."""
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
        "work": totals,
        "profile": profile_of(reports, seconds),
        "costs": _costs(reports),
        "seconds": round(seconds, 3),
    }
    store.write(f"runs/{run_id}/summary.json", json.dumps(summary, indent=2, default=str).encode())
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


def make_report(store: Store, campaign: str, run_id: str) -> str:
    """Write the gallery of the campaign's current assets; returns the URI of its page."""
    from inference.finishing.pixels import thumbnail_of

    order = [(name, "ascending") for name in ("brand_id", "look", "shot", "channel", "variation")]
    table = read_current(store, campaign).sort_by(order)
    rows = (row for batch in table.to_batches(max_chunksize=1000) for row in batch.to_pylist())
    shown = (row for row in rows if row["status"] != Status.RETIRED)
    key = write_gallery(store, run_id, campaign, shown, make_thumbnail=thumbnail_of)
    return store.uri(key)


def latest_run(store: Store, campaign: Campaign) -> str:
    """The newest start that has a plan of this campaign.

    Raises:
        CampaignError: nothing was planned yet.
    """
    keys = [key for key in store.list("runs") if key.endswith("/plan.parquet")]
    for key in sorted(keys, reverse=True):
        if PlanFile(store, key).header.campaign == campaign.name:
            return key.split("/")[1]
    raise campaign.problem("output", "nothing was planned here yet", "run `packshot plan` or `packshot render`")
