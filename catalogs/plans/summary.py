"""A plan in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from catalogs.columns import Row, is_master
from catalogs.identity import run_key
from catalogs.inputs.reject_file import REJECTS_NAME
from catalogs.money import Micro, micro, usd
from catalogs.plans.decision import PAID_REASONS, UNWANTED, Work
from catalogs.plans.file import PLAN_NAME, PlanHeader
from catalogs.requests import Reason

COUNTED = (
    "channel",
    "master",
    "action",
    "work",
    "status",
    "reason",
    "estimated_seconds",
    "estimated_cost_low",
    "estimated_cost_high",
)
"""Columns of a plan that its numbers come from."""

NOTED = (
    "licence",
    "stages",
    "spent",
    "paid",
    "uncollected",
    "warnings",
    "products",
    "looks",
    "rejected",
    "refused",
    "not_selected",
    "unread",
    "sizes",
)
"""Numbers that the rows of a plan do not say: they are noted in its file."""


_NOT_FOR_GOOD = PAID_REASONS | {Reason.LINE_STOPPED.value}


@dataclass
class PlanSummary:
    """A plan in numbers.

    Attributes:
        assets: wanted; masters with rows of their own are none, and in no number but the next.
        masters: of those that there is work for.
        failed_before: assets that --retry-failed tries again; of lost money the warnings tell.
        renders: pictures to make; several assets may share one.
        seconds: estimated engine seconds of them, as if one machine made them all.
        servers: image servers that share them; 0 for other engines.
        cost_low: millionths of a USD; USD in `as_dict`, as `cost_high` is.
        spent: USD that count towards the campaign's budget, of all runs.
        paid: pictures paid for already that this plan only collects.
        uncollected: paid pictures of the campaign that no commit names yet, whether this plan wants them or not.
        held: why nothing is bought of it, "" where that is allowed: only what costs nothing more is done.
        warnings: lines for people.
        near_limits: those of the warnings that tell of a month's limit which is nearly reached.
        rejected: catalog rows left out for a mistake in them.
        refused: product rows none of whose assets a right covers.
        not_selected: product rows that the campaign's selection leaves aside.
        unread: commits that could not be read, each with its `problem` and `fix`: what they delivered counts as not
            made, and nothing is retired or withdrawn.
        sizes: where the campaign says `megapixels`: all renders it wants, made or not, and their estimated seconds,
            with it and with a size a channel; see `ComparedSizes.noted`.
    """

    run_id: str
    campaign: str
    output: str
    kind: str
    model: str
    model_revision: str
    licence: str
    assets: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    masters: int = 0
    failed_before: int = 0
    renders: int = 0
    seconds: float = 0.0
    servers: int = 0
    cost_low: Micro = 0
    cost_high: Micro = 0
    spent: float = 0.0
    paid: int = 0
    uncollected: int = 0
    held: str = ""
    warnings: list[str] = field(default_factory=list)
    near_limits: list[str] = field(default_factory=list)
    products: int = 0
    looks: int = 0
    rejected: int = 0
    refused: int = 0
    not_selected: int = 0
    unread: list[dict[str, str]] = field(default_factory=list)
    sizes: dict[str, Any] = field(default_factory=dict)
    stages: int = 0
    plan_key: str = ""
    rejects_key: str = ""

    @classmethod
    def of(cls, header: PlanHeader, **known: Any) -> Self:
        """The numbers of a plan before its rows are counted."""
        return cls(
            run_id=header.run_id,
            campaign=header.campaign,
            output=header.output,
            kind=header.kind,
            model=header.model,
            model_revision=header.model_revision,
            servers=len(header.server.get("addresses", ())),
            plan_key=run_key(header.run_id, PLAN_NAME),
            rejects_key=run_key(header.run_id, REJECTS_NAME),
            **known,
        )

    def count(self, rows: Iterable[Row]) -> None:
        """Add plan rows to the numbers."""
        for row in rows:
            if is_master(row):
                self.masters += row["work"] != Work.NONE
            else:
                self.actions[row["action"]] += 1
                self.work[row["work"]] += 1
            if row["action"] in UNWANTED:
                continue
            self.assets += not is_master(row)
            is_given_up = row["status"] == "failed" and row["reason"] not in _NOT_FOR_GOOD
            self.failed_before += is_given_up and not is_master(row)
            self.renders += row["estimated_seconds"] > 0 or row["estimated_cost_high"] > 0
            self.seconds += row["estimated_seconds"]
            self.cost_low += micro(row["estimated_cost_low"])
            self.cost_high += micro(row["estimated_cost_high"])

    @property
    def has_free_work(self) -> bool:
        """Whether something is to be done that costs nothing more."""
        return bool(self.paid or self.uncollected or self.work[Work.FINISH] or self.work[Work.COMMIT])

    def as_dict(self) -> dict[str, Any]:
        costs = {"cost_low": usd(self.cost_low), "cost_high": usd(self.cost_high)}
        return {**asdict(self), **costs, "actions": dict(self.actions), "work": dict(self.work)}
