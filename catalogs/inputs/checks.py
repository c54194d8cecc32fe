"""Catalog rows: raw values into clean ones, or into rejects that say what is wrong. Bad values never raise.

A clean row has the columns it was read with. Texts are plain and in one line, None where empty; lists are
empty where null; attributes are a dict; colours are `{"hex": "#RRGGBB", "name": ...}` with a hex, a
name or both; a price is a Decimal; the end of a licence is a date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from catalogs.inputs import ids
from catalogs.inputs.reader import Batch, Catalog, Unreadable
from catalogs.inputs.reject_file import Code, Reject, shown
from catalogs.inputs.schemas import BRANDS, PALETTE_COLOUR, PRODUCTS, REFERENCE_IMAGE
from catalogs.inputs.text import clean_text

Row = dict[str, Any]
Check = Callable[[Any], Any]
Problem = tuple[str, object, str, Code]

_HEX = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")
# "12GG45" and "0x123456" are slips; "RAL 5010" and "\u8d64" are names.
_WORD = re.compile(r"[^\W\d_]{3}|[^\W\d_a-zA-Z]")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?=$|[T ])")
_FIELDS = frozenset(field.name for struct in (PALETTE_COLOUR, REFERENCE_IMAGE) for field in struct)
# Verbatim: an address or a code is not prose, and "&lt=1" in a link no entity.
_VERBATIM = frozenset({"logo_uri", "font_uri", "url", "gtin", "currency", "product_group"})


class CleanRow(NamedTuple):
    """One usable row of a catalog.

    Attributes:
        file: path or URI of its file.
        number: 1-based row number in it.
        row: its clean values by column.
    """

    file: str
    number: int
    row: Row


class BadValue(Exception):
    """A value that its column may not hold."""

    def __init__(self, value: object, reason: str, code: Code = Code.BAD_VALUE) -> None:
        self.value, self.reason, self.code = value, reason, code
        super().__init__(reason)


class SeenIds:
    """Ids met so far, about 20 bytes each; the chance to confuse any two of a billion is below 1e-20."""

    _BYTES = 14  # of a 16-byte digest: the other two choose the bucket

    def __init__(self) -> None:
        self._buckets: dict[bytes, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, identifier: str) -> bool:
        """Remember an id; False when it was there already."""
        digest = blake2b(identifier.encode(), digest_size=16).digest()
        rest = digest[2:]
        bucket = self._buckets.setdefault(digest[:2], bytearray())
        at = bucket.find(rest)
        while at >= 0 and at % self._BYTES:  # across two neighbours
            at = bucket.find(rest, at + 1)
        if at >= 0:
            return False
        bucket += rest
        self._count += 1
        return True


class ProductChecker:
    """Checks the product rows of one catalog, batch by batch."""

    def __init__(
        self, brands: Mapping[str, object], catalog: str, siblings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """
        Args:
            brands: usable brands by id.
            catalog: the product catalog, for messages.
            siblings: column with a language -> the column it is read and checked like.
        """
        self._brands, self._catalog, self._siblings, self._seen = brands, catalog, siblings, SeenIds()

    def check(self, batch: Batch) -> tuple[list[CleanRow], list[Reject]]:
        """Clean rows and the rejects; batches must come in catalog order."""
        return _check(batch, PRODUCTS, self._across, self._siblings)

    def _across(self, row: Row) -> Iterator[Problem]:
        if row["brand_id"] not in self._brands:
            problem = "the brand catalog has no usable brand of this id"
            yield "brand_id", row["brand_id"], problem, Code.UNKNOWN_BRAND
        if not self._seen.add(row["product_id"]):
            problem = f"an earlier row of {self._catalog} has the same id"
            yield "product_id", row["product_id"], problem, Code.DUPLICATE_ID


def load_brands(
    catalog: Catalog, columns: Set[str] | None = None, siblings: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, Row], list[Reject]]:
    """All usable brands by id, and the rejects. Brands are few: they are held in memory.

    Args:
        columns: what to read and check, None for all: a bad value that nobody asks for takes out no brand.
        siblings: as for `ProductChecker`.

    Raises:
        CatalogError: the file is damaged.
    """
    brands: dict[str, Row] = {}
    rejects: list[Reject] = []
    seen: set[str] = set()

    def across(row: Row) -> Iterator[Problem]:
        if row["brand_id"] in seen:
            problem = f"an earlier row of {catalog.uri} has the same id"
            yield "brand_id", row["brand_id"], problem, Code.DUPLICATE_ID
        seen.add(row["brand_id"])

    for batch in catalog.scan(columns):
        clean, bad = _check(batch, BRANDS, across, siblings)
        brands.update((row["brand_id"], row) for _, _, row in clean)
        rejects += bad
    return brands, rejects


def hex_colour(value: str) -> str | None:
    """`#RRGGBB` in upper case for #RRGGBB, RRGGBB or #RGB; None for anything else."""
    match = _HEX.fullmatch(value.strip())
    if match is None:
        return None
    digits = match[1].upper()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def _check(
    batch: Batch, contract: pa.Schema, across: Callable[[Row], Iterable[Problem]], siblings: Mapping[str, str]
) -> tuple[list[CleanRow], list[Reject]]:
    """Check every column alone, then, in rows that pass, what takes more than one column."""
    checks = _checks(batch, contract, siblings)
    clean: list[CleanRow] = []
    rejects: list[Reject] = []
    for number, raw in zip(batch.numbers, batch.rows, strict=True):
        row, problems = dict(raw), []
        for column, check in checks:
            try:
                row[column] = check(raw.get(column))
            except BadValue as bad:
                problems.append((column, bad.value, bad.reason, bad.code))
        problems = problems or list(across(row))
        if problems:
            named = (_named(raw), _titled(raw))
            rejects += [
                Reject(batch.file, number, column, shown(value), reason, named[0], code, named[1])
                for column, value, reason, code in problems
            ]
        else:
            clean.append(CleanRow(batch.file, number, row))
    return clean, rejects


