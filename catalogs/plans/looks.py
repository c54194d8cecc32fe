"""Looks: products that share every visible property are rendered once, for all of them."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.identity import canonical_json, look_name
from catalogs.inputs.checks import CleanRow
from catalogs.plans.wanted import Member

Row = Mapping[str, Any]


@dataclass(slots=True)
class _Look:
    first: str
    products: list[str]
    digests: tuple[bytes, ...]
    where: str = field(default="")


def members(
    rows: Iterable[CleanRow],
    brands: Mapping[str, Row],
    campaign: Campaign,
    must_agree: Iterable[str],
    folder: Path,
) -> Iterator[Member]:
    """One member a look; its row is the one with the smallest product id, wherever it stands in the catalog.

    Rows wait in a file under `folder` while looks are gathered, so that memory holds ids, not rows.

    Args:
        must_agree: columns that may not differ inside a look.

    Raises:
        CampaignError: a column that templates or references read differs inside a look.
    """
    if not campaign.look_by:
        for file, number, plain in rows:
            product = plain["product_id"]
            yield Member(product, plain, brands[plain["brand_id"]], (product,), file, number)
        return
    spool = folder / "rows.pickle"
    looks = _gather(rows, campaign, sorted(set(must_agree)), spool)
    for file, number, name, row in _read(spool):
        look = looks[name]
        if look.first == row["product_id"]:
            yield Member(name, row, brands[row["brand_id"]], tuple(sorted(look.products)), file, number)
    spool.unlink()


def _gather(rows: Iterable[CleanRow], campaign: Campaign, must_agree: Sequence[str], spool: Path) -> dict[str, _Look]:
    looks: dict[str, _Look] = {}
    with spool.open("wb") as file:
        for source, number, row in rows:
            name = look_name(row["brand_id"], campaign.look_by, row)
            pickle.dump((source, number, name, row), file, protocol=pickle.HIGHEST_PROTOCOL)
            _join(looks, name, row, campaign, must_agree)
    return looks


def _join(looks: dict[str, _Look], name: str, row: Row, campaign: Campaign, must_agree: Sequence[str]) -> None:
    digests = tuple(_digest(row.get(column)) for column in must_agree)
    product = str(row["product_id"])
    look = looks.get(name)
    if look is None:
        looks[name] = _Look(product, [product], digests)
        return
    for column, before, now in zip(must_agree, look.digests, digests, strict=True):
        if before != now:
            raise campaign.problem(
                "look_by",
                f"products {look.first!r} and {product!r} are one look but differ in {column!r}, which a shot reads",
                f"add {column} to look_by, or take it out of the shots",
            )
    look.products.append(product)
    look.first = min(look.first, product)


def _digest(value: object) -> bytes:
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=8).digest()


def _read(spool: Path) -> Iterator[tuple[str, int, str, Row]]:
    with spool.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)
            except EOFError:
                return
