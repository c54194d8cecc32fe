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

from catalogs.columns import COLUMNS, IDENTITY

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
}
"""Kinds of types, and from which others their values may come."""

JUDGED = (*IDENTITY, "status", "fingerprint", "render_key", "render_fingerprint", "run_id", "created_at", "ordered_at")
"""Columns that tell whether rows are a commit's, whatever else is wanted of them."""

_NEEDED = (*IDENTITY, "status", "fingerprint", "run_id", "created_at")
_PHOTOS = ("references", "upstream_references")
_HEX = "^([0-9a-fA-F]{2})+$"


class NoCommit(Exception):
    """These bytes are no commit's rows; says why in a few words."""


def conformed(table: pa.Table) -> pa.Table:
    """A table with the same values in columns of our own types.

    Raises:
        NoCommit: a column holds something else, or a value that would have to change.
    """
    arrays = [_conformed(name, table[name]) for name in table.column_names]
    return pa.table(arrays, names=table.column_names)


def _conformed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    wanted = COLUMNS[name].type
    try:
        column.validate(full=True)  # that texts are texts
        return _cast(column, wanted)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        problem = f"column {name!r} of type {column.type} holds no {wanted}"
        raise NoCommit(f"{problem}: {error}") from None


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
    kinds = next(kinds for kind, kinds in _ONE_OF.items() if kind(wanted))
    if not any(kind(found) for kind in kinds):
        raise TypeError("another kind of value")
    if types.is_fixed_size_binary(found):
        column = column.cast(pa.binary())
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
