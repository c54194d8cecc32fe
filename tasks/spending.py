"""What a campaign has spent: the view of its journal, what of the budget is left, and what the account tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import SpendError
from catalogs.journal.book import Hold, live_holds
from catalogs.journal.credits import Reading, read_credits, settle
from catalogs.journal.sums import Entry, entries
from catalogs.journal.view import table_of
from catalogs.money import Micro, micro, micro_down, usd
from catalogs.storage.store import Store, write_uri

SUMS = ("run_id", "brand_id", "shot", "model", "day")
"""Columns of the view that sums are told by."""
_OTHERS_SPENT = "others spent from the account between two looks at it, or it was filled up"
_OTHER_CAMPAIGNS = "other campaigns of the output have such submits of the same time"
_SEVERAL = "runs of several accounts looked at what they hold"
_NEVER = "no run could look at what the account holds"
_NOT_YET = "no run has looked at the account both before and after; the next one does"


@dataclass(frozen=True)
class Sum:
    """What the attempts with one value of a column come to."""

    value: str
    attempts: int
    paid: Micro
    possible: Micro


@dataclass(frozen=True)
class Told:
    """What an account tells of submits of unknown fate.

    Attributes:
        known: what those may have cost whose fate it tells.
        billed: what they did.
        unknown: what the others may have cost, by why nothing is told of them.
    """

    known: Micro = 0
    billed: Micro = 0
    unknown: dict[str, Micro] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """In USD."""
        unknown = {why: usd(amount) for why, amount in self.unknown.items()}
        return {"possibly_billed": usd(self.known), "billed": usd(self.billed), "cannot_be_told": unknown}


@dataclass(frozen=True)
class Spending:
    """The money of a campaign, or of all campaigns of its output where they share a budget.

    Attributes:
        view: a row an attempt, see `catalogs.journal.view`.
        sums: by column of `SUMS`.
        limit: None without one.
        holds: what each live run has set aside and not spent yet; `unread` says why that cannot be told, if so.
    """

    campaign: str
    scope: str
    view: pa.Table
    paid: Micro
    possible: Micro
    sums: dict[str, list[Sum]]
    limit: Micro | None
    holds: list[tuple[Hold, Micro]]
    told: Told
    unread: str = ""

    @property
    def left(self) -> Micro | None:
        """What of the limit is neither spent nor set aside; below 0 where prices were higher than expected."""
        if self.limit is None:
            return None
        return self.limit - self.paid - self.possible - sum(amount for _, amount in self.holds)

    def as_dict(self) -> dict[str, Any]:
        """In USD."""
        holds = [
            {"run_id": hold.run_id, "host": hold.host, "pid": hold.pid, "set_aside": usd(amount)}
            for hold, amount in self.holds
        ]
        return {
            "campaign": self.campaign,
            "scope": self.scope,
            "attempts": self.view.num_rows,
            "paid": usd(self.paid),
            "possibly_billed": usd(self.possible),
            "account": self.told.as_dict(),
            "max_cost": None if self.limit is None else usd(self.limit),
            "left": None if self.left is None else usd(self.left),
            "holds": holds,
            "holds_unread": self.unread,
            **{f"by_{column.removesuffix('_id')}": list(map(_as_dict, sums)) for column, sums in self.sums.items()},
        }


def _as_dict(one: Sum) -> dict[str, Any]:
    value = {"value": one.value, "attempts": one.attempts}
    return {**value, "paid": usd(one.paid), "possibly_billed": usd(one.possible)}


def read_spending(campaign: Campaign, store: Store) -> Spending:
    """What the journal of a campaign's output says; writes nothing.

    Raises:
        SpendError: a record cannot be read: what was spent cannot be known.
    """
    budget = campaign.budget
    # The holds first: what is spent of them meanwhile is then counted as spent, and not as left.
    holds, unread = _holds(store)
    holds = [hold for hold in holds if budget.scope == "output" or hold.campaign == campaign.name]
    everything = list(entries(store))
    mine = [entry for entry in everything if budget.scope == "output" or entry.intent.campaign == campaign.name]
    view = table_of(mine)
    return Spending(
        campaign=campaign.name,
        scope=budget.scope,
        view=view,
        paid=sum(entry.paid for entry in mine),
        possible=sum(entry.possible for entry in mine),
        sums={column: list(_sums(view, column)) for column in SUMS},
        limit=None if budget.max_cost is None else micro_down(budget.max_cost),
        holds=[(hold, _unspent(hold, mine)) for hold in holds],
        told=_told(mine, everything, store),
        unread=unread,
    )


def _holds(store: Store) -> tuple[list[Hold], str]:
    try:
        return live_holds(store), ""
    except SpendError as error:  # what was spent stands in the journal all the same
        return [], str(error)


def write_view(spending: Spending, path: str) -> None:
    """Write the view as Parquet, to a local path or a store."""
    sink = pa.BufferOutputStream()
    pq.write_table(spending.view, sink, compression="zstd")
    write_uri(path, sink.getvalue().to_pybytes())


def _sums(view: pa.Table, column: str) -> Iterator[Sum]:
    """Dearest first; runs and days newest first."""
    grouped = view.group_by(column).aggregate([("paid", "sum"), ("possibly_billed", "sum"), ([], "count_all")])
    found = [
        Sum(str(row[column]), row["count_all"], micro(row["paid_sum"]), micro(row["possibly_billed_sum"]))
        for row in grouped.to_pylist()
    ]
    found.sort(key=lambda one: one.value, reverse=column in ("run_id", "day"))
    if column not in ("run_id", "day"):
        found.sort(key=lambda one: one.paid + one.possible, reverse=True)
    yield from (one for one in found if one.paid or one.possible)


def _unspent(hold: Hold, mine: Iterable[Entry]) -> Micro:
    spent = sum(entry.paid + entry.possible for entry in mine if entry.intent.hold == hold.id)
    return max(0, hold.amount - spent)


def _told(mine: Sequence[Entry], everything: Sequence[Entry], store: Store) -> Told:
    """What the account tells of the submits of unknown fate among `mine`; it pays for all of the output."""
    unsettled = [entry for entry in mine if entry.possible]
    if not unsettled:
        return Told()
    readings = read_credits(store)
    known, billed, unknown = 0, 0, dict[str, Micro]()
    for gap in settle(everything, readings):
        inside = [entry for entry in unsettled if gap.since < entry.at < gap.until]
        unsettled = [entry for entry in unsettled if not gap.since < entry.at < gap.until]
        possible = sum(entry.possible for entry in inside)
        # Of a part of them it can be said only that all were billed, or none.
        if gap.billed is not None and (possible == gap.possible or gap.billed in (0, gap.possible)):
            known, billed = known + possible, billed + min(gap.billed, possible)
        elif possible:
            _add(unknown, _OTHERS_SPENT if gap.billed is None else _OTHER_CAMPAIGNS, possible)
    _add(unknown, _why_not(readings), sum(entry.possible for entry in unsettled))
    return Told(known, billed, unknown)


def _add(unknown: dict[str, Micro], why: str, amount: Micro) -> None:
    if amount:
        unknown[why] = unknown.get(why, 0) + amount


def _why_not(readings: Sequence[Reading]) -> str:
    if not readings:
        return _NEVER
    return _SEVERAL if len({reading.account for reading in readings}) > 1 else _NOT_YET