def _named(raw: Row) -> str:
    """The product of a row that is left out, "" where no product can have such an id."""
    try:
        return _identifier(raw.get("product_id"))
    except BadValue:
        return ""


def _titled(raw: Row) -> str:
    """What people call a row that is left out, "" where nobody can read it."""
    title = raw.get("title", raw.get("name"))
    return shown(clean_text(title)) if isinstance(title, str) else ""


def _checks(batch: Batch, contract: pa.Schema, siblings: Mapping[str, str]) -> list[tuple[str, Check]]:
    """Checks of the columns that the batch has; required columns are checked in any case."""
    present = set(batch.rows[0]) if batch.rows else set()
    checks = [(field.name, _check_of(field)) for field in contract if field.name in present or not field.nullable]
    checks += [
        (name, _check_of(contract.field(base).with_nullable(True)))
        for name, base in siblings.items()
        if name in present and base in contract.names
    ]
    known = {name for name, _ in checks}
    return [*checks, *((name, _readable) for name in sorted(batch.unreadable - known))]


def _check_of(field: pa.Field) -> Check:
    if field.name in ("product_id", "brand_id"):
        return _identifier
    if field.name in _SPECIAL:
        return _SPECIAL[field.name]
    if field.name in _VERBATIM:
        return _verbatim
    if pt.is_list(field.type):
        return _texts
    return _text if field.nullable else _required_text


def _readable(value: Any) -> Any:
    if isinstance(value, Unreadable):
        raise BadValue(None, value.reason, Code.UNREADABLE)
    return value


def _identifier(value: Any) -> str:
    text = _digits(value, Code.BAD_ID)
    if text is None or not text.strip():
        raise BadValue(text, "is empty; every row needs one", Code.EMPTY)
    normal = ids.normal_form(text)
    if problem := ids.refusal(normal):
        raise BadValue(text, problem, Code.BAD_ID)
    return normal


def _digits(value: Any, code: Code = Code.BAD_VALUE) -> str | None:
    """Text of a column that may hold numbers."""
    readable = _readable(value)
    try:
        return ids.as_text(readable)
    except ValueError as error:
        raise BadValue(readable, str(error), code) from None


def _text(value: Any) -> str | None:
    text = _readable(value)
    return (clean_text(text) or None) if text else None


def _required_text(value: Any) -> str:
    text = _text(value)
    if text is None:
        raise BadValue(value, "is empty; every row needs one", Code.EMPTY)
    return text


