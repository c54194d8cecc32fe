"""The one seam of all formats: who reads a table, told by its header."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from catalogs.imports import magento, merchant, shopify, woocommerce
from catalogs.imports.exports import Found, Line
from catalogs.imports.mapped import NAME as MAPPED
from catalogs.imports.mapped import ColumnMap


def _none(line: Line) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True)
class Format:
    """How the lines of one kind of export become items.

    Attributes:
        name: for people.
        product_of: the name under which all lines of one product meet.
        items: of the lines of one product; each line comes back as exactly one thing found.
        others: further names under which lines of the line's product may stand.
    """

    name: str
    product_of: Callable[[Line], str]
    items: Callable[[Sequence[Line]], Iterable[Found]]
    others: Callable[[Line], Iterator[str]] = _none


SHOPIFY = Format(shopify.NAME, shopify.product_of, shopify.items)
WOOCOMMERCE = Format(woocommerce.NAME, woocommerce.product_of, woocommerce.items, woocommerce.others)
MERCHANT = Format(merchant.NAME, merchant.product_of, merchant.items)
MAGENTO = Format(magento.NAME, magento.product_of, magento.items, magento.others)


def mapped(columns: ColumnMap) -> Format:
    """Any table by a map."""
    return Format(MAPPED, columns.product_of, columns.items)


def recognised(header: Sequence[str]) -> Format | None:
    """The format whose columns a header has; None for none."""
    names = set(header)
    plain = {merchant.plain(name) for name in header}
    if shopify.has(header):
        return SHOPIFY
    if names.issuperset(woocommerce.WANTED):
        return WOOCOMMERCE
    if any(names.issuperset(wanted) for wanted in (magento.WANTED, magento.SAMPLE)) or names == set(magento.PICTURES):
        return MAGENTO
    return MERCHANT if plain.issuperset(merchant.WANTED) else None
