"""Commits that Spark, pandas or DuckDB rewrote say what they said; what a rewriting changed is no commit any more."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.assets.commits import UnreadCommit, read_commit
from catalogs.assets.history import History, read_current
from catalogs.columns import ASSETS
from catalogs.storage.store import Store
from tests.catalogs.assets.test_commits import ONE, TWO, row, started

KEY = "catalog/r1/rewritten.parquet"
PHOTO = {
    "uri": "photos/ä.png",
    "sha256": "ef" * 32,
    "role": "hero",
    "width": 80,
    "height": 60,
    "licence": None,
    "licence_end": date(2027, 5, 1),
    "territories": ["DE", "FR"],
}
WHOLE = row(
    ONE,
    **started("r1", 3),
    covers=["mug", "cup"],
    prompt="ein Becher, weiß",
    references=[PHOTO, {**PHOTO, "licence_end": None, "territories": None}],
    upstream_references=[],
    versions=[("torch", "2.9"), ("packshot", "1")],
    quality=[],
    seconds=1.25,
    seed=2**53 - 1,
    bytes=123456,
    master=False,
    has_person=None,
    steps=None,
)
BARE = {**row(TWO, "failed", minute=1), "run_id": "r1", "ordered_at": None, "step": None}
TABLE = pa.Table.from_pylist([WHOLE, BARE], schema=ASSETS)
OTHER = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)


def encoded(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def cast(change: Callable[[pa.DataType], pa.DataType | None]) -> bytes:
    """With the types of some top columns changed."""
    table = TABLE
    for place, field in enumerate(ASSETS):
        if (wanted := change(field.type)) is not None:
            table = table.set_column(place, field.name, table[field.name].cast(wanted))
    return encoded(table)


def texts(wanted: pa.DataType) -> bytes:
    return cast(lambda type: wanted if type == pa.string() else None)


def times(wanted: pa.DataType) -> bytes:
    return cast(lambda type: wanted if pa.types.is_timestamp(type) else None)


def whole(wanted: pa.DataType) -> bytes:
    return cast(lambda type: wanted if type == pa.int32() else None)


def replaced(name: str, column: pa.Array, source: pa.Table = TABLE) -> bytes:
    return encoded(source.set_column(source.schema.get_field_index(name), name, column))


def dictionaries() -> bytes:
    table = TABLE
    for place, field in enumerate(ASSETS):
        if field.type == pa.string():
            table = table.set_column(place, field.name, table[field.name].dictionary_encode())
    return encoded(table)


def large_lists() -> bytes:
    deep = pa.large_list(pa.struct([*((f.name, pa.large_string()) for f in []), *_photo_fields(pa.large_string())]))
    table = TABLE.set_column(
        ASSETS.get_field_index("covers"),
        "covers",
        pa.array(TABLE["covers"].to_pylist(), pa.large_list(pa.large_string())),
    )
    for name in ("references", "upstream_references"):
        table = table.set_column(ASSETS.get_field_index(name), name, pa.array(TABLE[name].to_pylist(), deep))
    return encoded(table)


def _photo_fields(text: pa.DataType) -> list[tuple[str, pa.DataType]]:
    """Of a photo, in another order, with longer numbers."""
    return [
        ("territories", pa.large_list(text)),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("licence_end", pa.date64()),
        ("licence", text),
        ("role", text),
        ("sha256", text),
        ("uri", text),
    ]


def maps_as(wanted: pa.DataType, made: Callable[[Any], Any]) -> bytes:
    values = [None if value is None else made(value) for value in TABLE["versions"].to_pylist()]
    return replaced("versions", pa.array(values, wanted))


def by_pandas(**options: Any) -> bytes:
    buffer = io.BytesIO()
    pd.read_parquet(io.BytesIO(encoded(TABLE)), **options).to_parquet(buffer)
    return buffer.getvalue()


def by_pandas_with_an_index() -> bytes:
    buffer = io.BytesIO()
    frame = pd.read_parquet(io.BytesIO(encoded(TABLE)))
    frame.index = pd.Index(["x", "y"])
    frame.to_parquet(buffer, index=True)
    assert "__index_level_0__" in pq.read_schema(buffer).names
    return buffer.getvalue()


def by_duckdb(query: str = "SELECT * FROM source") -> bytes:
    """Rewritten by DuckDB itself."""
    source = TABLE
    with duckdb.connect() as connection:
        connection.register("source", source)
        return encoded(connection.sql(query).to_arrow_table())


def by_duckdb_to_file(tmp: Path) -> bytes:
    (tmp / "in.parquet").write_bytes(encoded(TABLE))
    duckdb.sql(f"COPY (FROM '{tmp}/in.parquet') TO '{tmp}/out.parquet'")
    return (tmp / "out.parquet").read_bytes()


PAIR = pa.struct([("key", pa.string()), ("value", pa.string())])
REWRITTEN: dict[str, Callable[[], bytes]] = {
    "as it is": lambda: encoded(TABLE),
    "int64": lambda: whole(pa.int64()),
    "int16 and unsigned": lambda: whole(pa.uint16()),
    "double for whole numbers": lambda: whole(pa.float64()),
    "decimals": lambda: replaced("seed", pa.array([Decimal(2**53 - 1), None], pa.decimal128(38, 0))),
    "float for numbers": lambda: cast(lambda type: pa.float32() if type == pa.float64() else None),
    "nanoseconds": lambda: times(pa.timestamp("ns", "UTC")),
    "nanoseconds as INT96": lambda: encoded(TABLE, use_deprecated_int96_timestamps=True),
    "milliseconds": lambda: times(pa.timestamp("ms", "UTC")),
    "another zone": lambda: times(pa.timestamp("us", "Europe/Berlin")),
    "no zone": lambda: times(pa.timestamp("us")),
    "nanoseconds, no zone": lambda: times(pa.timestamp("ns")),
    "large texts": lambda: texts(pa.large_string()),
    "text views": lambda: texts(pa.string_view()),
    "bytes": lambda: texts(pa.binary()),
    "bytes of a fixed length": lambda: replaced("sha256", pa.array([b"ab" * 32] * 2, pa.binary(64))),
    "dictionaries": dictionaries,
    "large lists, structs in another order, dates as times": large_lists,
    "maps as lists of structs": lambda: maps_as(pa.list_(PAIR), lambda v: [{"key": k, "value": x} for k, x in v]),
    "maps as lists of pairs": lambda: maps_as(pa.list_(pa.list_(pa.string())), lambda v: [list(pair) for pair in v]),
    "maps as structs": lambda: maps_as(pa.struct([("torch", pa.string()), ("packshot", pa.string())]), dict),
    "columns of nothing": lambda: replaced("steps", pa.nulls(2)),
    "columns in another order": lambda: encoded(TABLE.select(ASSETS.names[::-1])),
    "more columns": lambda: encoded(TABLE.append_column("note", pa.array([1, 2]))),
    "no compression, one row a group": lambda: encoded(TABLE, compression="none", row_group_size=1),
    "pandas": by_pandas,
    "pandas with Arrow types": lambda: by_pandas(dtype_backend="pyarrow"),
    "pandas with nullable types": lambda: by_pandas(dtype_backend="numpy_nullable"),
    "pandas with an index": by_pandas_with_an_index,
    "DuckDB by Arrow": by_duckdb,
}


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "output"))


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**item, "commit": None} for item in rows]


@pytest.mark.parametrize("shape", REWRITTEN)
def test_every_row_is_what_it_was(output: Store, shape: str) -> None:
    output.write(KEY, REWRITTEN[shape]())
    found = read_commit(output, KEY)
    assert found.drop_columns("commit").schema.equals(ASSETS)
    assert comparable(found.to_pylist()) == comparable(TABLE.append_column("commit", pa.nulls(2)).to_pylist())
    assert len(History.read(output)) == 1
    assert read_current(output).num_rows == 1


def test_a_file_that_duckdb_wrote_is_read(output: Store, tmp_path: Path) -> None:
    output.write(KEY, by_duckdb_to_file(tmp_path))
    assert comparable(read_commit(output, KEY).drop_columns("commit").to_pylist()) == comparable(TABLE.to_pylist())


@pytest.mark.parametrize("missing", [["master", "upstream_references", "territory", "ordered_at", "step"], ["step"]])
def test_columns_that_came_later_may_be_missing(output: Store, missing: list[str]) -> None:
    output.write(KEY, encoded(TABLE.drop_columns(missing)))
    expected = [{**item, **dict.fromkeys(missing)} for item in TABLE.to_pylist()]
    assert comparable(read_commit(output, KEY).drop_columns("commit").to_pylist()) == comparable(expected)


def with_times(*moments: Any, type: pa.DataType) -> bytes:
    return replaced("created_at", pa.array(moments, type))


LOSSY: dict[str, tuple[Callable[[], bytes], str]] = {
    "a number that is too large": (lambda: replaced("variation", pa.array([0, 2**40])), "'variation'"),
    "half a number": (lambda: replaced("variation", pa.array([0.0, 1.5])), "'variation'"),
    "a whole number that a double cannot hold": (
        lambda: replaced("seconds", pa.array([2**60 + 1, 0])),
        "'seconds'",
    ),
    "a whole number that a double may have changed": (lambda: replaced("seed", pa.array([2.0**53, None])), "'seed'"),
    "less than a microsecond": (
        lambda: with_times(np.datetime64("2026-01-01T00:00:00.000000001"), None, type=pa.timestamp("ns")),
        "'created_at'",
    ),
    "times as text": (lambda: replaced("created_at", pa.array(["2026-01-01"] * 2)), "'created_at'"),
    "a time in no year": (lambda: with_times(2**62, 0, type=pa.timestamp("us", "UTC")), "created_at in no year"),
    "numbers for texts": (lambda: replaced("look", pa.array([1, 2])), "'look'"),
    "numbers for flags": (lambda: replaced("final", pa.array([0, 1])), "'final'"),
    "bytes that are no text": (lambda: replaced("prompt", pa.array([b"\xff", b""], pa.binary())), "'prompt'"),
    "texts for a list": (lambda: replaced("covers", pa.array(["mug", "cup"])), "'covers'"),
    "photos that are texts": (lambda: replaced("references", pa.array([["a.png"], None])), "'references'"),
    "photos without content": (
        lambda: replaced("references", pa.array([[{"uri": "a.png"}], None])),
        "a photo in references has no uri or no sha256",
    ),
    "two columns of a name": (lambda: encoded(TABLE.append_column("look", TABLE["look"])), "two columns 'look'"),
    "a master without a fingerprint": (
        lambda: replaced("render_fingerprint", pa.nulls(2, pa.string())),
        "render_key and no hexadecimal render_fingerprint",
    ),
    "no moment": (lambda: replaced("created_at", pa.nulls(2)), "a row has no created_at"),
}


@pytest.mark.parametrize("shape", LOSSY)
def test_what_is_no_longer_what_it_was_is_not_read(output: Store, shape: str) -> None:
    data, problem = LOSSY[shape]
    output.write("catalog/r0/good.parquet", encoded(TABLE))
    output.write(KEY, data())
    with pytest.raises(UnreadCommit) as raised:
        read_commit(output, KEY)
    assert str(raised.value).startswith(f"{output.uri(KEY)}: is not a readable commit: ")
    assert problem in str(raised.value)
    unread: list[UnreadCommit] = []
    assert read_current(output, unread=unread).num_rows == 1  # the good one still counts
    assert [error.key for error in unread] in ([], [KEY])


def test_only_a_named_column_is_read_and_the_verdict_is_the_same(output: Store) -> None:
    output.write(KEY, whole(pa.int64()))
    assert read_commit(output, KEY, ["references"]).column_names == ["references", "commit"]
    output.write(KEY, replaced("status", pa.array(["lost", "lost"])))
    with pytest.raises(UnreadCommit, match="an unknown status"):
        read_commit(output, KEY, ["references"])
