"""Ids of real shops: numbers, slashes, umlauts; exactly as they are, whatever the file's type."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.errors import CatalogError
from catalogs.identity import key_part
from catalogs.inputs.checks import ProductChecker, load_brands
from catalogs.inputs.reader import Catalog
from catalogs.inputs.reject_file import Code, Reject
from tests.flows.projects import Project, make, rendered

NFC, NFD = "\u00dcBER-1", "U\u0308BER-1"


def read(path: Path, columns: dict[str, Any], select: list[Any] | None = None) -> tuple[list[Any], list[Reject]]:
    """Clean rows and rejects of a product catalog with these columns."""
    rows = len(next(iter(columns.values())))
    filled = {"product_id": [f"p{i}" for i in range(rows)], "brand_id": ["acme"] * rows, "title": ["Mug"] * rows}
    pq.write_table(pa.table({**filled, **columns}), path / "products.parquet")
    catalog = Catalog.open(str(path / "products.parquet"), "products")
    checker, clean, rejects = ProductChecker({"acme": {}, "7": {}}, "p"), [], []
    for batch in catalog.scan(select=select):
        good, bad = checker.check(batch)
        clean += [row for _, _, row in good]
        rejects += bad
    return clean, rejects


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (pa.array([7, 80123456789012345], pa.int64()), ["7", "80123456789012345"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([-5], pa.int8()), ["-5"]),
        (pa.array([7.0, 2.0**53 - 1]), ["7", "9007199254740991"]),
        (pa.array([Decimal("12.00")], pa.decimal128(10, 2)), ["12"]),
        (pa.array([Decimal(10**30)], pa.decimal256(50, 0)), [str(10**30)]),
        (["007", "0.10", "1e5"], ["007", "0.10", "1e5"]),
        (["12/34 B", "a\\b", "100%", "..", "."], ["12/34 B", "a\\b", "100%", "..", "."]),
        ([NFC, "\u6771\u4eac", "\U0001f45f"], [NFC, "\u6771\u4eac", "\U0001f45f"]),
        ([NFD], [NFC]),
        (["x" * 200], ["x" * 200]),
        (pa.array(["A1"]).dictionary_encode(), ["A1"]),
        (pa.array(["A1"], pa.large_string()), ["A1"]),
        ([" A1"], [" A1"]),
    ],
)
def test_an_id_is_taken_as_it_is(tmp_path: Path, values: Any, ids: list[str]) -> None:
    clean, rejects = read(tmp_path, {"product_id": values})
    assert ([row["product_id"] for row in clean], rejects) == (ids, [])


@pytest.mark.parametrize(
    ("values", "value", "reason"),
    [
        (["a\tb", "p1"], "a\\tb", "holds a control or format character; write it without"),
        (["a\0b", "p1"], "a\\x00b", "holds a control or format character; write it without"),
        (["a\u200bb", "p1"], "a\\u200bb", "holds a control or format character; write it without"),
        (["a\u202eb", "p1"], "a\\u202eb", "holds a control or format character; write it without"),
        (["x" * 201, "p1"], "x" * 197 + "...", "is 201 characters long; an id has 200 at most"),
        ([" \u3000 ", "p1"], "\\u3000", "is empty; every row needs one"),
        (["", "p1"], "", "is empty; every row needs one"),
        ([None, "p1"], "", "is empty; every row needs one"),
        ([7.5, 1.0], "7.5", "is not a whole number; write ids as text"),
        ([2.0**53, 1.0], "9007199254740992.0", "is a number that a double does not hold exactly"),
        ([float("inf"), 1.0], "inf", "is not a whole number; write ids as text"),
        ([float("nan"), 1.0], "", "is empty; every row needs one"),
        ([Decimal("7.5"), Decimal("1")], "7.5", "is not a whole number; write ids as text"),
    ],
)
def test_an_id_that_is_none_leaves_out_its_row_alone(tmp_path: Path, values: Any, value: str, reason: str) -> None:
    clean, [reject] = read(tmp_path, {"product_id": values})
    assert [row["product_id"] for row in clean] == ["1" if not isinstance(values[1], str) else "p1"]
    assert reject.reason.startswith(reason)
    assert reject.value == value
    assert reject.code in {Code.BAD_ID, Code.EMPTY}


def test_two_spellings_are_one_id(tmp_path: Path) -> None:
    clean, [reject] = read(tmp_path, {"product_id": [NFC, NFD]})
    assert [row["product_id"] for row in clean] == [NFC]
    assert reject.code == Code.DUPLICATE_ID


@pytest.mark.parametrize("held", [[NFC, "b"], [NFD, "b"]])
@pytest.mark.parametrize("asked", [NFC, NFD])
@pytest.mark.parametrize("operator", ["=", "==", "in", "!=", "not in"])
def test_a_selection_finds_both_spellings(tmp_path: Path, held: list[str], asked: str, operator: str) -> None:
    value = [asked] if operator.endswith("in") else asked
    clean, _ = read(tmp_path, {"product_id": held}, [["product_id", operator, value]])
    assert [row["product_id"] for row in clean] == (["b"] if operator in ("!=", "not in") else [NFC])


@pytest.mark.parametrize(
    ("held", "triple"),
    [
        (pa.array([7, 8]), ["product_id", "=", "7"]),
        (pa.array([7, 8]), ["product_id", "=", 7]),
        (pa.array([7, 8]), ["product_id", "in", ["7", 9]]),
        (pa.array([7.0, 8.0]), ["product_id", "in", ["7"]]),
        (pa.array([Decimal(7), Decimal(8)]), ["product_id", "=", "7"]),
        (pa.array(["7", "8"]), ["product_id", "=", 7]),
        (pa.array(["7", "007"]), ["product_id", "in", [7]]),
    ],
)
def test_a_selection_by_number_or_text(tmp_path: Path, held: Any, triple: list[Any]) -> None:
    clean, rejects = read(tmp_path, {"product_id": held}, [triple])
    assert ([row["product_id"] for row in clean], rejects) == (["7"], [])


@pytest.mark.parametrize(
    "column", ["materials", "reference_images", "colors", "attributes", "price", "description", "gtin"]
)
@pytest.mark.parametrize(
    "empty", [pa.array([None, None], pa.float64()), pa.array([float("nan")] * 2), pa.nulls(2), pa.nulls(2, pa.int32())]
)
def test_an_empty_column_of_any_type_is_an_absent_one(tmp_path: Path, column: str, empty: pa.Array) -> None:
    clean, rejects = read(tmp_path, {column: empty})
    assert (len(clean), rejects) == (2, [])
    assert not any(row.get(column) for row in clean)


def test_an_empty_column_beside_a_full_one_of_another_file(tmp_path: Path) -> None:
    for number, materials in enumerate((pa.array([float("nan")]), pa.array([["wood"]]))):
        columns = {"product_id": [f"p{number}"], "brand_id": ["acme"], "title": ["Mug"], "materials": materials}
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    catalog, checker = Catalog.open(str(tmp_path), "products"), ProductChecker({"acme": {}}, "p")
    rows = [row for batch in catalog.scan() for _, _, row in checker.check(batch)[0]]
    assert [row.get("materials") or [] for row in rows] == [[], ["wood"]]


def test_numbers_for_group_and_gtin_are_text(tmp_path: Path) -> None:
    clean, rejects = read(
        tmp_path, {"product_group": pa.array([80, 81]), "gtin": pa.array([4006381333931.0, float("nan")])}
    )
    assert [(row["product_group"], row["gtin"]) for row in clean] == [("80", "4006381333931"), ("81", None)]
    assert rejects == []


def test_nan_in_a_struct_is_nothing_and_a_number_is_told(tmp_path: Path) -> None:
    image = pa.struct([("uri", pa.string()), ("role", pa.float64()), ("licence", pa.float64())])
    photos = pa.array([[{"uri": "a.png", "role": float("nan")}], [{"uri": "a.png", "role": 5.0}]], pa.list_(image))
    [clean], [reject] = read(tmp_path, {"reference_images": photos})
    assert (clean["reference_images"][0]["role"], reject.reason) == ("", "item 1: its role is a number, not a text")


@pytest.mark.parametrize(
    ("identifier", "part"),
    [
        ("A1", "A1"),
        ("a.b_c-D", "a.b_c-D"),
        ("x" * 128, "x" * 128),
        ("12/34 B", "12~2F34~20B"),
        (NFC, "~C3~9CBER-1"),
        ("a~b", "a~7Eb"),
        (".", "~2E"),
        ("..", "~2E."),
        (".hidden", "~2Ehidden"),
        ("-x", "-x"),
        ("x" * 129, "x" * 60 + "~~0ec9eb33e74510bcdd1f2ea5"),
        ("\u6771" * 100, "~E6~9D~B1" * 6 + "~E6~9D~~e8dc122444df5544810dd9f8"),
    ],
)
def test_keys_of_ids(identifier: str, part: str) -> None:
    assert key_part(identifier) == part
    assert len(part) <= 128


def test_ids_of_a_real_shop_are_planned_rendered_and_found(tmp_path: Path) -> None:
    """Numbers in both catalogs, odd texts, and a long name: the keys are plain, the record has the ids."""
    odd = ["12/34 B", NFD, "..", "a~b", "x" * 200, "100 %", "C:\\mug", "\u6771\u4eac"]
    project = Project.of(tmp_path, len(odd))
    project.brands[0]["brand_id"] = "7"
    for product, identifier in zip(project.products, odd, strict=True):
        product |= {"product_id": identifier, "brand_id": "7"}
    project.write()
    brands = pq.read_table(tmp_path / "brands.parquet").to_pydict()
    pq.write_table(pa.table({**brands, "brand_id": [7, 8]}), tmp_path / "brands.parquet")
    assert set(load_brands(Catalog.open(str(tmp_path / "brands.parquet"), "brands"))[0]) == {"7", "8"}
    planned = project.plan()
    assert (planned.summary["looks"], planned.summary["rejected"]) == (8, 0)
    assert rendered(make(planned)) == 16
    view = project.view()
    assert {key[1] for key in view} == {NFC, *odd} - {NFD}
    for row in view.values():
        assert row["asset_key"].isascii()
        assert (tmp_path / "output" / row["asset_key"]).is_file()
    assert project.plan().summary["actions"] == {"unchanged": len(view)}
    for identifier in (NFC, NFD):
        assert project.plan(only=(identifier,)).summary["looks"] == 1


@pytest.mark.parametrize("column", ["product_id", "brand_id", "title", "reference_images"])
def test_a_catalog_whose_column_is_empty_retires_nothing_and_is_told(tmp_path: Path, column: str) -> None:
    project = Project.of(tmp_path, 3)
    make(project.plan())
    table = pq.read_table(tmp_path / "products.parquet")
    index = table.schema.names.index(column)
    pq.write_table(table.set_column(index, column, pa.array([float("nan")] * 3)), tmp_path / "products.parquet")
    with pytest.raises(CatalogError, match="none left"):
        project.plan()
    assert {row["status"] for row in project.view().values()} == {"delivered"}
