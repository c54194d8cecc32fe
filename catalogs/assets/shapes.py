"""Rows as other programs write them, cast to our own columns: whatever changes no value, and nothing else.

Spark, pandas and DuckDB rewrite a commit with longer integers, other units and zones of time, longer or shared texts,
and maps as lists of pairs. What they say is the same, and so it is read; a value that would have to change is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from catalogs.columns import ASSETS, COLUMNS, IDENTITY

_NUMBERS = (types.is_integer, types.is_floating, types.is_decimal)
_ONE_OF: Mapping[Callable[[Any], bool], tuple[Callable[[Any], bool], ...]] = {
    types.is_string: (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
        types.is_fixed_size_binary,
    ),
    types.is_integer: _NUMBERS,
    types.is_floating: _NUMBERS,
    types.is_boolean: (types.is_boolean,),
    types.is_timestamp: (types.is_timestamp,),
    types.is_date: (types.is_date,),
}
"""Kinds of types, and from which others their values may come."""

# All that Arrow and its Thrift reader were seen to raise of bytes that are no Parquet.
OF_BAD_BYTES = (pa.ArrowException, OSError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)

JUDGED = (*IDENTITY, "status", "fingerprint", "render_key", "render_fingerprint", "run_id", "created_at", "ordered_at")
"""Columns that tell whether rows are a commit's, whatever else is wanted of them."""

_NEEDED = (*IDENTITY, "status", "fingerprint", "run_id", "created_at")
_PHOTOS = ("references", "upstream_references")
_HEX = "^([0-9a-fA-F]{2})+$"


class NoCommit(Exception):
    """These bytes are no commit's rows; says why in a few words."""


def refuse_other_kinds(schema: pa.Schema) -> None:
    """Raises NoCommit where a column of ours holds, by its type alone, another kind of value."""
    for field in schema:
        if field.name in ASSETS.names and not _can_be(field.type, COLUMNS[field.name].type):
            raise NoCommit(f"column {field.name!r} is of type {field.type}, not {COLUMNS[field.name].type}")


def _can_be(found: pa.DataType, wanted: pa.DataType) -> bool:
    if types.is_dictionary(found):
        return _can_be(found.value_type, wanted)
    if types.is_null(found) or bool(found.equals(wanted)):
        return True
    if types.is_map(wanted):
        # As pairs, as structs of key and value, or as one struct whose fields are the keys.
        of_pairs = _is_list(found) and (types.is_nested(found.value_type) or types.is_null(found.value_type))
        return bool(of_pairs or types.is_map(found) or types.is_struct(found))
    if types.is_list(wanted):
        return _is_list(found) and _can_be(found.value_type, wanted.value_type)
    if types.is_struct(wanted):
        names = {field.name: field.type for field in found} if types.is_struct(found) else None
        return names is not None and all(_can_be(names.get(field.name, pa.null()), field.type) for field in wanted)
    kinds = next(kinds for kind, kinds in _ONE_OF.items() if kind(wanted))
    return any(kind(found) for kind in kinds)


def _is_list(found: pa.DataType) -> bool:
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(is_one(found) for is_one in lists)


def conformed(table: pa.Table) -> pa.Table:
    """A table of columns of ours with the same values in our own types.

    Raises:
        NoCommit: a column holds something else, or a value that would have to change.
    """
    refuse_other_kinds(table.schema)
    arrays = [_conformed(name, table[name]) for name in table.column_names]
    return pa.table(arrays, names=table.column_names)


def _conformed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    wanted = COLUMNS[name].type
    try:
        column.validate(full=True)  # that texts are texts
        return _cast(column, wanted)
    except OF_BAD_BYTES as error:
        raise NoCommit(f"column {name!r} of type {column.type} is not {wanted}: {error}") from None


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    found = column.type
    if found.equals(wanted):
        return column
    if types.is_dictionary(found):
        return _cast(column.cast(found.value_type), wanted)
    if types.is_null(found):
        return pa.chunked_array([pa.nulls(len(column), wanted)])
    if types.is_nested(wanted):
        # Rare and small: by way of Python, which takes no value for another.
        plain = _pairs if types.is_map(wanted) else _same
        return pa.chunked_array([pa.array(list(map(plain, column.to_pylist())), wanted)])
    if types.is_fixed_size_binary(found):
        column = column.cast(pa.binary())
    if types.is_floating(found) and types.is_integer(wanted) and (pc.max(pc.abs(column)).as_py() or 0) >= 2**53:
        raise ValueError("a number that may have been another one before it was a fraction")
    return column.cast(wanted)  # a time without a zone is UTC


def _same(value: Any) -> Any:
    return value


def _pairs(value: Any) -> Any:
    """What stands for a map: pairs, structs of key and value, or one struct whose fields are the keys."""
    if isinstance(value, Mapping):
        return [(key, item) for key, item in value.items() if item is not None]
    if value is None:
        return None
    return [(item["key"], item["value"]) if isinstance(item, Mapping) else tuple(item) for item in value]


def refuse_bad_rows(table: pa.Table, statuses: Sequence[str]) -> None:
    """Raises NoCommit where a row, in columns of our own types, is none that a commit can have."""
    for name in _NEEDED:
        if table[name].null_count:
            raise NoCommit(f"a row has no {name}")
    if not _all(pc.is_in(table["status"], value_set=pa.array(statuses))):
        raise NoCommit("a row has an unknown status")
    if not _all(pc.match_substring_regex(table["fingerprint"], _HEX)):
        raise NoCommit("a row has a fingerprint that is not hexadecimal")
    is_hex = pc.fill_null(pc.match_substring_regex(table["render_fingerprint"], _HEX), False)
    if not _all(pc.or_(is_hex, pc.is_null(table["render_key"]))):
        raise NoCommit("a row has a render_key and no hexadecimal render_fingerprint")
    for name in ("created_at", "ordered_at"):
        years = pc.year(table[name])
        if not _all(pc.and_(pc.greater_equal(years, 1970), pc.less_equal(years, 9998))):
            raise NoCommit(f"a row has a {name} in no year that can be")
    for name in _PHOTOS:
        if name in table.column_names:
            _refuse_bad_photos(name, table[name].combine_chunks())


def _refuse_bad_photos(name: str, column: Any) -> None:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    for chunk in chunks:
        photos = pc.list_flatten(chunk)
        if any(pc.struct_field(photos, field).null_count for field in ("uri", "sha256")):
            raise NoCommit(f"a photo in {name} has no uri or no sha256")


def _all(mask: pa.ChunkedArray) -> bool:
    """Whether nothing in a mask is false; a null is none."""
    return pc.all(mask, skip_nulls=True, min_count=0).as_py() is not False
