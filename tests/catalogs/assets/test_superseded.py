"""Which files stand, and since when others do not, held against the history of every moment."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from catalogs.assets.commits import Status, Step, identity_of, read_commits
from catalogs.assets.history import History, read_current
from catalogs.assets.orders import order_of
from catalogs.assets.superseded import Standing, Timelines, Why, commit_pruned
from catalogs.columns import Row
from catalogs.storage.store import Store
from tests.catalogs.assets.test_commits import ONE, START, TWO, put, row, started
from tests.catalogs.assets.test_query import Events, events, rows_of, write

RUN = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-abcdef"


def look(store: Store) -> Standing:
    timelines = Timelines(store)
    timelines.refresh()
    return timelines.look()


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def told(standing: Standing) -> dict[str, tuple[str, datetime]]:
    return {key: (one.why.value, one.since) for key, ended in standing.ended.items() for one in ended}


def test_since_when_a_file_does_not_stand_is_when_the_next_took_its_place(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    for run, (fingerprint, status) in enumerate(
        [(ONE, "delivered"), (TWO, "delivered"), (ONE, "delivered"), (ONE, "failed"), ("33" * 32, "delivered")]
    ):
        put(store, row(fingerprint, status, run, **started(f"r{run}", run)))
    assert told(look(store)) == {"assets/11.jpg": ("superseded", minute(4)), "assets/22.jpg": ("superseded", minute(2))}
    put(store, row(TWO, "withdrawn", 7, **started("r7", 5)))
    assert told(look(store)) == {
        "assets/11.jpg": ("superseded", minute(4)),
        "assets/22.jpg": ("withdrawn", minute(7)),  # the commit was later than the start
        "assets/33.jpg": ("superseded", minute(7)),
    }


@pytest.mark.parametrize("status", ["retired", "withdrawn"])
def test_what_is_committed_late_is_kept_as_long_as_what_was_there(tmp_path: Path, status: str) -> None:
    """A run of the first minute commits a file in the ninth; one that began in the second has taken it out."""
    store = Store.at(str(tmp_path))
    put(store, row(ONE, "delivered", 9, **started("r0", 1)), row(ONE, status, 3, **started("r1", 2)))
    [(_, since)] = told(look(store)).values()
    assert since == minute(9)


def test_renders_stand_with_what_builds_on_them_and_with_what_failed(tmp_path: Path) -> None:
    store, parent = Store.at(str(tmp_path)), "99" * 32
    photo = {"uri": f"render:{parent}", "sha256": parent, "role": "shot", "width": 1, "height": 1}
    put(store, row(ONE, "delivered", 0, **started("r0", 0)))
    put(store, row(TWO, "failed", 1, **started("r1", 1), references=[photo]))
    standing = look(store)
    assert standing.renders == {ONE, TWO, parent}
    assert standing.keys == {"assets/11.jpg"}
    put(store, row("33" * 32, "delivered", 2, **started("r2", 2)))
    standing = look(store)
    assert standing.renders == {"33" * 32}
    assert standing.renders_ended[ONE] == standing.renders_ended[TWO] == minute(2)
    assert standing.renders_of == {("spring", "render"): {ONE, TWO, "33" * 32}}


def test_a_picture_that_was_made_twice_has_two_files_and_only_the_last_stands(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    for run, key in enumerate(("a", "b")):
        put(store, row(ONE, "delivered", run, **started(f"r{run}", run), asset_key=f"assets/{key}.jpg"))
    put(store, row(TWO, "delivered", 2, **started("r2", 2)))
    standing = look(store)
    assert told(standing) == {"assets/a.jpg": ("superseded", minute(1)), "assets/b.jpg": ("superseded", minute(2))}
    assert commit_pruned(store, RUN, [one for ended in standing.ended.values() for one in ended]) == 2
    again = look(store)
    assert all(one.is_pruned for ended in again.ended.values() for one in ended)
    assert commit_pruned(store, RUN, [one for ended in again.ended.values() for one in ended]) == 0
    rows = [found for table in read_commits(store) for found in table.to_pylist() if found["status"] == Status.PRUNED]
    assert sorted(found["asset_key"] for found in rows) == ["assets/a.jpg", "assets/b.jpg"]
    assert {found["step"] for found in rows} == {Step.PRUNE.value}
    put(store, row(ONE, "delivered", 0, **started("r9", 10**8), asset_key="assets/a.jpg"))
    assert look(store).keys == {"assets/a.jpg"}


def brute(rows: list[Row]) -> tuple[set[str], dict[tuple[bytes, str], datetime]]:
    """Files that stand, and since when those do not that once did: by the history of the rows up to each."""
    stood: dict[bytes, str] = {}
    ended: dict[tuple[bytes, str], datetime] = {}
    history = History()
    for item in sorted(rows, key=order_of):
        if item["status"] in ("failed", "missing", "pruned"):
            continue
        history._add(item)
        digest = identity_of(item).digest()
        current = history.current(digest)
        assert current is not None
        key = current[1].asset_key if current[1].is_delivered else None
        before, moment = stood.pop(digest, None), max(order_of(item)[0], order_of(item)[3])
        if before and before != key:
            ended[digest, before] = max(moment, ended.pop((digest, f"={before}"), moment))
        if key:
            stood[digest] = key
            ended.pop((digest, key), None)
            ended[digest, f"={key}"] = moment
    return set(stood.values()), {place: at for place, at in ended.items() if not place[1].startswith("=")}


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(events, events)
def test_it_agrees_with_the_history_of_every_moment(before: Events, now: Events) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), Store.at(name)
        write(folder, [*rows_of(before, is_new=False), *rows_of(now, is_new=True)], [])
        standing = look(store)
        rows: list[Any] = [found for table in read_commits(store) for found in table.to_pylist()]
        keys, ended = brute(rows)
        assert standing.keys == keys
        found = {(one.pair[0], one.key): one for each in standing.ended.values() for one in each}
        for place, moment in ended.items():
            if found[place].why == Why.SUPERSEDED and place[1] not in keys:
                assert found[place].since >= moment
        current = read_current(store, masters=True).to_pylist()
        needed = {one["asset_key"] for one in current if one["status"] in ("delivered", "missing", "pruned")}
        assert needed <= standing.keys
        assert needed.isdisjoint(key for _, key in found)


@pytest.mark.parametrize("status", ["missing", "pruned"])
def test_a_file_that_is_gone_and_wanted_stands(tmp_path: Path, status: str) -> None:
    store = Store.at(str(tmp_path))
    put(store, row(ONE, "delivered", 0, **started("r0", 0)), row(ONE, status, 1, **started("r1", 1)))
    assert look(store).keys == {"assets/11.jpg"}
