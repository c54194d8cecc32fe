"""Draws the rows that were labelled by hand: `python -m tests.catalogs.vocabulary.draw FOLDER`, that of the three sets.

All products of the two small sets, and as many of the shop's 1,200 as fill 120; a seeded shuffle of each set is dealt
in turn to "work" and "judge", so that both halves hold the same mix. Prints rows without labels; the labels are in
labelled_*.jsonl.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SEED = 20261122
ROWS = 120

Row = dict[str, Any]


def fashion(folder: Path) -> Iterator[Row]:
    """The shop's products; its tags hold most of its colour words."""
    for row in pq.read_table(folder / "fashion/products.parquet").to_pylist():  # type: ignore[no-untyped-call]
        yield {
            "id": row["handle"],
            "set": "fashion",
            "title": row["title"],
            "description": row["description"] or "",
            "category": row["category_full_path"] or row["product_type"] or "",
            "attributes": {"tags": row["tags"] or ""},
            "options": [],
        }


def magento(folder: Path) -> Iterator[Row]:
    """Bags and watches; lists of values stand one a line in a cell."""
    for name in ("bags", "watches"):
        with (folder / f"magento_gear/products_gear_{name}.csv").open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                kept = {
                    key: row[key].replace("\n", ", ") for key in ("material", "pattern", "style_bags") if row.get(key)
                }
                yield {
                    "id": row["sku"],
                    "set": "magento_gear",
                    "title": row["name"],
                    "description": row["description"],
                    "category": row["category"].replace("\n", " > "),
                    "attributes": kept,
                    "options": [],
                }


def shopify(folder: Path) -> Iterator[Row]:
    """Shopify's demonstration products; the lines after the first of a handle are its variants and pictures."""
    for name in ("apparel", "home-and-garden"):
        products: dict[str, Row] = {}
        with (folder / f"shopify/{name}.csv").open(newline="", encoding="utf-8-sig") as lines:
            options = ""
            for row in csv.DictReader(lines):
                if row["Handle"] not in products:
                    products[row["Handle"]] = {
                        "id": row["Handle"],
                        "set": "shopify",
                        "title": row["Title"],
                        "description": row["Body (HTML)"],
                        "category": row["Type"],
                        "attributes": {"tags": row["Tags"]},
                        "options": [],
                    }
                    options = row["Option1 Name"]
                if options.lower() in {"color", "colour"} and row["Option1 Value"]:
                    products[row["Handle"]]["options"].append(row["Option1 Value"])
        yield from products.values()


def draw(folder: Path) -> dict[str, list[Row]]:
    """Both halves, each of ROWS / 2 rows."""
    order = random.Random(SEED)
    small = [list(read(folder)) for read in (magento, shopify)]
    large = order.sample(list(fashion(folder)), ROWS - sum(map(len, small)))
    dealt = []
    for rows in (*small, large):
        order.shuffle(rows)
        dealt += rows
    return {"work": dealt[0::2], "judge": dealt[1::2]}


if __name__ == "__main__":
    for half, rows in draw(Path(sys.argv[1])).items():
        for row in rows:
            print(json.dumps({"half": half, **row}, ensure_ascii=False))
