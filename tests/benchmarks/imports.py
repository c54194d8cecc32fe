"""Importing a shop's export, beside a plain pandas script that does the same mapping in the same run.

    PYTHONPATH=. python tests/benchmarks/imports.py [ROWS ...]

Each size runs in a process of its own: a WooCommerce export, four variations and their parent a product. The script
reads all of the file, joins variations to their parents and writes the same columns by hand: ids, groups, title, text
without its markup, options, pictures, prices. It makes no words for prompts, no colours, no looks, no report, and it
finds no row that is wrong.
"""

from __future__ import annotations

import csv
import html
import multiprocessing
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

SIZES = (100_000, 1_000_000)
COLOURS = ("Red", "Navy", "Dark heather grey", "Olive")
THINGS = ("Canvas Backpack", "Stoneware Mug", "Linen Shirt", "Leather Belt", "Wool Blanket", "Oak Chair")
COLUMNS = (
    *("ID", "Type", "SKU", "Name", "Published", "Description", "Regular price", "Categories", "Images", "Parent"),
    *("Brands", "Attribute 1 name", "Attribute 1 value(s)", "Attribute 2 name", "Attribute 2 value(s)"),
)
LINES_A_PRODUCT = 1 + len(COLOURS)
TEXT = "<p>A {thing} of our {place}th series, made by hand in small numbers.</p><p>Soft cotton lining, brass buckles."
TEXT += " Wash at 30&deg;C. Ships within {days} days.</p>"


def write(path: Path, lines: int) -> None:
    """An export of so many lines; texts differ from product to product."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for product in range(lines // LINES_A_PRODUCT):
            thing, number = THINGS[product % len(THINGS)], product * LINES_A_PRODUCT
            text = TEXT.format(thing=thing.lower(), place=product, days=product % 7 + 1)
            images = f"https://shop.example/{product}.jpg, https://shop.example/{product}-back.jpg"
            kind = ("Color", " | ".join(COLOURS), "Size", "M")
            parent = [number, "variable", f"P-{product}", f"{thing} No. {product}", 1, text, "", f"Goods > {thing}s"]
            writer.writerow([*parent, images, "", f"Brand {product % 40}", *kind])
            for place, colour in enumerate(COLOURS, 1):
                name = f"{thing} No. {product} - {colour}"
                own = [number + place, "variation", f"P-{product}-{place}", name, 1, "", f"{product % 90 + 9},50", ""]
                image = f"https://shop.example/{product}-{place}.jpg"
                writer.writerow([*own, image, f"P-{product}", "", "Color", colour, "Size", "M"])


def imported(lines: int) -> tuple[float, float]:
    """Seconds and peak MiB of an import."""
    from catalogs.imports.importing import ImportOptions, import_catalog

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shop.csv")
        write(path, lines)
        started = time.perf_counter()
        report = import_catalog(str(path), str(Path(folder, "catalog")), ImportOptions(), lambda line: None)
        seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        products = lines // LINES_A_PRODUCT
        assert (report.read, report.accepted, report.joined) == (lines, products * len(COLOURS), products)
        _check(Path(folder, "catalog", "products.parquet"), lines)
    return seconds, peak / 1024


def scripted(lines: int) -> tuple[float, float]:
    """Seconds and peak MiB of the script."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "shop.csv"), Path(folder, "products.parquet")
        write(path, lines)
        started = time.perf_counter()
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        variations = frame[frame["Type"] == "variation"]
        parents = frame[frame["Type"] == "variable"].set_index("SKU")
        rows = []
        for row in variations.to_dict("records"):
            parent = parents.loc[row["Parent"]]
            rows.append(
                {
                    "product_id": row["SKU"],
                    "product_group": row["Parent"],
                    "title": parent["Name"],
                    "brand_id": parent["Brands"].lower().replace(" ", "-"),
                    "description": _plain(parent["Description"]),
                    "category": parent["Categories"],
                    "attributes": [
                        (row["Attribute 1 name"], row["Attribute 1 value(s)"]),
                        (row["Attribute 2 name"], row["Attribute 2 value(s)"]),
                    ],
                    "reference_images": [
                        {"uri": uri, "role": "hero"} for uri in (row["Images"] or parent["Images"]).split(", ")
                    ],
                    "price": float(row["Regular price"].replace(",", ".")),
                    "active": row["Published"] == parent["Published"] == "1",
                }
            )
        pd.DataFrame(rows).to_parquet(out)
        seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _check(out, lines)
    return seconds, peak / 1024


def _plain(text: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", text)).split())


def _check(path: Path, lines: int) -> None:
    """That a catalog has all that the export has."""
    columns = ["product_id", "product_group", "title", "description", "price", "reference_images"]
    table = pq.read_table(path, columns=columns)
    assert len(set(table["product_id"].to_pylist())) == len(table) == lines // LINES_A_PRODUCT * len(COLOURS)
    last = table.slice(len(table) - 1).to_pylist()[0]
    product = lines // LINES_A_PRODUCT - 1
    assert (last["product_id"], last["product_group"]) == (f"P-{product}-{len(COLOURS)}", f"P-{product}")
    assert last["title"] == f"{THINGS[product % len(THINGS)]} No. {product}"
    assert "Wash at 30°C." in last["description"]
    assert "<" not in last["description"]
    assert float(last["price"]) == product % 90 + 9.5
    assert last["reference_images"][0]["uri"] == f"https://shop.example/{product}-{len(COLOURS)}.jpg"


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for size in sizes:
            script, held = pool.apply(scripted, (size,))
            print(f"| pandas script, {size:,} rows | {size / script:,.0f} | 1.0 | {held:,.0f} |", flush=True)
            seconds, memory = pool.apply(imported, (size,))
            rate = size / seconds
            print(f"| packshot, {size:,} rows | {rate:,.0f} | {script / seconds:.2f} | {memory:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
