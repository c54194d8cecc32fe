"""The query that the page prints gives what the reader gives, on rows of before, of today, and of both."""

from __future__ import annotations

import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.assets.commits import Step
from catalogs.assets.history import read_current
from catalogs.columns import ASSETS
from catalogs.storage.store import Store
from tests.catalogs.assets.test_commits import ONE, START, TWO, row

PAGE = Path(__file__).parents[3] / "catalogs" / "README.md"
NEW = ["master", "upstream_references", "territory", "ordered_at", "step"]
STATUSES = ["delivered", "delivered", "failed", "retired", "withdrawn", "missing", "pruned"]

Events = list[tuple[str, str, int, int, int, str]]
events: st.SearchStrategy[Events] = st.lists(
    st.tuples(
        st.sampled_from(STATUSES),
        st.sampled_from([ONE, TWO]),
        st.integers(0, 3),  # minute
        st.integers(0, 2),  # start
        st.sampled_from(list(Step)),
        st.sampled_from(["shop", "wide", "master-64x64"]),
    ),
    min_size=1,
    max_size=9,
)


def query(folder: Path) -> list[dict[str, Any]]:
    printed = re.search(r"```sql\n(.*?)```", PAGE.read_text(), re.S)
    assert printed is not None
    text = printed[1].replace("demo/my-output", str(folder))
    return duckdb.sql(text).to_arrow_table().to_pylist()


def write(folder: Path, rows: list[dict[str, Any]], dropped: list[str]) -> None:
    for number, item in enumerate(rows):
        target = folder / "catalog" / str(item["run_id"]) / f"{number}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([item], schema=ASSETS).drop_columns(dropped), target)


def rows_of(found: Events, is_new: bool) -> list[dict[str, Any]]:
    made = []
    for status, fingerprint, minute, start, step, channel in found:
        item = row(fingerprint, status, minute, channel=channel, run_id=f"{'new' if is_new else 'old'}{start}")
        item["asset_key"] = None if status == "failed" else f"assets/{channel}/{fingerprint[:2]}.jpg"
        if is_new:
            item |= {"ordered_at": START + timedelta(minutes=start), "step": step.value}
            item["master"] = channel.startswith("master-")
        made.append(item)
    return made


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((r["channel"], r["fingerprint"], r["status"], r["run_id"], r["created_at"]) for r in rows)


def compare(before: Events, now: Events) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows_of(before, is_new=False), NEW)
        write(folder, rows_of(now, is_new=True), [])
        assert told(query(folder)) == told(read_current(Store.at(name)).to_pylist())


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(events, events)
def test_the_printed_query_gives_what_the_reader_gives(before: Events, now: Events) -> None:
    compare(before, now)


@pytest.mark.parametrize("is_new", [False, True])
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(found=events)
def test_it_runs_on_rows_of_one_version_alone(is_new: bool, found: Events) -> None:
    compare([] if is_new else found, found if is_new else [])
