"""Whether the limits of a campaign's folder allow a plan: what it needs, and what the record says of this month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.tallies import read_tallies
from catalogs.campaigns.calendar import place_of, read_calendar
from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.limits import Limit, Limits, limits_of
from catalogs.errors import CampaignError, PackshotError, nearest
from catalogs.inputs.reader import Catalog
from catalogs.journal.sums import entries
from catalogs.money import Micro, shown
from catalogs.plans.file import PlanFile
from catalogs.storage.store import Store
from tasks.run_numbers import run_facts
from tasks.statistics import rendered_facts

WARN_AT = 0.8
_FIX = "raise it, or make less with --limit or select"
_COLUMNS = ("brand_id", "estimated_seconds", "estimated_cost_high")


@dataclass
class Amounts:
    """Money and GPU time by brand; what is of no known brand is under ""."""

    usd: dict[str, Micro] = field(default_factory=dict)
    gpu_seconds: dict[str, float] = field(default_factory=dict)

    def usd_of(self, brand: str | None) -> Micro:
        """Of a brand, or of all."""
        return sum(self.usd.values()) if brand is None else self.usd.get(brand, 0)

    def hours_of(self, brand: str | None) -> float:
        """Of a brand, or of all."""
        return (sum(self.gpu_seconds.values()) if brand is None else self.gpu_seconds.get(brand, 0.0)) / 3600

    def add(self, brand: str, usd: Micro = 0, gpu_seconds: float = 0.0) -> None:
        """Count something."""
        self.usd[brand] = self.usd.get(brand, 0) + usd
        self.gpu_seconds[brand] = self.gpu_seconds.get(brand, 0.0) + gpu_seconds


@dataclass
class Judged:
    """What the limits say of a plan.

    Attributes:
        money: why it may not be paid for, None where it may.
        time: why no GPU may work for it.
        near: limits that are nearly reached.
        unknown: limits of brands that nobody has.
    """

    money: CampaignError | None = None
    time: CampaignError | None = None
    near: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """All that is to be told and refuses nothing."""
        return [*self.unknown, *self.near]


def judge(campaign: Campaign, plan: PlanFile, now: datetime | None = None) -> Judged:
    """Hold a plan against every limit that its campaign is under; one that costs nothing is always allowed.

    Raises:
        UserError: a file of limits cannot be used, or what was spent cannot be known.
    """
    judged, files = Judged(), list(limits_of(campaign.source))
    if not files:
        return judged
    planned, now = _planned(plan), now or datetime.now(UTC)
    for limits in files:
        judged.unknown += _unknown_brands(limits, planned)
        touched = [one for one in limits.all if _touches(one, planned)]
        if touched:
            spent = _spent(limits, campaign, touched, now)
            for one in touched:
                _judge(judged, limits, one, planned, spent, f"{now:%B %Y} (UTC)")
    return judged


def _unknown_brands(limits: Limits, planned: Amounts) -> list[str]:
    """A line for each limit of a brand that no catalog of the folder has: it would limit nobody, silently."""
    named = [one for one in limits.all if one.brand is not None and one.brand not in planned.gpu_seconds]
    if not named:
        return []
    campaigns = [entry.campaign for entry in read_calendar(limits.folder)]
    try:
        known = set(planned.gpu_seconds).union(*(_brands(one) for one in campaigns if one))
    except PackshotError:
        known = set()
    if not known or None in campaigns:  # what is broken is told of where it is planned; its brands are not known
        return []
    return [
        f"{limits.path}: {one.where}: no campaign of {limits.folder} has a brand {one.brand!r}: it limits nothing; "
        f"{nearest(one.brand, sorted(known))}"
        for one in named
        if one.brand is not None and one.brand not in known
    ]


def _brands(campaign: Campaign) -> set[str]:
    """The brands of a campaign's catalog, those that it does not select too."""
    catalog = Catalog.open(campaign.catalogs.brands, "brands")
    return {str(row["brand_id"]) for batch in catalog.scan({"brand_id"}) for row in batch.rows}


