"""An export, imported as the command does it, and what came of it."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from catalogs.imports.importing import ImportOptions, import_catalog
from catalogs.imports.report import Report
from catalogs.inputs.checks import ProductChecker, load_brands
from catalogs.inputs.reader import Catalog
from catalogs.inputs.reject_file import Reject
from catalogs.inputs.schemas import CatalogKind


@dataclass(frozen=True)
class Imported:
    report: Report
    rows: list[dict[str, Any]]
    rejects: list[Reject]

    def __getitem__(self, product_id: str) -> dict[str, Any]:
        (row,) = [row for row in self.rows if row["product_id"] == product_id]
        return row

    @property
    def ids(self) -> list[str]:
        return [row["product_id"] for row in self.rows]


def imported(content: bytes | str, name: str = "shop.csv", **options: Any) -> Imported:
    """What a plan would read of an export."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source", name)
        source.parent.mkdir()
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
        return imported_from(source, Path(folder, "catalog"), **options)


def imported_from(source: Path, into: Path, column_map: str = "", **options: Any) -> Imported:
    if column_map:
        options["map_file"] = str(source.with_name("shop.map"))
        Path(options["map_file"]).write_text(column_map)
    report = import_catalog(str(source), str(into), ImportOptions(**options), lambda line: None)
    rows = pq.read_table(into / "products.parquet").to_pylist()
    brands, rejects = load_brands(Catalog.open(str(into / "brands.parquet"), CatalogKind.BRANDS))
    products = Catalog.open(str(into / "products.parquet"), CatalogKind.PRODUCTS)
    checker = ProductChecker(brands, products.uri)
    for batch in products.scan():
        rejects += checker.check(batch)[1]
    return Imported(report, rows, rejects)


def table(rows: Iterable[Mapping[str, str]], columns: Sequence[str] = (), separator: str = ",") -> str:
    """Rows as CSV, below the columns of all of them."""
    rows = list(rows)
    names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def pictures(row: Mapping[str, Any]) -> list[str]:
    return [one["uri"] for one in row["reference_images"] or []]


def attributes(row: Mapping[str, Any]) -> dict[str, str]:
    return dict(row["attributes"] or ())
