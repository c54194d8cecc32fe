"""What of a plan is delivered at this moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from catalogs.assets.commits import identity_of
from catalogs.assets.delivered import delivered_in
from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.columns import with_identity
from catalogs.identity import run_key
from catalogs.plans.decision import Action
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.storage.store import Store

_COLUMNS = with_identity("fingerprint", "action")


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
        return {**asdict(self), "reasons": dict(self.reasons)}


def outcome_of(store: Store, plan: PlanFile) -> Outcome:
    """Compare a plan with what is delivered now."""
    index = delivered_in(store)
    index.refresh()
    failures = index.failures
    outcome = Outcome()
    for row in plan.rows(_COLUMNS):
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


def open_campaign(path: str) -> tuple[Campaign, Store]:
    """A campaign and its output."""
    campaign = load_campaign(path)
    return campaign, Store.at(campaign.output)


def latest_run(store: Store, campaign: Campaign) -> str:
    """The newest start that has a plan of this campaign.

    Raises:
        CampaignError: nothing was planned yet.
    """
    for run_id, _ in _plans(store, campaign):
        return run_id
    raise campaign.problem("output", "nothing was planned here yet", "run `packshot plan` or `packshot render`")


def _plans(store: Store, campaign: Campaign) -> Iterator[tuple[str, PlanFile]]:
    """Starts and plans of a campaign, the newest first."""
    keys = [key for key in store.list("runs") if key.endswith(f"/{PLAN_NAME}")]
    for key in sorted(keys, reverse=True):
        plan = PlanFile(store, key)
        if plan.header.campaign == campaign.name:
            yield key.split("/")[1], plan


def newest_outcome(path: str) -> dict[str, Any]:
    """The newest plan of a campaign against what is delivered now.

    A plan of a part (--only, --limit) says nothing of the rest: the newest whole one counts. Where there is none the
    newest part is compared, and never called complete.

    Raises:
        CampaignError: nothing was planned yet.
    """
    campaign, store = open_campaign(path)
    run_id = latest_run(store, campaign)
    whole = next(((run, plan) for run, plan in _plans(store, campaign) if not plan.header.partial), None)
    run_id, plan = whole or (run_id, PlanFile(store, run_key(run_id, PLAN_NAME)))
    outcome = outcome_of(store, plan)
    found = {"campaign": campaign.name, "run_id": run_id, **outcome.as_dict()}
    if whole is None:
        found["part"] = "planned with --only or --limit; the whole campaign was never planned here"
    return {**found, "complete": outcome.complete and whole is not None}
