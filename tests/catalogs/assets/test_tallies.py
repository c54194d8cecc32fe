"""Counting in arrays says of random histories what the history says, and counts everything once."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from catalogs.assets.commits import Status, Step, UnreadCommit, commit, pair_of
from catalogs.assets.history import read_current
from catalogs.assets.tallies import read_tallies
from catalogs.columns import ASSETS, is_master
from catalogs.storage.store import Store
from tests.catalogs.assets.test_commits import ONE, START, TWO, row
from tests.catalogs.assets.test_query import NEW, Events, events, rows_of, write


def told(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter((r["created_at"], r["status"], r["reason"] if r["status"] == "failed" else None) for r in rows)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(events, events)
def test_it_says_what_the_history_says(before: Events, now: Events) -> None:
    with tempfile.TemporaryDirectory() as name:
        old, new = rows_of(before, is_new=False), rows_of(now, is_new=True)
        for number, item in enumerate([*old, *new]):  # by which a row is known again
            item["created_at"] += timedelta(microseconds=number // 3)
            item["attempt_id"] = f"t{number % 2}"
        write(Path(name), old, NEW)
        write(Path(name), new, [])
        store = Store.at(name)
        tallies = read_tallies(store)
        assert told(tallies.current.to_pylist()) == told(read_current(store).to_pylist())
        for status, table in ((Status.DELIVERED, tallies.delivered), (Status.FAILED, tallies.failed)):
            mine = [r for r in [*old, *new] if r["status"] == status and not is_master(r)]
            assert table.num_rows == len({(pair_of(r), r["attempt_id"]) for r in mine})


def delivered(fingerprint: str, minute: int, attempt: str, **more: Any) -> dict[str, Any]:
    return {**row(fingerprint, "delivered", minute), "attempt_id": attempt, "seconds": 2.0, **more}


def test_what_is_said_again_counts_once_and_at_its_first_time(store: Store) -> None:
    first = delivered(ONE, 0, "a")
    commit(store, "20261101T000000Z-a", Step.RENDER, [first, {**first, "channel": "wide"}])
    commit(store, "20261102T000000Z-b", Step.RESTATE, [first])  # covers changed
    commit(store, "20261103T000000Z-c", Step.RETIRE, [{**first, "status": "retired"}])
    commit(store, "20261104T000000Z-d", Step.RENDER, [delivered(TWO, 1, "b")])
    tallies = read_tallies(store)
    assert tallies.delivered.num_rows == 3, "two channels, and one of them anew"
    assert tallies.renders["seconds"].to_pylist() == [2.0, 2.0], "of the two channels' picture once"
    assert Counter(tallies.current["status"].to_pylist()) == {"delivered": 2}


@pytest.mark.parametrize(("keys", "count"), [(("k", "k"), 1), (("k", "l"), 2), ((None, None), 2)])
def test_a_render_is_known_by_its_master_else_by_its_try(
    store: Store, keys: tuple[str | None, str | None], count: int
) -> None:
    for number, key in enumerate(keys):
        more = {"render_key": key, "channel": f"c{number}"}
        commit(store, f"2026110{number + 1}T000000Z-a", Step.RENDER, [delivered(ONE, number, f"t{number}", **more)])
    assert read_tallies(store).renders.num_rows == count


def test_masters_are_no_assets_and_their_time_counts(store: Store) -> None:
    master = delivered(ONE, 0, "a", channel="master-64x64", master=None, render_key="k", seconds=5.0)
    commit(store, "20261101T000000Z-a", Step.RENDER, [master, delivered(TWO, 0, "a", render_key="l")])
    tallies = read_tallies(store)
    assert (tallies.delivered.num_rows, tallies.current.num_rows) == (1, 1)
    assert sum(tallies.renders["seconds"].to_pylist()) == 7.0


def test_a_campaign_alone_and_none_at_all(store: Store) -> None:
    assert read_tallies(store).current.num_rows == read_tallies(store).renders.num_rows == 0
    commit(store, "20261101T000000Z-a", Step.RENDER, [delivered(ONE, 0, "a")])
    assert read_tallies(store, "nobody").delivered.num_rows == 0
    assert read_tallies(store, delivered(ONE, 0, "a")["campaign"]).delivered.num_rows == 1


def test_a_commit_that_cannot_be_read_is_told(store: Store) -> None:
    commit(store, "20261101T000000Z-a", Step.RENDER, [delivered(ONE, 0, "a")])
    store.write("catalog/20261102T000000Z-b/0.parquet", b"torn")
    with pytest.raises(UnreadCommit):
        read_tallies(store)
    unread: list[UnreadCommit] = []
    assert read_tallies(store, unread=unread).delivered.num_rows == 1
    assert len(unread) == 1


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(events)
def test_rows_of_one_commit_that_no_order_tells_apart_count_as_in_the_history(found: Events) -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = rows_of(found, is_new=True)
        for item in rows:
            item |= {"created_at": START, "ordered_at": START, "step": 3, "run_id": "new"}
        target = Path(name, "catalog", "new", "0.parquet")
        target.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=ASSETS), target)
        store = Store.at(name)
        assert counted(read_tallies(store).current) == counted(read_current(store))


def counted(table: pa.Table) -> Counter[tuple[str, str]]:
    return Counter(zip(table["kind"].to_pylist(), table["status"].to_pylist(), strict=True))
