"""WooCommerce's product export: a line a product, and a line a variation, which names its parent.

https://woocommerce.com/document/product-csv-importer-exporter/: `Parent` is a SKU, or `id:` and a number. The exporter
writes line breaks of texts as a backslash and an n, commas in a list's values as a backslash and a comma, and an
apostrophe before what a spreadsheet would take for a formula.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from catalogs.imports.exports import MOST_PICTURES, Code, Found, Item, Joined, Line, Picture, Refusal, code, pictures_in

NAME = "WooCommerce products"
WANTED = ("ID", "Type", "SKU", "Name", "Published", "Images")
_VARIATION = "variation"
_OFF = frozenset({"0", "-1", "false", "no", "draft"})
_ATTRIBUTE = re.compile(r"Attribute (\d+) name")
_META = "Meta: "
_GTIN = "GTIN, UPC, EAN, or ISBN"
_COMMA = re.compile(r"(?<!\\),")
_FORMULA = re.compile(r"\A'(?=[=+\-@])")


def product_of(line: Line) -> str:
    """The name of the product a line belongs to; of a variation its parent's. "" where it has none."""
    if _is_variation(line):
        parent = line.get("Parent")
        return parent if parent.startswith("id:") or not parent else f"sku:{parent}"
    if number := line.get("ID"):
        return f"id:{number}"
    return f"sku:{line.get('SKU')}" if line.get("SKU") else ""


def others(line: Line) -> Iterator[str]:
    """Other names that lines may have its product under."""
    if line.get("SKU") and line.get("ID") and not _is_variation(line):
        yield f"sku:{line.get('SKU')}"


def items(lines: Sequence[Line]) -> Iterator[Found]:
    """A product without variations, or the variations of one."""
    variations = [line for line in lines if _is_variation(line)]
    parents = [line for line in lines if not _is_variation(line)]
    if not variations:
        yield from (_alone(line) for line in parents)
        return
    yield from (Joined(line) for line in parents)
    product = _product(parents[0]) if parents else None
    for line in variations:
        if product is None:
            problem = f"is a variation of {line.get('Parent') or 'no product'}, which the export does not hold"
            yield Refusal(line, Code.NO_PARENT, f"{problem}; export the parents too")
        else:
            yield _variant(line, product)


def _is_variation(line: Line) -> bool:
    """Also of a subscription, and `variation, downloadable`."""
    return _VARIATION in line.get("Type").lower()


def _alone(line: Line) -> Found:
    kind = line.get("Type").lower()
    if kind.startswith("variable"):
        return Refusal(line, Code.NO_VARIANT, "is variable and has no variation; export the variations too")
    if kind.startswith("grouped"):  # shows others, which are sold and stand in lines of their own
        return Joined(line)
    return _product(line)


def _product(line: Line) -> Item:
    attributes = _attributes(line)
    description = " ".join(filter(None, (line.get("Description"), line.get("Short description"))))
    return Item(
        line=line,
        product_id=code(line.get("SKU", "ID")),
        group=code(line.get("SKU")) or f"id-{line.get('ID')}",
        title=_text(line.get("Name")),
        brand=_text(line.get("Brands", "Brand")) or attributes.get("Brand", ""),
        description=_text(description),
        category=_category(line.get("Categories")),
        pictures=_pictures(line),
        price=line.get("Regular price"),
        gtin=code(line.get(_GTIN)),
        attributes=attributes | _metas(line),
        is_active=_is_sold(line),
    )


def _variant(line: Line, product: Item) -> Item:
    """A variation, of which the export says only what it has of its own."""
    sku = line.get("SKU")
    return replace(
        product,
        line=line,
        product_id=code(line.get("ID") if sku == product.line.get("SKU") else sku or line.get("ID")),
        title=product.title or _text(line.get("Name")),
        options=_attributes(line),
        own_pictures=_pictures(line),
        price=line.get("Regular price") or product.price,
        gtin=code(line.get(_GTIN)),
        is_active=product.is_active and _is_sold(line),
    )


def _is_sold(line: Line) -> bool:
    return line.get("Published").lower() not in _OFF


def _text(cell: str) -> str:
    return _FORMULA.sub("", cell).replace("\\n", "\n")


def _attributes(line: Line) -> dict[str, str]:
    """Named and valued in columns that are numbered."""
    found = {}
    for column in line.cells:
        if (values := _values_of(column)) and (value := line.get(values)):
            found[_text(line.get(column)).removeprefix("pa_")] = _text(value).replace("\\,", ",")
    return {name: value for name, value in found.items() if name}


@lru_cache(maxsize=10_000)
def _values_of(column: str) -> str:
    """The column of an attribute's values beside that of its name; "" for other columns."""
    number = _ATTRIBUTE.fullmatch(column)
    return f"Attribute {number[1]} value(s)" if number else ""


def _metas(line: Line) -> dict[str, str]:
    """Fields of a shop's own; those that begin with an underscore are of plugins."""
    named = ((name.removeprefix(_META), value) for name, value in line.cells.items() if name.startswith(_META))
    return {name: _text(value) for name, value in named if name and not name.startswith("_")}


def _category(paths: str) -> str:
    """The deepest of several: "Clothing, Clothing > Hoodies"."""
    found = [path.strip().replace("\\,", ",") for path in _COMMA.split(paths) if path.strip()]
    return max(found, key=lambda path: path.count(">"), default="")


def _pictures(line: Line) -> tuple[Picture, ...]:
    return pictures_in(line.get("Images"))[:MOST_PICTURES]
