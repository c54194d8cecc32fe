"""Shopify's product export: a product over many lines, the first with its texts, the others with variants and pictures.

https://help.shopify.com/en/manual/products/import-export/using-csv: the columns were renamed in 2024, and only in part
by their letters' case, which is why names are compared without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from catalogs.imports.exports import MOST_PICTURES, Found, Item, Joined, Line, Picture, code

NAME = "Shopify products"
WANTED = ("title", "option1 name", "option1 value")
HANDLES = ("handle", "url handle")
_ATTRIBUTES = ("google shopping / gender", "google shopping / age group", "tags")
_PLACES = (1, 2, 3)
_ONLY = "default title"
_GONE = frozenset({"draft", "archived"})
_OF_PRODUCT = ("title", "body (html)", "description", "vendor")
_METAFIELDS = "(product.metafields."

Cells = Mapping[str, str]


def has(header: Sequence[str]) -> bool:
    """Whether a table is such an export."""
    names = {name.lower() for name in header}
    return names.issuperset(WANTED) and not names.isdisjoint(HANDLES)


def product_of(line: Line) -> str:
    """The handle, which all lines of a product share."""
    return next((value.strip() for name, value in line.cells.items() if name.lower() in HANDLES), "")


def items(lines: Sequence[Line]) -> Iterator[Found]:
    """The variants of one product."""
    told = [{name.lower(): value.strip() for name, value in line.cells.items()} for line in lines]
    first = next((cells for cells in told if any(cells.get(name) for name in _OF_PRODUCT)), told[0])
    names = [first.get(f"option{place} name") or told[0].get(f"option{place} name", "") for place in _PLACES]
    pictures = _pictures(told)
    attributes = {name.rpartition("/ ")[2].title(): first[name] for name in _ATTRIBUTES if first.get(name)}
    attributes |= _metafields(lines[told.index(first)])
    skus = Counter(_sku(cells) for cells in told)
    handle = product_of(lines[0])
    alone = sum(any(_values(cells)) for cells in told) < 2
    for line, cells in zip(lines, told, strict=True):
        if not (any(_values(cells)) or _get(cells, "variant sku", "sku", "variant price", "price")):
            yield Joined(line)  # a further picture
            continue
        pairs = zip(names, _values(cells), strict=True)
        options = {name: value for name, value in pairs if name and value and value.lower() != _ONLY}
        # A SKU that variants share tells none of them apart; Shopify does not mind.
        sku = _sku(cells) if skus[_sku(cells)] == 1 else ""
        yield Item(
            line=line,
            product_id=sku or (handle if alone else "-".join([handle, *options.values()])),
            group=handle,
            title=first.get("title", ""),
            brand=first.get("vendor", ""),
            description=_get(first, "body (html)", "description"),
            category=_get(first, "product category", "type", "google shopping / google product category"),
            options=options,
            own_pictures=_own(cells, pictures),
            pictures=pictures,
            price=_get(cells, "variant price", "price"),
            gtin=code(_get(cells, "variant barcode", "barcode")),
            attributes=attributes,
            is_active=_is_sold(first),
        )


def _get(cells: Cells, *names: str) -> str:
    return next((value for name in names if (value := cells.get(name, ""))), "")


def _values(cells: Cells) -> list[str]:
    return [cells.get(f"option{place} value", "") for place in _PLACES]


def _sku(cells: Cells) -> str:
    return code(_get(cells, "variant sku", "sku"))


def _metafields(line: Line) -> dict[str, str]:
    """By the name before their key: `Fabric (product.metafields.custom.fabric)`."""
    return {name.partition(" (")[0]: value for name, value in line.cells.items() if _METAFIELDS in name}


def _is_sold(first: Cells) -> bool:
    published = _get(first, "published", "published on online store").lower()
    return first.get("status", "").lower() not in _GONE and published != "false"


def _pictures(told: Sequence[Cells]) -> tuple[Picture, ...]:
    """In the order of their positions."""
    found = [
        (_position(cells), place, Picture(uri, cells.get("image alt text", "")))
        for place, cells in enumerate(told)
        if (uri := _get(cells, "image src", "product image url"))
    ]
    return tuple(dict.fromkeys(picture for _, _, picture in sorted(found, key=lambda one: one[:2])))[:MOST_PICTURES]


def _position(cells: Cells) -> int:
    position = cells.get("image position", "")[:9]
    return int(position) if position.isdecimal() and position.isascii() else 10**9


def _own(cells: Cells, pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    uri = _get(cells, "variant image", "variant image url")
    return tuple(one for one in pictures if one.uri == uri)[:1] or ((Picture(uri),) if uri else ())
