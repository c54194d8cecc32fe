"""What passes between a file, the format that knows what it says, and the catalog that is made of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MOST_PICTURES = 500
"""Of one product, that are looked at."""

_QUOTED = re.compile(r'="?([^"]*)"?')
_FLOAT = re.compile(r"[0-9]+[.,][0-9]+E\+?[0-9]+", re.IGNORECASE)
_FILE = "|".join(rf"(?<=\.{ending})" for ending in ("jpg", "jpeg", "png", "webp", "gif", "avif"))
_SEVERAL = re.compile(rf"\s*\|\s*|[,;]\s+|(?:{_FILE})[,;]", re.IGNORECASE)
_NEXT_URI = re.compile(r"\s*\|\s*|\s*[,;]\s*(?=(?:https?|s3|gs|ftp):)")
_BEFORE = re.compile(r"([A-Z]{3}|US\$|[€£])\s*(?=[\d+-])")
_AFTER = re.compile(r"(?<=[\d.,-])\s*([A-Za-z]{3}|[€£])$")
_SIGNS = {"€": "EUR", "£": "GBP", "US$": "USD"}


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a table, or one item of a feed.

    Attributes:
        file: as it is named for people.
        number: of the record in its file, the first after the header is 1.
        cells: text by column, without those that are empty.
        fault: why the record cannot be read, "" where it can.
    """

    file: str
    number: int
    cells: Mapping[str, str]
    fault: str = ""

    def get(self, *columns: str) -> str:
        """The first of some columns that is filled, "" where none is."""
        for name in columns:
            if value := self.cells.get(name, "").strip():
                return value
        return ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo that an export names.

    Attributes:
        uri: as the export has it.
        alt: what it says of it.
    """

    uri: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One sellable variant as its export says, before anything of it is judged.

    Attributes:
        line: of the export that it stands in.
        product_id: "" where the export has none of its own.
        group: what it shares with the other variants of its product.
        options: what makes it another one than those, in the export's order.
        own_pictures: that are said to show this variant.
        pictures: of the product, in its order.
        attributes: what else the export says, by the export's names.
        texts: of other languages, by name and language: `title@de`.
        is_active: whether the shop sells it.
    """

    line: Line
    product_id: str
    group: str
    title: str
    brand: str = ""
    description: str = ""
    category: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    own_pictures: tuple[Picture, ...] = ()
    pictures: tuple[Picture, ...] = ()
    price: str = ""
    currency: str = ""
    gtin: str = ""
    url: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    is_active: bool = True


class Code(StrEnum):
    """Why a line is no product of the written catalog."""

    UNREADABLE = "unreadable"
    NO_TITLE = "no_title"
    NO_ID = "no_id"
    BAD_ID = "bad_id"
    TWICE = "duplicate_id"
    NO_PARENT = "no_parent"
    NO_VARIANT = "no_variant"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that is left out.

    Attributes:
        problem: for people, with what to do.
    """

    line: Line
    code: Code
    problem: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A line that is no product of its own and adds to others: a further picture, a parent, a translation."""

    line: Line


Found = Item | Refusal | Joined


def code(text: str) -> str:
    """A number that stands for a thing, without what spreadsheets put around it to keep its zeros: '0012 and ="0012".
    "" where one has made a float of it, since digits are lost then."""
    bare = text.strip().removeprefix("'").strip()
    if quoted := _QUOTED.fullmatch(bare):
        bare = quoted[1].strip()
    return "" if _FLOAT.fullmatch(bare) else bare


def money(price: str) -> tuple[str, str]:
    """A price as it is written, and its currency, "" where that is not told: "25.00 USD", "EUR 12,50", "12,50 €"."""
    price = price.strip()
    if found := _BEFORE.match(price):
        return price[found.end() :], _SIGNS.get(found[1], found[1])
    if found := _AFTER.search(price):
        return price[: found.start()], _SIGNS.get(found[1], found[1].upper())
    return price, ""


def pictures_in(cell: str) -> tuple[Picture, ...]:
    """Of a cell that names several, by commas, semicolons or bars; URLs may hold commas of their own."""
    several = _NEXT_URI if "://" in cell else _SEVERAL
    return tuple(Picture(uri) for one in several.split(cell) if (uri := one.strip()))


def all_of(pictures: Iterable[tuple[Picture, ...]]) -> tuple[Picture, ...]:
    """Each of them once, in their order, and no more than are looked at."""
    found: dict[Picture, None] = {}
    for some in pictures:
        found.update(dict.fromkeys(some))
        if len(found) >= MOST_PICTURES:
            break
    return tuple(found)[:MOST_PICTURES]
