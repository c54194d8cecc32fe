"""Looks: products that share every visible property are rendered once, for all of them."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import CampaignError
from catalogs.identity import canonical_json, look_name
from catalogs.inputs.checks import CleanRow
from catalogs.inputs.locales import Localised
from catalogs.plans.accounts import Rows, row_mark
from catalogs.plans.wanted import Member

Row = Mapping[str, Any]


SHOWN = 5  # columns, of those that differ


@dataclass(slots=True)
class _Conflict:
    """A column that differs inside looks: two products of the first such look, and how many rows differ in all."""

    products: tuple[str, str]
    rows: int = 0


@dataclass(slots=True)
class _Look:
    first: str
    columns: tuple[str, ...]
    digests: tuple[bytes, ...]
    products: list[str] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)


class Looks:
    """One member a look; its row is the one with the smallest product id, wherever it stands in the catalog.

    Rows wait in a file under `folder` while looks are gathered, so that memory holds ids, not rows.

    Args:
        must_agree: columns that may not differ inside a look.
        localised: in which language they are read: what is read must agree.
    """

    def __init__(
        self,
        rows: Iterable[CleanRow],
        brands: Mapping[str, Row],
        campaign: Campaign,
        must_agree: Iterable[str],
        folder: Path,
        localised: Localised | None = None,
    ) -> None:
        self._rows, self._brands, self._campaign = rows, brands, campaign
        self._must_agree, self._spool = tuple(sorted(set(must_agree))), folder / "rows.pickle"
        self._localised = localised if localised and localised.siblings else None
        self._read: dict[tuple[str, ...], tuple[str, ...]] = {}  # one of a kind: looks are many

    def __iter__(self) -> Iterator[Member]:
        """Each look once; can be asked for once.

        Raises:
            CampaignError: columns that templates or references read differ inside looks, all of them in one line.
        """
        if not self._campaign.look_by:
            for clean in self._rows:
                product = clean.row["product_id"]
                yield self._member(product, clean, (product,), row_mark(clean.file, clean.number))
            return
        looks = self._gathered()
        for name, clean in _read(self._spool):
            look = looks[name]
            if look.first == clean.row["product_id"]:
                yield self._member(name, clean, tuple(sorted(look.products)), look.rows.marks)

    def rows_of(self, names: Collection[str]) -> Iterator[tuple[str, CleanRow]]:
        """Every row of some looks that have several, in the order of the catalog."""
        if names:
            yield from ((name, clean) for name, clean in _read(self._spool) if name in names)

    def _member(self, name: str, clean: CleanRow, covers: Sequence[str], marks: int) -> Member:
        brand = self._brands[clean.row["brand_id"]]
        return Member(name, clean.row, brand, covers, clean.file, clean.number, marks)

    def _gathered(self) -> dict[str, _Look]:
        looks: dict[str, _Look] = {}
        conflicts: dict[str, _Conflict] = {}
        with self._spool.open("wb") as file:
            for clean in self._rows:
                name = look_name(clean.row["brand_id"], self._campaign.look_by, clean.row)
                pickle.dump((name, *clean), file, protocol=pickle.HIGHEST_PROTOCOL)
                self._join(looks, name, clean, conflicts)
        if conflicts:
            raise self._refused(conflicts)
        return looks

    def _join(self, looks: dict[str, _Look], name: str, clean: CleanRow, conflicts: dict[str, _Conflict]) -> None:
        product = str(clean.row["product_id"])
        columns = self._columns_read(clean.row)
        digests = tuple(_digest(clean.row.get(column)) for column in columns)
        look = looks.setdefault(name, _Look(product, columns, digests))
        for here, there, before, now in zip(columns, look.columns, look.digests, digests, strict=True):
            if before != now:
                # The nearer language of the two: that column differs, if only in being filled.
                column = max(here, there, key=len)
                conflicts.setdefault(column, _Conflict((look.first, product))).rows += 1
        look.products.append(product)
        look.first = min(look.first, product)
        look.rows.add(clean.file, clean.number)

    def _columns_read(self, row: Row) -> tuple[str, ...]:
        if self._localised is None:
            return self._must_agree
        columns = tuple(self._localised.column(row, column) for column in self._must_agree)
        return self._read.setdefault(columns, columns)

    def _refused(self, conflicts: Mapping[str, _Conflict]) -> CampaignError:
        """Every column that differs at once: found one by one, each would cost a run."""
        said = [
            f"{' and '.join(map(repr, conflict.products))} {'are one look but differ ' * (not i)}in {column!r}"
            + (f" ({conflict.rows} rows)" if conflict.rows > 1 else "")
            for i, (column, conflict) in enumerate(list(conflicts.items())[:SHOWN])
        ]
        if len(conflicts) > SHOWN:
            said.append(f"others in {len(conflicts) - SHOWN} more columns")
        names = ", ".join(list(conflicts)[:SHOWN])
        problem = f"products {', '.join(said)}, which a shot reads"
        return self._campaign.problem("look_by", problem, f"add {names} to look_by, or take it out of the shots")


def _digest(value: object) -> bytes:
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=8).digest()


def _read(spool: Path) -> Iterator[tuple[str, CleanRow]]:
    with spool.open("rb") as file:
        while True:
            try:
                name, *rest = pickle.load(file)
            except EOFError:
                return
            yield name, CleanRow(*rest)
