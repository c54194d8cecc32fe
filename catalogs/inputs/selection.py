"""Which rows a campaign wants: pyarrow's filter triples, checked against the catalog before a row is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.types as pt

from catalogs.errors import CampaignError, nearest
from catalogs.inputs import ids
from catalogs.inputs.reject_file import shown

OPERATORS = ("=", "==", "!=", "<", ">", "<=", ">=", "in", "not in")
_LISTED = {"=": "in", "==": "in", "in": "in", "!=": "not in", "not in": "not in"}
_DIGITS = re.compile(r"0|-?[1-9][0-9]{0,17}")
_SHAPE = "write [[column, operator, value], ...] for AND, a list of such lists for OR"

Select = Sequence[Any]


class Selection:
    """A compiled filter.

    Attributes:
        columns: what it reads.
        expression: the pyarrow expression.
    """

    def __init__(self, select: Select, types: pa.Schema, source: str) -> None:
        """Compile triples against column types.

        Args:
            select: [column, operator, value] triples joined by AND, or a list of such lists joined by OR.
            source: the campaign file, for messages.

        Raises:
            CampaignError: the shape, a column, an operator or a value is wrong.
        """
        groups = [
            [_triple(triple, types, where, source) for where, triple in group] for group in _groups(select, source)
        ]
        self.columns = frozenset(triple[0] for group in groups for triple in group)
        self.expression: ds.Expression = pq.filters_to_expression(groups)

    def rows_of(self, table: pa.Table) -> list[int]:
        """Positions of the wanted rows of a table that has all of `columns`."""
        plain = plain_columns(table.select(sorted(self.columns)))
        marked = plain.append_column("", pa.array(range(table.num_rows), pa.int64()))
        positions: list[int] = marked.filter(self.expression).column(plain.num_columns).to_pylist()
        return positions


def plain_type(found: pa.DataType) -> pa.DataType:
    """The type a column is compared as: dictionaries decoded, one kind of string."""
    if pt.is_dictionary(found):
        return plain_type(found.value_type)
    return pa.string() if pt.is_large_string(found) or pt.is_string_view(found) else found


def plain_columns(table: pa.Table) -> pa.Table:
    """The table with every column in its `plain_type`."""
    return table.cast(pa.schema([field.with_type(plain_type(field.type)) for field in table.schema]))


def _empty(types: pa.Schema, columns: frozenset[str]) -> pa.Table:
    fields = [types.field(name) for name in sorted(columns)]
    return plain_columns(pa.schema(fields).empty_table())


def _groups(select: Select, source: str) -> Iterator[list[tuple[str, Any]]]:
    """OR groups of (where, triple)."""
    if isinstance(select, str) or not isinstance(select, Sequence) or not select:
        raise CampaignError(source, "select", f"{select!r} is no filter", _SHAPE)
    if all(_is_group(group) for group in select):
        for i, group in enumerate(select):
            yield [(f"select[{i}][{j}]", triple) for j, triple in enumerate(group)]
        return
    yield [(f"select[{i}]", triple) for i, triple in enumerate(select)]


def _is_group(item: Any) -> bool:
    return isinstance(item, list | tuple) and bool(item) and isinstance(item[0], list | tuple)


def _triple(triple: Any, types: pa.Schema, where: str, source: str) -> tuple[str, str, Any]:
    if not isinstance(triple, list | tuple) or len(triple) != 3 or not isinstance(triple[0], str):
        raise CampaignError(source, where, f"{triple!r} is no [column, operator, value]", _SHAPE)
    column, operator, value = triple
    if column not in types.names:
        raise CampaignError(source, where, f"there is no column {column!r}", nearest(column, types.names))
    if operator not in OPERATORS:
        known = " ".join(OPERATORS)
        raise CampaignError(source, where, f"unknown operator {operator!r}", f"use one of {known}")
    takes_list = operator in ("in", "not in")
    if takes_list and (not isinstance(value, list | tuple | set) or not value):
        fix = f"write [{column}, {operator}, [...]]"
        raise CampaignError(source, where, f"{operator!r} needs a list of values", fix)
    values = list(value) if takes_list else [value]
    if None in values:
        raise CampaignError(source, where, "nothing compares with null", "name a value")
    found = types.field(column).type
    try:
        plain = _plain(values, column, operator, found)
    except OverflowError:
        raise CampaignError(source, where, "a number is beyond what a column can hold", "correct it") from None
    if len(plain) != 1 or takes_list:
        compared: tuple[str, str, Any] = (column, _LISTED[operator], plain)
    else:
        compared = (column, operator, plain[0])
    _refuse_other_types(compared, value, types, where, source)
    return compared


def _refuse_other_types(compared: tuple[str, str, Any], value: Any, types: pa.Schema, where: str, source: str) -> None:
    """Compare an empty column with the value: whether they go together is Arrow's to say, and how is not."""
    column = compared[0]
    try:
        _empty(types, frozenset({column})).filter(pq.filters_to_expression([[compared]]))
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        found = plain_type(types.field(column).type)
        kind = "text" if pt.is_string(found) else "numbers" if _is_number(found) else str(found)
        fix = "put the value in quotes" if kind == "text" else "write a value of that kind"
        raise CampaignError(source, where, f"column {column!r} holds {kind}, and {shown(value)} is none", fix) from None


def _plain(values: Sequence[Any], column: str, operator: str, found: pa.DataType) -> list[Any]:
    """What a column is compared with; an id with all that may stand for it."""
    if column in ids.COLUMNS and operator in _LISTED:
        return [form for value in values for form in _id_forms(value, found)]
    return [_comparable(value, found) for value in values]


def _is_number(found: pa.DataType) -> bool:
    return bool(pt.is_integer(found) or pt.is_decimal(found) or pt.is_floating(found))


def _id_forms(value: Any, found: pa.DataType) -> list[Any]:
    """What stands in a column for an id: either spelling of a text, the text of a number, the number of a text."""
    if not _is_number(found):
        return ids.spellings(value if isinstance(value, str) else str(value))
    number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    return [_comparable(number, found)]


def _comparable(value: Any, found: pa.DataType) -> Any:
    # pyarrow has no kernel for a decimal column and a Python int; as doubles both sides are exact enough.
    if pt.is_decimal(found) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
