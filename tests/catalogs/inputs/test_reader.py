"""Catalogs are read from real files: single, partitioned, odd, damaged, and in a bucket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from catalogs.errors import CampaignError, CatalogError
from catalogs.inputs.reader import Batch, Catalog, Unreadable
from catalogs.inputs.schemas import BRANDS, PRODUCTS, conform
from catalogs.storage.store import Store
from tests.permissions import nobody, open_to_all
from tests.servers import S3Server

ROWS = 1000


def products(count: int = ROWS, **columns: Any) -> pa.Table:
    return pa.table(
        {
            "product_id": [f"P{i}" for i in range(count)],
            "brand_id": ["acme" if i % 2 else "zeta" for i in range(count)],
            "title": [f"Product {i}" for i in range(count)],
            "category": ["bags"] * (count // 2) + ["shoes"] * (count - count // 2),
            "price": [float(i) for i in range(count)],
            **columns,
        }
    )


def write(path: Path, table: pa.Table, row_group: int = 100) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group)
    return str(path)


def numbered(batches: Iterator[Batch]) -> list[tuple[int, str]]:
    return [(n, row["product_id"]) for b in batches for n, row in zip(b.numbers, b.rows, strict=True)]


def damage(path: str, column: str, row_groups: range) -> None:
    """Overwrite the pages of a column, and leave the footer whole."""
    metadata = pq.ParquetFile(path).metadata
    index = metadata.schema.names.index(column)
    with open(path, "r+b") as file:
        for group in row_groups:
            chunk = metadata.row_group(group).column(index)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            file.seek(start)
            file.write(b"\xff" * chunk.total_compressed_size)


def test_rows_come_in_order_with_their_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", products())
    catalog = Catalog.open(path, "products")
    batches = list(catalog.scan(batch_rows=64))
    assert catalog.row_count == ROWS
    assert catalog.columns == ("product_id", "brand_id", "title", "category", "price")
    assert catalog.schema.field("colors").type == PRODUCTS.field("colors").type
    assert max(len(batch.rows) for batch in batches) == 64
    assert {batch.file for batch in batches} == {path}
    assert numbered(iter(batches)) == [(i + 1, f"P{i}") for i in range(ROWS)]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ([["price", ">=", 997]], [998, 999, 1000]),
        ([["price", ">", 500], ["price", "<", 503.5]], [502, 503, 504]),
        ([[["product_id", "=", "P7"]], [["product_id", "in", ["P8", "P900"]]]], [8, 9, 901]),
        ([["category", "not in", ["bags", "shoes"]]], []),
        ([["category", "!=", "bags"], ["brand_id", "==", "acme"], ["price", "<=", 503]], [502, 504]),
    ],
)
def test_a_filter_keeps_original_row_numbers(tmp_path: Path, select: list[Any], expected: list[int]) -> None:
    catalog = Catalog.open(write(tmp_path / "p.parquet", products()), "products")
    found = numbered(catalog.scan(select=select))
    assert found == [(number, f"P{number - 1}") for number in expected]


@pytest.mark.parametrize("price_type", [pa.decimal128(10, 2), pa.int32(), pa.float32(), pa.decimal256(40, 2)], ids=str)
def test_a_whole_number_compares_with_any_price(tmp_path: Path, price_type: pa.DataType) -> None:
    table = products(10)
    table = table.set_column(4, "price", table["price"].cast(pa.decimal128(10, 2)).cast(price_type))
    catalog = Catalog.open(write(tmp_path / "p.parquet", table), "products")
    assert [n for n, _ in numbered(catalog.scan(select=[["price", ">", 7]]))] == [9, 10]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()], ids=str)
def test_text_of_any_kind_is_read_and_compared(tmp_path: Path, kind: pa.DataType) -> None:
    table = products(20)
    fields = [f.with_type(kind) if pa.types.is_string(f.type) else f for f in table.schema]
    catalog = Catalog.open(write(tmp_path / "p.parquet", table.cast(pa.schema(fields))), "products")
    assert numbered(catalog.scan(select=[["category", "in", ["shoes"]], ["product_id", "=", "P11"]])) == [(12, "P11")]


def test_columns_not_asked_for_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", products(season=["x"] * ROWS))
    damage(path, "season", range(10))
    catalog = Catalog.open(path, "products")
    rows = [row for batch in catalog.scan({"category", "no_such"}) for row in batch.rows]
    assert len(rows) == ROWS
    assert set(rows[0]) == {"product_id", "brand_id", "title", "category"}
    with pytest.raises(CatalogError, match=r"p\.parquet: the Parquet file is damaged .*; write or copy it again$"):
        list(catalog.scan())


def test_a_filter_column_not_asked_for_does_not_show(tmp_path: Path) -> None:
    catalog = Catalog.open(write(tmp_path / "p.parquet", products()), "products")
    (batch,) = catalog.scan(set(), [["price", "=", 3]])
    assert batch.rows == [{"product_id": "P3", "brand_id": "acme", "title": "Product 3"}]


def test_row_groups_are_skipped_by_their_statistics(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", products())
    damage(path, "title", range(9))
    catalog = Catalog.open(path, "products")
    assert numbered(catalog.scan(select=[["price", ">=", 998]])) == [(999, "P998"), (1000, "P999")]
    with pytest.raises(CatalogError):
        list(catalog.scan(select=[["price", ">=", 898]]))


def hive(root: Path, table: pa.Table, keys: list[str]) -> str:
    ds.write_dataset(table, root, format="parquet", partitioning=keys, partitioning_flavor="hive")
    return str(root)


def test_partition_folders_become_columns_and_prune_files(tmp_path: Path) -> None:
    table = products(8).set_column(1, "brand_id", pa.array(["007", "008"] * 4))
    table = table.append_column("year", pa.array([2024, 2025] * 4)).append_column("line", [["a b/c=d"] * 8])
    root = hive(tmp_path / "set", table, ["brand_id", "year", "line"])
    (tmp_path / "set" / "_SUCCESS").write_bytes(b"")
    (tmp_path / "set" / "notes.txt").write_text("not data")
    unwanted = next((tmp_path / "set" / "brand_id=007").rglob("*.parquet"))
    damage(str(unwanted), "title", range(1))
    catalog = Catalog.open(root, "products")
    assert set(catalog.columns) == set(table.column_names)
    batches = list(catalog.scan(select=[["brand_id", "=", "008"], ["year", ">", 2024], ["price", "<", 5]]))
    rows = [row for batch in batches for row in batch.rows]
    assert [(row["product_id"], row["brand_id"], row["year"], row["line"]) for row in rows] == [
        ("P1", "008", 2025, "a b/c=d"),
        ("P3", "008", 2025, "a b/c=d"),
    ]
    assert [list(batch.numbers) for batch in batches] == [[1, 2]]
    assert batches[0].file.startswith(root + "/brand_id=008/year=2025/")
    with pytest.raises(CatalogError):
        list(catalog.scan())


def test_files_of_a_folder_may_differ_in_optional_columns(tmp_path: Path) -> None:
    write(tmp_path / "set/a.parquet", products(2))
    write(tmp_path / "set/b.parquet", products(2, season=["SS26", "FW26"]).drop_columns(["category"]))
    catalog = Catalog.open(str(tmp_path / "set"), "products")
    assert "season" in catalog.columns
    assert numbered(catalog.scan(select=[["season", "=", "FW26"]])) == [(2, "P1")]
    assert [len(row) for batch in catalog.scan() for row in batch.rows] == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (
            [["catgory", "=", "bags"]],
            "campaign.yaml: select[0]: there is no column 'catgory'; did you mean 'category'?",
        ),
        ([["price", "~", 1]], "select[0]: unknown operator '~'; use one of = =="),
        ([["title", "=", 3]], "select[0]: column 'title' holds text, and 3 is none; put the value in quotes"),
        ([["description", "=", "x"]], "select: the catalog"),
        (
            [["price", ">", "ten"]],
            "select[0]: column 'price' holds numbers, and ten is none; write a value of that kind",
        ),
        (
            [[["price", ">", 1]], [["price", "=", {"a": 1}]]],
            "select[1][0]: column 'price' holds numbers, and {'a': 1} is none",
        ),
        ([["category", "in", "bags"]], "select[0]: 'in' needs a list of values; write [category, in, [...]]"),
        ([["category", "=", None]], "select[0]: nothing compares with null"),
        (["category", "=", "bags"], "select[0]: 'category' is no [column, operator, value]; write [["),
        ([["price", ">"]], "select[0]: ['price', '>'] is no [column, operator, value]"),
        ([[["price", ">", 1], ["price"]]], "select[0][1]: ['price'] is no"),
        ("price > 1", "select: 'price > 1' is no filter"),
    ],
)
def test_a_wrong_filter_is_one_line_before_any_row(tmp_path: Path, select: Any, message: str) -> None:
    catalog = Catalog.open(write(tmp_path / "p.parquet", products(4)), "products")
    with pytest.raises(CampaignError) as caught:
        catalog.scan(select=select, source="campaign.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def not_parquet(folder: Path) -> Path:
    (folder / "p.parquet").write_text("product_id,title\n")
    return folder / "p.parquet"


def empty_file(folder: Path) -> Path:
    (folder / "p.parquet").write_bytes(b"")
    return folder / "p.parquet"


def truncated(folder: Path) -> Path:
    path = Path(write(folder / "p.parquet", products()))
    path.write_bytes(path.read_bytes()[:-500])
    return path


def damaged_footer(folder: Path) -> Path:
    path = Path(write(folder / "p.parquet", products()))
    data = path.read_bytes()
    path.write_bytes(data[:-300] + b"\xff" * 250 + data[-50:])
    return path


def empty_folder(folder: Path) -> Path:
    (folder / "set" / "_temporary").mkdir(parents=True)
    write(folder / "set/_temporary/half.parquet", products(1))
    return folder / "set"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (not_parquet, "is not a Parquet file; write it as one, for example with pandas: read_csv(...).to_parquet(...)"),
        (empty_file, "the file is empty"),
        (truncated, "the Parquet file is cut short or damaged"),
        (damaged_footer, "the Parquet file is cut short or damaged"),
        (empty_folder, "the folder holds no Parquet file"),
        (lambda folder: folder / "none.parquet", "there is no such file or folder"),
        (lambda folder: f"https://example.com{folder}/p.parquet", "https:// is read of photos alone"),
        (lambda folder: "", "the path is empty"),
    ],
)
def test_what_is_no_catalog_is_told_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path | str], message: str
) -> None:
    uri = str(make(tmp_path))
    with pytest.raises(CatalogError) as caught:
        Catalog.open(uri, "products")
    assert str(caught.value).startswith(f"{uri}: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", products(1))
    os.chmod(path, 0)
    open_to_all(tmp_path)
    with nobody(), pytest.raises(CatalogError, match=r"p\.parquet: permission was denied"):
        Catalog.open(path, "products")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"brand_id": None}, "required column 'brand_id' missing; it has: product_id, title"),
        ({"brand_id": None, "title": None}, "required columns 'brand_id', 'title' missing"),
        ({"product_id": None, "productid": pa.string()}, "is 'productid' meant as 'product_id'?"),
        ({"product_id": pa.bool_()}, "column 'product_id': is bool, wanted string; cast the column"),
        ({"title": pa.int64()}, "column 'title': is int64, wanted string; cast the column"),
        ({"price": pa.string()}, "column 'price': is string, wanted decimal, integer or double"),
        ({"materials": pa.int8()}, "column 'materials': is int8, wanted list<string>"),
        (
            {"price": pa.string(), "materials": pa.int8()},
            "column 'materials': is int8, wanted list<string>; column 'price' is string, wanted decimal, integer or "
            "double; cast the columns",
        ),
        ({"colors": pa.list_(pa.struct([("code", pa.string())]))}, "wanted list<struct<hex, name>>"),
        ({"colors": pa.list_(pa.struct([("hex", pa.int32())]))}, "wanted list<struct<hex, name>>"),
        ({"attributes": pa.map_(pa.string(), pa.int64())}, "wanted map<string, string>"),
        ({"reference_images": pa.list_(pa.int8())}, "wanted list<struct<uri, role, licence,"),
    ],
)
def test_a_wrong_column_is_named_with_both_types(fields: dict[str, Any], message: str) -> None:
    types = {"product_id": pa.string(), "brand_id": pa.string(), "title": pa.string(), **fields}
    schema = pa.schema([(name, kind) for name, kind in types.items() if kind is not None])
    with pytest.raises(CatalogError) as caught:
        conform(schema, PRODUCTS, "p.parquet")
    assert str(caught.value).startswith("p.parquet: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("product_id", pa.large_string()),
        ("price", pa.int16()),
        ("price", pa.decimal256(40, 3)),
        ("description", pa.null()),
        ("materials", pa.large_list(pa.large_string())),
        ("colors", pa.list_(pa.string())),
        ("colors", pa.list_(pa.struct([("hex", pa.large_string()), ("pantone", pa.int32())]))),
        ("attributes", pa.struct([("fit", pa.string()), ("wash", pa.null())])),
        (
            "reference_images",
            pa.list_(pa.struct([("uri", pa.string()), ("licence_end", pa.timestamp("ns"))])),
        ),
    ],
)
def test_types_close_to_the_contract_are_taken(column: str, kind: pa.DataType) -> None:
    types = {
        "product_id": pa.string(),
        "brand_id": pa.string(),
        "title": pa.string(),
        "extra": pa.time32("s"),
    }
    schema = conform(pa.schema(list({**types, column: kind}.items())), PRODUCTS, "p.parquet")
    assert schema.field(column).type == kind
    assert set(schema.names) == {*PRODUCTS.names, "extra"}


def test_two_columns_of_one_name_are_refused() -> None:
    schema = pa.schema([("brand_id", pa.string()), ("name", pa.string()), ("name", pa.string())])
    with pytest.raises(CatalogError, match="column 'name': is there twice"):
        conform(schema, BRANDS, "b.parquet")


def test_values_that_python_cannot_hold_do_not_stop_the_scan(tmp_path: Path) -> None:
    odd = {
        "title": pa.array([b"ok", b"\xff\xfe"], pa.binary()).view(pa.string()),
        "launched": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
        "ends": pa.array([0, 10**15], pa.timestamp("ms")),
        "weight": [float("nan"), 1.5],
        "shelf": pa.array([date(2026, 1, 2), None]),
        "list_price": pa.array([Decimal("1.50"), None]),
    }
    catalog = Catalog.open(write(tmp_path / "p.parquet", products(2, **odd)), "products")
    (batch,) = catalog.scan()
    first, second = batch.rows
    assert batch.unreadable == {"title", "ends"}
    assert first["title"] == "ok"
    assert second["title"] == Unreadable("is not valid UTF-8")
    assert second["ends"] == Unreadable("is out of range")
    assert first["launched"] == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
    assert type(first["launched"]) is datetime
    assert (first["weight"], second["weight"]) == (None, 1.5)
    assert (first["shelf"], first["list_price"]) == (date(2026, 1, 2), Decimal("1.50"))


def peak_memory(path: str) -> int:
    """Most bytes that Arrow held at the end of any batch."""
    before = pa.total_allocated_bytes()
    return max(pa.total_allocated_bytes() - before for _ in Catalog.open(path, "products").scan())


@pytest.mark.parametrize("row_group", [2_000, 1_000_000], ids=["small row groups", "one row group"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, row_group: int) -> None:
    def big(count: int) -> str:
        texts = [f"{i} {'words ' * 40}{i * 7919}" for i in range(count)]
        path = tmp_path / f"{count}.parquet"
        pq.write_table(products(count, description=texts), path, row_group_size=row_group, use_dictionary=False)
        return str(path)

    small, large = peak_memory(big(40_000)), peak_memory(big(80_000))
    assert large < 1.5 * small
    assert large < 80_000 * 240 / 2


def test_a_dataset_in_a_bucket_reads_like_a_local_one(tmp_path: Path, moto_s3: S3Server) -> None:
    bucket = moto_s3.bucket()
    root = Path(hive(tmp_path / "set", products(), ["category"]))
    store = Store.at(f"s3://{bucket}/in/set")
    for path in root.rglob("*.parquet"):
        store.write_file(str(path.relative_to(root)), str(path))
    catalog = Catalog.open(f"s3://{bucket}/in/set", "products")
    (batch,) = catalog.scan({"category"}, [["category", "=", "shoes"], ["price", ">", 997]])
    assert batch.file.startswith(f"s3://{bucket}/in/set/category=shoes/")
    assert list(batch.numbers) == [499, 500]
    assert [row["product_id"] for row in batch.rows] == ["P998", "P999"]
    assert catalog.row_count == ROWS
    with pytest.raises(CatalogError, match="there is no such file or folder"):
        Catalog.open(f"s3://{bucket}/in/none.parquet", "products")
    with pytest.raises(CatalogError, match="the bucket does not exist"):
        Catalog.open("s3://no-such-bucket-here/p.parquet", "products")
