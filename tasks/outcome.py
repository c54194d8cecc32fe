"""What of a plan is delivered at this moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from shlex import quote
from typing import Any

from catalogs.assets.commits import Status, UnreadCommit, covers_hash, identity_of, pair_of
from catalogs.assets.delivered import Delivered, delivered_in
from catalogs.assets.history import Known
from catalogs.assets.starts import ordered_at
from catalogs.assets.takes import Verdict
from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.columns import Row, is_master, with_identity
from catalogs.identity import FOLDERS
from catalogs.inputs.reject_file import called, first_rejects
from catalogs.plans.decision import UNWANTED, Action, Work
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.storage.store import Store
from tasks.credentials import certificate_note
from tasks.log_lines import know

_COLUMNS = with_identity("master", "product_id", "title", "covers", "fingerprint", "action", "work", "reason")
TOLD = 10  # of what is not there, by name


@dataclass
class Outcome:
    """A plan against the asset catalog of this moment; masters are no assets and in no number.

    Attributes:
        planned: assets that the campaign wants, and may show.
        delivered: of those, what counts now is what the plan asks for, and its bytes are there as far as is known.
        rejected: of what counts now and has its bytes, what its checks reject, and no take that is better stands for.
        needs_review: of those delivered, what somebody should look at.
        missing: not made yet, or lost since.
        superseded: delivered, and replaced by what a run asked for that was started later.
        withdrawn: taken back, since a right has ended.
        to_withdraw: not taken back yet.
        retired: wanted no longer, and taken out; `unwanted` are those that are not.
        reasons: failures by reason, as last committed.
        unread: commits that could not be read; what they say is in no number, and the plan is never complete.
    """

    planned: int = 0
    delivered: int = 0
    rejected: int = 0
    needs_review: int = 0
    failed: int = 0
    missing: int = 0
    superseded: int = 0
    withdrawn: int = 0
    to_withdraw: int = 0
    retired: int = 0
    unwanted: int = 0
    unread: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        return self.delivered == self.planned and not self.to_withdraw and not self.unread

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": dict(self.reasons)}


@dataclass(frozen=True)
class Failure:
    """An asset that failed, as people know it."""

    product_id: str
    title: str
    shot: str
    channel: str
    reason: str

    def __str__(self) -> str:
        return f"{called(self.product_id, self.title)}, {self.shot} for {self.channel}: {self.reason}"


def outcome_of(
    store: Store, plan: PlanFile, unread: list[UnreadCommit] | None = None, failures: list[Failure] | None = None
) -> Outcome:
    """Compare a plan with what counts now.

    Args:
        unread: takes the commits that cannot be read, which are passed over in any case.
        failures: takes the first of what failed.
    """
    index = delivered_in(store, plan.header.campaign)
    unread = [] if unread is None else unread
    index.refresh(unread)
    outcome, planned_at = Outcome(unread=len(unread)), ordered_at(plan.header.run_id)
    for row in plan.rows(_COLUMNS):
        if is_master(row):
            continue
        if row["action"] in UNWANTED:
            _count_unwanted(outcome, index, row)
        else:
            reason = _count_wanted(outcome, index, row, planned_at)
            if reason and failures is not None and len(failures) < TOLD:
                product, title = row["product_id"] or row["look"], row["title"] or ""
                failures.append(Failure(product, title, row["shot"], row["channel"], reason))
    return outcome


def _count_unwanted(outcome: Outcome, index: Delivered, row: Row) -> None:
    current = index.current(identity_of(row).digest())
    stands = current is not None and current[1].stands and current[0].hex() == row["fingerprint"]
    if row["action"] == Action.WITHDRAW:
        outcome.to_withdraw += stands
        outcome.withdrawn += not stands
    else:
        outcome.unwanted += stands
        outcome.retired += not stands


def _count_wanted(outcome: Outcome, index: Delivered, row: Row, planned_at: datetime) -> str | None:
    """Count an asset; why it failed, None for one that did not."""
    digest, fingerprint = pair_of(row)
    known, current = index.known(digest, fingerprint), index.current(digest)
    is_current = current is not None and current[0] == fingerprint
    # One that was withdrawn before the plan was made is wanted again: its right was renewed.
    if known and is_current and known.status == Status.WITHDRAWN and known.order[0] >= planned_at:
        outcome.withdrawn += 1
        return None
    outcome.planned += 1
    if known and is_current and known.is_delivered and known.covers == covers_hash(row["covers"]):
        is_rejected = known.verdict == Verdict.REJECTED
        outcome.rejected += is_rejected
        outcome.delivered += not is_rejected
        outcome.needs_review += known.verdict == Verdict.NEEDS_REVIEW
    elif known and known.has_bytes and not is_current:
        outcome.superseded += 1
    elif reason := _reason(known, row):
        outcome.failed += 1
        outcome.reasons[reason] += 1
        return reason
    else:
        outcome.missing += 1
    return None


def _reason(known: Known | None, row: Row) -> str | None:
    """Why there is no such asset: as the record says, else as the plan does of what it does nothing about."""
    recorded = known.reason if known and known.status == Status.FAILED else None
    return recorded or (row["reason"] if row["work"] == Work.NONE else None)


def open_campaign(path: str) -> tuple[Campaign, Store]:
    """A campaign and its output."""
    campaign = load_campaign(path)
    know(campaign=campaign.name)
    store = Store.at(campaign.output)
    store.refuse_files(FOLDERS)
    return campaign, store


def latest_run(store: Store, campaign: Campaign) -> str:
    """The newest start that has a plan of this campaign.

    Raises:
        CampaignError: nothing was planned yet.
    """
    return next(_plans(store, campaign))[0]


def _plans(store: Store, campaign: Campaign) -> Iterator[tuple[str, PlanFile]]:
    """Starts and plans of a campaign, the newest first.

    Raises:
        CampaignError: there is none.
    """
    keys = [key for key in store.list("runs") if key.endswith(f"/{PLAN_NAME}")]
    found = False
    for key in sorted(keys, reverse=True):
        plan = PlanFile(store, key)
        if plan.header.campaign == campaign.name:
            found = True
            yield key.split("/")[1], plan
    if not found:
        fix = f"run `packshot plan {quote(campaign.source)}`"
        raise campaign.problem("output", "nothing was planned here yet", fix)


def newest_outcome(path: str) -> dict[str, Any]:
    """The newest plan of a campaign against what is delivered now.

    A plan of a part (--only, --limit) says nothing of the rest: the newest whole one counts. Where there is none the
    newest part is compared, and never called complete.

    Raises:
        CampaignError: nothing was planned yet.
    """
    campaign, store = open_campaign(path)
    plans = _plans(store, campaign)
    newest = next(plans)
    whole = next((item for item in chain([newest], plans) if not item[1].header.partial), None)
    run_id, plan = whole or newest
    unread: list[UnreadCommit] = []
    failures: list[Failure] = []
    outcome = outcome_of(store, plan, unread, failures)
    rejects = first_rejects(store, run_id, TOLD)
    found = {"campaign": campaign.name, "run_id": run_id, **outcome.as_dict()}
    found["unread"] = [error.naming(campaign.source).as_dict() for error in unread]
    found["failures"] = [{**asdict(failure), "line": str(failure)} for failure in failures]
    found["left_out"] = [{**asdict(reject), "line": f"{reject.who}: {reject.reason}"} for reject in rejects]
    if note := certificate_note(plan.header):
        found["credentials"] = note
    if whole is None:
        found["part"] = "planned with --only or --limit; the whole campaign was never planned here"
    return {**found, "complete": outcome.complete and whole is not None}
