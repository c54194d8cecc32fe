"""How many rows an export has, by readers that the importer does not use, or by the same ones read otherwise."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
from openpyxl import load_workbook

from catalogs.imports.tables import open_table

ITEMS = ("item", "entry")


def rows_in(path: Path) -> int:
    """Rows that hold anything, of a file that the importer has read. Of a text table only what its separator is, how it
    is encoded and where its header ends are asked of the importer."""
    suffix = path.suffix.lower()
    if suffix in (".xml", ".rss", ".atom"):
        return _items(ElementTree.parse(path).getroot())
    if suffix == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    if suffix == ".xlsx":
        sheet = load_workbook(path, data_only=True).worksheets[0]
        filled = [row for row in sheet.iter_rows(values_only=True) if any(str(cell or "").strip() for cell in row)]
        return len(filled) - 1
    text = path.read_bytes()
    if suffix == ".jsonl":
        return sum(bool(line.strip()) for line in re.split("\r\n|\r|\n", text.decode("utf-8-sig", "replace")))
    if suffix == ".json":
        found = json.loads(text.decode("utf-8-sig"))
        return len(found if isinstance(found, list) else next(one for one in found.values() if isinstance(one, list)))
    dialect = open_table(path, path.name).dialect
    assert dialect is not None
    with path.open(encoding=dialect.encoding, errors="replace", newline="") as file:
        records = list(csv.reader(file, delimiter=dialect.separator))
    return sum(any(cell.strip() for cell in record) for record in records[dialect.skipped :])


def _items(element: ElementTree.Element) -> int:
    """Those inside another are parts of it."""
    return sum(1 if one.tag.rpartition("}")[2] in ITEMS else _items(one) for one in element)