def _verbatim(value: Any) -> str | None:
    text = _digits(value)
    return (text.strip() or None) if text else None


def _texts(value: Any) -> list[str]:
    cleaned = [_text(item) for item in _items(value)]
    return [text for text in cleaned if text]


def _price(value: Any) -> Decimal | None:
    number = _readable(value)
    if number is None:
        return None
    if isinstance(number, float):
        if math.isinf(number):
            raise BadValue(number, "is no price")
        number = repr(number)
    price = Decimal(number)
    if price < 0:
        raise BadValue(number, "is negative; a price is 0 or more")
    return price


def _attributes(value: Any) -> dict[str, str]:
    # A map column comes as pairs, a struct column (pandas) as a dict.
    held = _readable(value) or ()
    pairs = held.items() if isinstance(held, dict) else held
    cleaned = ((_text(key), _text(item)) for key, item in pairs)
    return {key: item for key, item in cleaned if key and item}


def _colours(value: Any) -> list[Row]:
    # A word in the place of a code is a name.
    named = [{"hex": None, "name": item} if _is_name(item) else item for item in _readable(value) or ()]
    return [_colour(i, item) for i, item in _structs(named, "hex")]


def _colour(index: int, colour: Row) -> Row:
    code = (colour.get("hex") or "").strip()
    others = {key: _text(item) if isinstance(item, str) else item for key, item in colour.items()}
    if not code:
        if not others.get("name"):
            raise BadValue(None, f"colour {index}: has neither hex nor name; write #RRGGBB, or what it is called")
        return {**others, "hex": None}
    normal = hex_colour(code)
    if normal is None:
        raise BadValue(code, f"colour {index}: {code[:40]!r} is no hex colour; write #RRGGBB, or a name without hex")
    return {**others, "hex": normal}


def _is_name(text: Any) -> bool:
    """Whether a text that stands for a colour is a word, and neither a code nor a code with a slip in it."""
    if not isinstance(text, str) or "#" in text or hex_colour(text):
        return False
    return _WORD.search(text) is not None


def reference_images(value: Any) -> list[Row]:
    """The pictures of a product, with roles and rights; raises BadValue."""
    return [_reference_image(i, item) for i, item in _structs(value, "uri")]


def _reference_image(index: int, image: Row) -> Row:
    uri = (image.get("uri") or "").strip()
    if not uri:
        raise BadValue(None, f"image {index}: its uri is empty")
    territories = (item.strip().upper() for item in image.get("territories") or () if item)
    return {
        **image,
        "uri": uri,
        "role": (image.get("role") or "").strip().lower(),
        "licence": _text(image.get("licence")),
        "licence_end": _day(index, image.get("licence_end")),
        "territories": [item for item in territories if item],
    }


def _day(index: int, value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date) or value is None:
        return value
    text = str(value).strip()
    if not text:
        return None
    match = _DAY.match(text)
    try:
        return date.fromisoformat(match.group() if match else text)
    except ValueError:
        raise BadValue(text, f"image {index}: its licence_end is no date; write YYYY-MM-DD") from None


def _items(value: Any) -> Iterable[Any]:
    """The items of a list; a text alone is its one item."""
    held = _readable(value) or ()
    return [held] if isinstance(held, str) else held


def _structs(value: Any, key: str) -> Iterator[tuple[int, Row]]:
    """(1-based position, struct) of a list; a plain text stands for a struct of `key` alone."""
    for index, item in enumerate(_items(value), start=1):
        if item is not None:
            yield index, ({key: item} if isinstance(item, str) else _filled(index, item))


def _filled(index: int, struct: Row) -> Row:
    """A struct without the NaN that pandas puts where nothing is."""
    filled = {name: None if isinstance(item, float) and math.isnan(item) else item for name, item in struct.items()}
    for name, item in filled.items():
        if isinstance(item, float) and name in _FIELDS:
            raise BadValue(item, f"item {index}: its {name} is a number, not a text")
    return filled


_SPECIAL: Mapping[str, Check] = {
    "price": _price,
    "attributes": _attributes,
    "colors": _colours,
    "palette": _colours,
    "reference_images": reference_images,
}
