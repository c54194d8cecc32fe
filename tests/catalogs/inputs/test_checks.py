"""Raw rows become clean rows or rejects; nothing a catalog holds makes them raise."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.inputs.checks import ProductChecker, SeenIds, hex_colour, load_brands
from catalogs.inputs.reader import Batch, Catalog, Unreadable
from catalogs.inputs.reject_file import Reject, RejectWriter, write_rejects

GOOD = {"product_id": "A1", "brand_id": "acme", "title": "Bag"}


def check(*rows: Mapping[str, Any], brands: Mapping[str, Any] | None = None) -> tuple[list[Any], list[Reject]]:
    columns = dict.fromkeys(column for row in rows for column in row)
    full = [{**columns, **GOOD, **row} for row in rows]
    unreadable = frozenset(k for row in full for k, v in row.items() if isinstance(v, Unreadable))
    batch = Batch("p.parquet", range(1, len(rows) + 1), full, unreadable)
    return ProductChecker({"acme": {}}, "p.parquet").check(batch)


@pytest.mark.parametrize(
    ("column", "raw", "clean"),
    [
        ("product_id", "24-MB01_x.y", "24-MB01_x.y"),
        ("title", " <b>Joust</b> Duffle&nbsp;Bag\n", "Joust Duffle Bag"),
        ("description", "<p></p>", None),
        ("description", None, None),
        ("category", "A &amp; B", "A & B"),
        ("url", " https://x.de/?a=1&lt=2 ", "https://x.de/?a=1&lt=2"),
        ("url", "  ", None),
        ("materials", ["<i>wool</i>", None, "  ", "silk"], ["wool", "silk"]),
        ("materials", None, []),
        ("attributes", [("fit", "slim"), ("wash", None), (" ", "x")], {"fit": "slim"}),
        ("attributes", {"fit": "slim &amp; tall", "wash": None}, {"fit": "slim & tall"}),
        ("attributes", None, {}),
        ("colors", None, []),
        ("colors", [None, "f0a"], [{"hex": "#FF00AA"}]),
        ("colors", [{"name": " deep  sea", "hex": "0b3d91 "}], [{"name": "deep sea", "hex": "#0B3D91"}]),
        ("colors", [{"name": None, "hex": "#FFF", "lab": 3}], [{"name": None, "hex": "#FFFFFF", "lab": 3}]),
        ("price", 12, Decimal("12")),
        ("price", 19.99, Decimal("19.99")),
        ("price", Decimal("19.90"), Decimal("19.90")),
        ("price", 0, Decimal("0")),
        ("price", None, None),
        ("extra", "<kept as is>", "<kept as is>"),
    ],
)
def test_a_good_value_is_cleaned(column: str, raw: Any, clean: Any) -> None:
    rows, rejects = check({column: raw})
    assert rejects == []
    ((file, number, row),) = rows
    assert (file, number) == ("p.parquet", 1)
    assert row[column] == clean


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a/b.jpg", {"uri": "a/b.jpg", "role": "", "licence": None, "licence_end": None, "territories": []}),
        (
            {
                "uri": " x.png ",
                "role": "Hero",
                "territories": ["de", None, " "],
                "licence_end": date(2026, 1, 2),
            },
            {"uri": "x.png", "role": "hero", "territories": ["DE"], "licence_end": date(2026, 1, 2)},
        ),
        ({"uri": "x", "licence_end": datetime(2026, 1, 2, 3, tzinfo=UTC)}, {"licence_end": date(2026, 1, 2)}),
        ({"uri": "x", "licence_end": "2026-01-02"}, {"licence_end": date(2026, 1, 2)}),
        ({"uri": "x", "licence_end": "2026-01-02T00:00:00Z"}, {"licence_end": date(2026, 1, 2)}),
        (
            {"uri": "x", "licence_end": " ", "photographer": "N. N."},
            {"licence_end": None, "photographer": "N. N."},
        ),
    ],
)
def test_a_reference_image_is_cleaned(image: Any, expected: dict[str, Any]) -> None:
    ((_, _, row),), _ = check({"reference_images": [None, image]})
    (clean,) = row["reference_images"]
    assert {key: clean[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("column", "raw", "value", "reason"),
    [
        ("product_id", None, "", "is empty; every row needs one"),
        ("product_id", " ", "", "is empty; every row needs one"),
        ("product_id", "A1\n", "A1\\n", "holds a control or format character; write it without"),
        ("product_id", Unreadable("is not valid UTF-8"), "", "is not valid UTF-8"),
        ("brand_id", "nobody", "nobody", "the brand catalog has no usable brand of this id"),
        ("title", "<p>&nbsp;</p>", "<p>&nbsp;</p>", "is empty; every row needs one"),
        ("title", None, "", "is empty"),
        ("description", Unreadable("is not valid UTF-8"), "", "is not valid UTF-8"),
        ("launched", Unreadable("is out of range"), "", "is out of range"),
        (
            "colors",
            [{"name": "red", "hex": "#F00"}, {"hex": "red"}],
            "red",
            "colour 2: 'red' is no hex colour; write #RRGGBB",
        ),
        ("colors", [{"name": " ", "hex": None}], "", "colour 1: has neither hex nor name"),
        ("price", -0.01, "-0.01", "is negative; a price is 0 or more"),
        ("price", Decimal("-1"), "-1", "is negative"),
        ("price", float("inf"), "inf", "is no price"),
        ("reference_images", [{"uri": " ", "role": "hero"}], "", "image 1: its uri is empty"),
        (
            "reference_images",
            ["a", {"uri": "b", "licence_end": "31.12.2026"}],
            "31.12.2026",
            "image 2: its licence_end",
        ),
        (
            "reference_images",
            [{"uri": "b", "licence_end": "2026-02-30"}],
            "2026-02-30",
            "image 1: its licence_end",
        ),
    ],
)
def test_a_bad_value_rejects_its_row_alone(column: str, raw: Any, value: str, reason: str) -> None:
    rows, rejects = check({"product_id": "before"}, {column: raw}, {"product_id": "after"})
    assert [row["product_id"] for _, _, row in rows] == ["before", "after"]
    (reject,) = rejects
    assert (reject.file, reject.row, reject.column, reject.value) == ("p.parquet", 2, column, value)
    assert reject.reason.startswith(reason)
    assert "\n" not in str(reject)


def test_every_problem_of_a_row_is_told() -> None:
    _, rejects = check({"product_id": "a\tb", "title": "", "price": -1})
    assert [reject.column for reject in rejects] == ["product_id", "title", "price"]


def test_later_rows_of_an_id_are_rejected_across_batches() -> None:
    checker = ProductChecker({"acme": {}}, "p.parquet")
    found = []
    for start in (1, 3):
        numbers = range(start, start + 2)
        rows, rejects = checker.check(Batch("p.parquet", numbers, [dict(GOOD), {**GOOD, "product_id": f"B{start}"}]))
        found.append(([number for _, number, _ in rows], [(r.row, r.reason) for r in rejects]))
    assert found == [([1, 2], []), ([4], [(3, "an earlier row of p.parquet has the same id")])]


def test_ids_are_told_apart_exactly_and_in_little_memory() -> None:
    seen = SeenIds()
    ids = [f"SKU-{i}" for i in range(100_000)]
    assert all(seen.add(identifier) for identifier in ids)
    random.Random(1).shuffle(ids)
    assert not any(seen.add(identifier) for identifier in ids)
    assert len(seen) == 100_000
    held = sum(sys.getsizeof(bucket) for bucket in seen._buckets.values())
    assert held < 100 * len(ids)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("#a1b2c3", "#A1B2C3"), ("a1b2c3", "#A1B2C3"), ("#abc", "#AABBCC"), (" FFF ", "#FFFFFF")]
    + [(bad, None) for bad in ("", "#", "#ab", "#abcd", "#1234567", "red", "#GGGGGG", "##ffffff", "0x123456")],
)
def test_hex_colours(text: str, expected: str | None) -> None:
    assert hex_colour(text) == expected


def test_brands_load_by_id_without_their_bad_rows(tmp_path: Path) -> None:
    colour = pa.struct(dict.fromkeys(["name", "hex", "role"], pa.string()))
    palette = [[{"name": "sea", "hex": "#036", "role": "accent"}], [], [], None, [{"hex": "blue"}]]
    table = pa.table(
        {
            "brand_id": ["acme", "zeta", "acme", "", "kilo"],
            "name": ["Acme &amp; Sons", "Zeta", "Twin", "Nameless", "Kilo"],
            "palette": pa.array(palette, pa.list_(colour)),
            "mood": ["<i>calm</i>", None, None, None, None],
            "slogan": ["Kept", None, None, None, None],
        }
    )
    path = tmp_path / "brands.parquet"
    pq.write_table(table, path, row_group_size=2)
    brands, rejects = load_brands(Catalog.open(str(path), "brands"))
    assert list(brands) == ["acme", "zeta"]
    assert brands["acme"] == {
        "brand_id": "acme",
        "name": "Acme & Sons",
        "palette": [{"name": "sea", "hex": "#003366", "role": "accent"}],
        "mood": "calm",
        "slogan": "Kept",
    }
    assert [(reject.row, reject.column) for reject in rejects] == [
        (3, "brand_id"),
        (4, "brand_id"),
        (5, "palette"),
    ]


def test_products_check_straight_from_a_file(tmp_path: Path) -> None:
    images = [[{"uri": "a.jpg", "territories": ["at"]}], [], None]
    image = pa.struct({"uri": pa.string(), "role": pa.string(), "territories": pa.list_(pa.string())})
    table = pa.table(
        {
            "product_id": ["A", "B", "C"],
            "brand_id": ["acme", "acme", "none"],
            "title": pa.array([b"ok", b"\xff", b"fine"]).view(pa.string()),
            "attributes": pa.array([[("fit", "slim")], None, []], pa.map_(pa.string(), pa.string())),
            "reference_images": pa.array(images, pa.list_(image)),
            "price": pa.array([float("nan"), 1.0, 2.0]),
        }
    )
    path = str(tmp_path / "p.parquet")
    pq.write_table(table, path)
    (batch,) = Catalog.open(path, "products").scan()
    rows, rejects = ProductChecker({"acme": {}}, path).check(batch)
    ((_, _, row),) = rows
    assert (row["attributes"], row["price"]) == ({"fit": "slim"}, None)
    assert row["reference_images"][0]["territories"] == ["AT"]
    assert [(reject.row, reject.column) for reject in rejects] == [(2, "title"), (3, "brand_id")]


def test_rejects_open_as_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rejects.parquet"
    with RejectWriter(path) as writer:
        for row in range(20_000):
            writer.write([Reject("p.parquet", row, "title", "", "is empty")])
    table = pq.read_table(path)
    assert table.column_names == ["file", "row", "column", "value", "reason", "product_id", "code", "title"]
    assert table["row"].to_pylist() == list(range(20_000))
    assert writer.count == 20_000


def test_rejects_go_to_a_buffer_and_none_make_an_empty_table() -> None:
    for rejects in ([], check({"title": None, "price": "x" * 0 or -1})[1]):
        buffer = io.BytesIO()
        assert write_rejects(buffer, rejects) == len(rejects)
        assert pq.read_table(io.BytesIO(buffer.getvalue())).num_rows == len(rejects)


def test_a_long_or_broken_value_is_shown_short() -> None:
    _, rejects = check({"product_id": "x " * 500 + "\ud800"})
    assert len(rejects[0].value) == 200
    write_rejects(io.BytesIO(), rejects)
