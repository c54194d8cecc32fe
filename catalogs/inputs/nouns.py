"""Which selected products say no noun, in catalogs that have a column for it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any

from catalogs.inputs import ids
from catalogs.inputs.locales import Localised
from catalogs.inputs.reader import Batch, Catalog

NOUN = "noun"


class EmptyNouns:
    """Counts the rows of a selection that leave `noun` empty in the campaign's language too.

    Args:
        read: product columns that a plan reads, None for all.

    Attributes:
        columns: what to read to be able to count, None for all columns.
    """

    def __init__(self, catalog: Catalog, localised: Localised, read: Set[str] | None) -> None:
        self._localised, self._first, self._count = localised, "", 0
        wanted = localised.with_siblings({NOUN}) & set(catalog.columns)
        self._has_noun = bool(wanted)
        self._extra = wanted - (read if read is not None else wanted)
        self.columns = None if read is None else frozenset(read) | wanted

    def look(self, batch: Batch) -> Batch:
        """Count a batch; gives it back without the columns that were read for that alone."""
        if not self._has_noun:
            return batch
        for row in batch.rows:
            noun = row.get(self._localised.column(row, NOUN))
            if noun is None or (isinstance(noun, str) and not noun.strip()):
                self._count += 1
                self._first = self._first or _product(row["product_id"])
        if not self._extra:
            return batch
        rows = [{name: value for name, value in row.items() if name not in self._extra} for row in batch.rows]
        return replace(batch, rows=rows, unreadable=batch.unreadable - self._extra)

    def lines(self) -> list[str]:
        """A line on them, [] where there is none."""
        return [f"products without a noun: {self._count} (first: {self._first})"] if self._count else []


def _product(value: Any) -> str:
    try:
        return ids.as_text(value) or "without an id"
    except ValueError:
        return "without an id"