def _touches(limit: Limit, planned: Amounts) -> bool:
    has_money = limit.usd is not None and planned.usd_of(limit.brand) > 0
    return has_money or (limit.gpu_hours is not None and planned.hours_of(limit.brand) > 0)


def _planned(plan: PlanFile) -> Amounts:
    """What a plan may cost, by brand, at the highest prices; GPU time where a GPU of ours makes it."""
    amounts, is_local = Amounts(), plan.header.engine == "diffusers"
    for table in plan.tables(_COLUMNS):
        cost = pc.round(pc.multiply(pc.fill_null(table["estimated_cost_high"], 0.0), 1e6)).cast(pa.int64())
        made = pa.table({"brand": table["brand_id"], "cost": cost, "seconds": table["estimated_seconds"]})
        grouped = made.group_by("brand", use_threads=False).aggregate([("cost", "sum"), ("seconds", "sum")])
        for row in grouped.to_pylist():
            seconds = (row["seconds_sum"] or 0.0) if is_local else 0.0
            amounts.add(row["brand"] or "", row["cost_sum"] or 0, seconds)
    return amounts


def _spent(limits: Limits, campaign: Campaign, touched: Iterable[Limit], now: datetime) -> Amounts:
    """What the record of all outputs of the folder says of this month, what may have been billed included."""
    amounts, since = Amounts(), now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    listed = [entry.campaign.output for entry in read_calendar(limits.folder) if entry.campaign]
    outputs: Mapping[str, str] = {place_of(output): output for output in (*listed, campaign.output)}
    has_hours = any(one.gpu_hours is not None for one in touched)
    for output in outputs.values():
        store = Store.at(output)
        for entry in entries(store, since):
            amounts.add(entry.intent.purpose.brand_id, entry.paid + entry.possible)
        if has_hours:
            _add_hours(amounts, store, since)
    return amounts


def _add_hours(amounts: Amounts, store: Store, since: datetime) -> None:
    tallies = read_tallies(store)
    made_by = pc.unique(tallies.renders["run_id"]).to_pylist()
    # A summary that cannot be read does not say that a CPU made its pictures.
    _, cpu_runs = run_facts(store, None, since, made_by, [])
    facts = rendered_facts(tallies, since, cpu_runs)
    for row in facts.select(["brand", "gpu_seconds"]).to_pylist():
        amounts.add(row["brand"] or "", gpu_seconds=row["gpu_seconds"] or 0.0)


def _judge(judged: Judged, limits: Limits, limit: Limit, planned: Amounts, spent: Amounts, month: str) -> None:
    whose = f"by all campaigns of {limits.folder}" + (f" for {limit.brand}" if limit.brand else "")
    more, before = planned.usd_of(limit.brand), spent.usd_of(limit.brand)
    if limit.usd is not None and more:
        problem = (
            f"the plan may cost {shown(more)} USD after {shown(before)} USD spent in {month} {whose}, "
            f"over the limit of {shown(limit.usd)}"
        )
        near = f"{shown(before + more)} of {shown(limit.usd)} USD are spent in {month} or planned here, {whose}"
        fault = _compared(judged, limits.path, f"{limit.where}.usd", before + more, limit.usd, problem, near)
        judged.money = judged.money or fault
    hours, past = planned.hours_of(limit.brand), spent.hours_of(limit.brand)
    if limit.gpu_hours is not None and hours:
        problem = (
            f"the plan needs about {hours:.2f} GPU hours after {past:.2f} in {month} {whose}, "
            f"over the limit of {limit.gpu_hours:g}"
        )
        said = f"{past + hours:.2f} of {limit.gpu_hours:g} GPU hours"
        near = f"{said} are spent in {month} or planned here, {whose}"
        fault = _compared(judged, limits.path, f"{limit.where}.gpu_hours", past + hours, limit.gpu_hours, problem, near)
        judged.time = judged.time or fault


def _compared(
    judged: Judged, path: str, key: str, total: float, most: float, problem: str, near: str
) -> CampaignError | None:
    """What is over its limit; what comes near it is warned of."""
    if total > most:
        return CampaignError(path, key, problem, _FIX)
    if total >= WARN_AT * most:
        judged.near.append(f"{path}: {key}: {near}")
    return None
