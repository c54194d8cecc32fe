"""The two input contracts as Arrow schemas, and what of a real file's types is taken as they are.

`nullable=False` marks what every row must have. A file may spell a type in its own way (large or dictionary
strings, any number for a price, a date as text): `conform` says whether it is close enough to be read.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from catalogs.errors import CatalogError
from catalogs.inputs.ids import NUMBERED

TEXTS = pa.list_(pa.string())
_NUMBER = pa.decimal128(38)
COLOUR = pa.struct([("hex", pa.string()), ("name", pa.string())])
PALETTE_COLOUR = pa.struct([("hex", pa.string()), ("name", pa.string()), ("role", pa.string())])
REFERENCE_IMAGE = pa.struct(
    [
        pa.field("uri", pa.string(), nullable=False),
        ("role", pa.string()),
        ("licence", pa.string()),
        ("licence_end", pa.date32()),
        ("territories", TEXTS),
    ]
)


class InputColumn(NamedTuple):
    """One column of an input catalog.

    Attributes:
        required: every row must fill it.
        meaning: one line for people.
    """

    type: pa.DataType
    meaning: str
    required: bool = False


BRAND_COLUMNS = {
    "brand_id": InputColumn(pa.string(), "names the brand; products say it", required=True),
    "name": InputColumn(pa.string(), "for people and prompts; files tell the `brand_id`", required=True),
    "palette": InputColumn(pa.list_(PALETTE_COLOUR), "the brand's colours: #RRGGBB, name or both, and roles"),
    "style": InputColumn(pa.string(), "for prompts: how its pictures look"),
    "mood": InputColumn(pa.string(), "for prompts"),
    "lighting": InputColumn(pa.string(), "for prompts"),
    "background": InputColumn(pa.string(), "for prompts"),
    "typography": InputColumn(pa.string(), "for prompts"),
    "logo_uri": InputColumn(pa.string(), "its logo: the reference `brand.logo`; of overlays, where it may be an SVG"),
    "legal_line": InputColumn(pa.string(), "written into every file as its rights"),
    "font_uri": InputColumn(pa.string(), "its font, for texts of overlays: a TrueType or OpenType file"),
}
"""The columns of a brand catalog."""

PRODUCT_COLUMNS = {
    "product_id": InputColumn(pa.string(), "names the product, once in a catalog", required=True),
    "brand_id": InputColumn(pa.string(), "the brand it belongs to", required=True),
    "title": InputColumn(pa.string(), "for prompts and people", required=True),
    "description": InputColumn(pa.string(), "for prompts; HTML becomes plain text"),
    "category": InputColumn(pa.string(), "for `select` and prompts"),
    "colors": InputColumn(pa.list_(COLOUR), "its colours as #RRGGBB, with their names; plain codes or names will do"),
    "materials": InputColumn(TEXTS, "for prompts"),
    "attributes": InputColumn(pa.map_(pa.string(), pa.string()), "anything else of it, by name"),
    "reference_images": InputColumn(pa.list_(REFERENCE_IMAGE), "its photos, with roles and rights; plain URIs will do"),
    "product_group": InputColumn(pa.string(), "what its variants share, for `look_by`"),
    "price": InputColumn(pa.decimal128(18, 4), "for `select` and prompts"),
    "currency": InputColumn(pa.string(), "of the price"),
    "gtin": InputColumn(pa.string(), "its trade number, as text"),
    "url": InputColumn(pa.string(), "its page"),
}
"""The columns of a product catalog; further ones are kept and can be used in templates."""


def _contract(columns: Mapping[str, InputColumn]) -> pa.Schema:
    return pa.schema([pa.field(name, column.type, nullable=not column.required) for name, column in columns.items()])


BRANDS = _contract(BRAND_COLUMNS)
PRODUCTS = _contract(PRODUCT_COLUMNS)


class CatalogKind(StrEnum):
    """Which of the two input catalogs a file is."""

    BRANDS = "brands"
    PRODUCTS = "products"

    @property
    def schema(self) -> pa.Schema:
        return BRANDS if self is CatalogKind.BRANDS else PRODUCTS


def required_columns(contract: pa.Schema) -> tuple[str, ...]:
    """Columns of a contract that every row must fill, in contract order."""
    return tuple(field.name for field in contract if not field.nullable)


def conform(schema: pa.Schema, contract: pa.Schema, source: str) -> pa.Schema:
    """The columns one gets from a file: its own with their types, then what the contract adds as nulls.

    Args:
        schema: the file's Arrow schema, partition columns included.
        source: the file, for messages.

    Raises:
        CatalogError: a required column is missing, a column has a type that cannot be read as the
            contract's, or two columns share a name.
    """
    _refuse_twins(schema, source)
    missing = [name for name in required_columns(contract) if name not in schema.names]
    if missing:
        raise _missing(missing, schema, source)
    wrong = [
        (f"column {field.name!r}", f"is {schema.field(field.name).type}, wanted {describe(field.type)}")
        for field in contract
        if field.name in schema.names and not fits_column(schema.field(field.name), field)
    ]
    if wrong:
        (first, problem), *others = wrong
        more = "".join(f"; {column} {other}" for column, other in others)
        raise CatalogError(source, first, problem + more, "cast the columns" if others else "cast the column")
    return pa.schema([*schema, *(field for field in contract if field.name not in schema.names)])


def fits_column(found: pa.Field, wanted: pa.Field) -> bool:
    """True when a file's column can stand for one of the contract."""
    numbers = wanted.name in NUMBERED and not pt.is_boolean(found.type) and fits(found.type, _NUMBER)
    return numbers or fits(found.type, wanted.type)


def fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """True when values of type `found` can stand where the contract says `wanted`."""
    if pt.is_null(found):
        return True
    if pt.is_dictionary(found):
        return fits(found.value_type, wanted)
    if pt.is_string(wanted):
        return _is_text(found)
    if pt.is_decimal(wanted):
        return bool(pt.is_integer(found) or pt.is_decimal(found) or pt.is_floating(found))
    if pt.is_date(wanted):
        return bool(pt.is_date(found) or pt.is_timestamp(found) or _is_text(found))
    if pt.is_map(wanted):
        return _fits_map(found)
    if pt.is_list(wanted):  # a text stands for a list of one
        return _is_text(found) or (_is_list(found) and _fits_item(found.value_type, wanted.value_type))
    return _fits_struct(found, wanted)


def describe(wanted: pa.DataType) -> str:
    """A contract type as the documentation writes it: `list<struct<hex, name>>`."""
    if pt.is_struct(wanted):
        return f"struct<{', '.join(field.name for field in wanted)}>"
    if pt.is_map(wanted):
        return "map<string, string>"
    if pt.is_list(wanted):
        return f"list<{describe(wanted.value_type)}>"
    return "decimal, integer or double" if pt.is_decimal(wanted) else str(wanted)


def _is_text(found: pa.DataType) -> bool:
    return bool(pt.is_string(found) or pt.is_large_string(found) or pt.is_string_view(found))


def _is_list(found: pa.DataType) -> bool:
    return bool(
        pt.is_list(found)
        or pt.is_large_list(found)
        or pt.is_fixed_size_list(found)
        or pt.is_list_view(found)
        or pt.is_large_list_view(found)
    )


def _fits_item(found: pa.DataType, wanted: pa.DataType) -> bool:
    # A list of plain hex codes or URIs is the short form of the list of structs.
    return fits(found, wanted) or (pt.is_struct(wanted) and _is_text(found))


def _fits_map(found: pa.DataType) -> bool:
    if pt.is_map(found):
        return fits(found.key_type, pa.string()) and fits(found.item_type, pa.string())
    # pandas writes a column of dicts as a struct.
    return bool(pt.is_struct(found)) and all(fits(field.type, pa.string()) for field in found)


def _fits_struct(found: pa.DataType, wanted: pa.DataType) -> bool:
    if not pt.is_struct(found):
        return False
    types = {field.name: field.type for field in found}
    if not any(field.name in types for field in wanted):
        return False
    return all(_fits_field(types[field.name], field) if field.name in types else field.nullable for field in wanted)


def _fits_field(found: pa.DataType, wanted: pa.Field) -> bool:
    # pandas writes a field that is empty everywhere as NaN; what else it may hold is refused row by row.
    return fits(found, wanted.type) or (wanted.nullable and bool(pt.is_floating(found)))


def _refuse_twins(schema: pa.Schema, source: str) -> None:
    twins = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twins:
        raise CatalogError(source, f"column {twins[0]!r}", "is there twice", "rename or drop one of them")


def _missing(missing: list[str], schema: pa.Schema, source: str) -> CatalogError:
    listed = ", ".join(f"{name!r}" for name in missing)
    columns = "column" if len(missing) == 1 else "columns"
    close = {name: difflib.get_close_matches(name, schema.names, n=1, cutoff=0.75) for name in missing}
    hints = [f"is {match[0]!r} meant as {name!r}?" for name, match in close.items() if match]
    found = ", ".join(schema.names[:20]) + (", ..." if len(schema.names) > 20 else "")
    fix = hints[0] if hints else "rename columns to these names"
    problem = f"required {columns} {listed} missing; it has: {found or 'no column'}"
    return CatalogError(source, "", problem, fix)
