"""Whatever stands in the rows of an export: no error but one that says what is wrong, no row lost, none that a plan
would refuse."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.errors import CatalogError
from tests.catalogs.imports.counted import rows_in
from tests.catalogs.imports.imported import Imported, imported_from
from tests.catalogs.imports.shops import SHOPS, Columns

NASTY = (
    *("\0", "\ufeff", "\u2028\r", "\b"),
    '"',
    "'",
    "\r",
    "\n",
    "\u2028",
    "=1+1",
    "1e400",
    "9" * 60,
    "{name}",
    "id:1",
    "a|b",
    "\\,",
    "<p>",
)
TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(NASTY), st.lists(st.sampled_from(NASTY)).map("".join))


def rows(columns: Columns) -> st.SearchStrategy[list[dict[str, str]]]:
    """Usual rows, with some cells that hold anything."""
    usual = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in columns.items()})
    wild = st.dictionaries(st.sampled_from(list(columns)), TEXTS, max_size=3)
    return st.lists(st.builds(lambda row, cells: {**row, **cells}, usual, wild), min_size=1, max_size=7)


def is_whole(found: Imported, path: Path) -> bool:
    """What must hold of every import, told by an assertion where it does not."""
    report = found.report
    counts = {"read": report.read, "accepted": report.accepted, "inactive": report.inactive, "joined": report.joined}
    assert rows_in(path) == report.read, counts
    assert report.read == report.accepted + report.inactive + report.joined + report.rejected.total(), counts
    assert len(found.rows) == report.accepted + report.inactive
    assert found.rejects == []
    assert len(set(found.ids)) == len(found.ids)
    return True


@pytest.mark.parametrize("name", SHOPS)
def test_any_rows_of_a_format(name: str) -> None:
    shop, imports = SHOPS[name], 0

    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(rows(shop.columns))
    def holds(drawn: list[dict[str, str]]) -> None:
        nonlocal imports
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, shop.file)
            path.write_bytes(shop.write(drawn, list(shop.columns)))
            try:
                found = imported_from(path, Path(folder, "catalog"))
            except CatalogError as error:
                if "holds no product" in str(error):
                    return
                raise
            imports += is_whole(found, path)

    holds()
    assert imports > 3
