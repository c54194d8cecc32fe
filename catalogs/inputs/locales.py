"""Columns in several languages: `title@de` stands for `title` where a row fills it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from catalogs.errors import CatalogError
from catalogs.inputs.reader import Catalog
from catalogs.inputs.schemas import describe, fits_column

_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8}){0,3}")
# What names a row is the same in every language.
_NEVER = frozenset({"product_id", "brand_id"})
_NOTHING: tuple[Any, ...] = (None, "", [], {})

Row = Mapping[str, Any]


class TwoColumns(Exception):
    """Two columns of one language stand for one column."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first!r} and {second!r} are columns of one language")


class Localised:
    """The columns of a catalog as they are read in one language.

    Args:
        locale: as in `de-AT`; None reads every column as it is. Case, and `_` for `-`, do not count.
        columns: of the catalog.

    Attributes:
        siblings: column with a language -> the column it stands for.

    Raises:
        TwoColumns: as in `title@de-AT` and `title@de_at`.
    """

    def __init__(self, locale: str | None, columns: Iterable[str] = ()) -> None:
        tags = _with_fallbacks(_tag(locale)) if locale else []
        found: dict[str, dict[str, str]] = {}
        for column in columns:
            base, at, language = column.rpartition("@")
            if not (at and base) or base in _NEVER or _tag(language) not in tags:
                continue
            first = found.setdefault(base, {}).setdefault(_tag(language), column)
            if first != column:
                raise TwoColumns(first, column)
        self._preferred = {base: tuple(of[tag] for tag in tags if tag in of) for base, of in found.items()}
        self.siblings = {sibling: base for base, of in self._preferred.items() for sibling in of}

    def column(self, row: Row, name: str) -> str:
        """The column that is read for `name` in a row: the nearest language that it fills, else itself."""
        return next((sibling for sibling in self._preferred.get(name, ()) if _is_filled(row.get(sibling))), name)

    def row(self, row: Row) -> Row:
        """A row as it is read in this language; the very row where no column stands for another."""
        if not self.siblings:
            return row
        return {**row, **{name: row.get(self.column(row, name)) for name in self._preferred}}

    def with_siblings(self, names: Iterable[str]) -> frozenset[str]:
        """Columns, and those that may be read in their place."""
        wanted = frozenset(names)
        return wanted | {sibling for sibling, base in self.siblings.items() if base in wanted}

    def known(self, columns: Iterable[str]) -> list[str]:
        """Columns that can be read: those there are, and those there are in this language alone."""
        return list(dict.fromkeys([*columns, *self._preferred]))

    def refuse_other_types(self, catalog: Catalog) -> None:
        """Check that columns with a language are of the type of the column they stand for.

        Raises:
            CatalogError: the first one that is not.
        """
        contract: pa.Schema = catalog.kind.schema
        for sibling, base in self.siblings.items():
            if base not in contract.names:
                continue
            found, wanted = catalog.schema.field(sibling), contract.field(base)
            if not fits_column(found.with_name(base), wanted):
                problem = f"is {found.type}, wanted {describe(wanted.type)}, as {base!r}"
                raise CatalogError(catalog.uri, f"column {sibling!r}", problem, "cast the column")


def languages_of(columns: Iterable[str]) -> list[str]:
    """The languages that columns are written in, sorted."""
    written = (column.rpartition("@") for column in columns)
    return sorted({language for base, at, language in written if base and at and _TAG.fullmatch(_tag(language))})


def _tag(language: str) -> str:
    return language.lower().replace("_", "-")


def _with_fallbacks(tag: str) -> list[str]:
    """de-at, de."""
    parts = tag.split("-")
    return ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _is_filled(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value not in _NOTHING
