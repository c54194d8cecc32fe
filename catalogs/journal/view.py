"""What was spent, as a table: what is to be added up, a row an attempt, and its sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from catalogs.journal.sums import Entry
from catalogs.money import Micro, usd

_MONEY = pa.decimal128(18, 6)
VIEW = pa.schema(
    [
        ("campaign", pa.string()),
        ("run_id", pa.string()),
        ("brand_id", pa.string()),
        ("shot", pa.string()),
        ("model", pa.string()),
        ("day", pa.date32()),
        ("begun_at", pa.timestamp("us", tz="UTC")),
        ("render_fingerprint", pa.string()),
        ("attempt", pa.int32()),
        ("ending", pa.string()),
        ("paid", _MONEY),
        ("possibly_billed", _MONEY),
    ]
)
"""Columns of the view; money in USD."""


def table_of(entries: Iterable[Entry]) -> pa.Table:
    """The view of some entries."""
    return pa.Table.from_pylist([_row(entry) for entry in entries], schema=VIEW)


def _row(entry: Entry) -> dict[str, Any]:
    intent = entry.intent
    return {
        "campaign": intent.campaign,
        "run_id": intent.run_id,
        "brand_id": intent.purpose.brand_id,
        "shot": intent.purpose.shot,
        "model": intent.model,
        "day": entry.at.date(),
        "begun_at": entry.at,
        "render_fingerprint": entry.fingerprint,
        "attempt": entry.number,
        "ending": entry.ending or None,
        "paid": _decimal(entry.paid),
        "possibly_billed": _decimal(entry.possible),
    }


def _decimal(amount: Micro) -> Decimal:
    return Decimal(amount).scaleb(-6)


@dataclass
class Costs:
    """Sums of some entries.

    Attributes:
        paid: of tasks the API has taken, whatever came of them.
        possible: the most that submits of unknown fate cost beside that.
        by: `paid` and `possible` together, by column of the view and value.
    """

    paid: Micro = 0
    possible: Micro = 0
    by: dict[str, dict[str, Micro]] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry], columns: Iterable[str]) -> Costs:
        costs = cls(by={column: {} for column in columns})
        for entry in entries:
            costs._add(entry)
        return costs

    def _add(self, entry: Entry) -> None:
        self.paid += entry.paid
        self.possible += entry.possible
        amount, row = entry.paid + entry.possible, _row(entry)
        for column, sums in self.by.items() if amount else ():
            value = str(row[column])
            sums[value] = sums.get(value, 0) + amount

    def as_dict(self) -> dict[str, Any]:
        """In USD, as files and answers have it."""
        sums = {f"by_{column.removesuffix('_id')}": dict(_in_usd(sums)) for column, sums in self.by.items()}
        return {"paid": usd(self.paid), "possibly_billed": usd(self.possible), **sums}


def _in_usd(sums: dict[str, Micro]) -> Iterator[tuple[str, float]]:
    return ((value, usd(amount)) for value, amount in sorted(sums.items()))
