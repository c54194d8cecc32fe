"""What a sweep finds and deletes, and what it leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalogs.assets.masters import LEAST_GRACE, REWRITE_AFTER, STORED_TO_COMMITTED, SWEEP_GRACE, store_master
from catalogs.assets.sweep import Bounds, Leftover, delete, leftovers
from catalogs.storage.store import Store
from tests.catalogs.assets.test_commits import put, row
from tests.catalogs.assets.test_masters import DATA, FINGERPRINT, KEY, RECORD

MASTER = {KEY, KEY.removesuffix(".png") + ".json"}


def bounds(age: timedelta = timedelta(seconds=-5), *kept: str) -> Bounds:
    return Bounds(datetime.now(UTC) - age, frozenset(kept))


def keys(found: list[Leftover]) -> set[str]:
    return {item.key for item in found}


def test_leftovers_are_taken_and_what_any_commit_names_is_left(store: Store) -> None:
    store_master(store, FINGERPRINT, DATA, RECORD)
    named = row(asset_key="assets/x.jpg", render_key=None)
    for key in ("assets/x.jpg", "assets/y.jpg", "thumbs/aa/bb.webp", "reviews/kept.parquet"):
        store.write(key, b"x")
    put(store, named)
    found = leftovers(store, bounds())
    assert keys(found) == {*MASTER, "assets/y.jpg", "thumbs/aa/bb.webp"}
    assert leftovers(store, bounds(SWEEP_GRACE)) == []
    assert keys(delete(store, found, bounds())) == keys(found)
    assert not [key for key in store.list() if key in keys(found)]
    assert store.exists("assets/x.jpg")


def test_what_is_committed_after_the_listing_is_kept(store: Store) -> None:
    store.write("assets/y.jpg", b"x")
    store_master(store, FINGERPRINT, DATA, RECORD)
    found = leftovers(store, bounds())
    put(store, row(asset_key="assets/y.jpg", render_key=KEY))
    assert delete(store, found, bounds()) == []
    assert store.exists("assets/y.jpg")
    assert store.exists(KEY)


def test_what_is_written_again_after_the_listing_is_kept(store: Store) -> None:
    """A start that adopts an old leftover writes it again and names it hours later."""
    store.write("assets/y.jpg", b"x")
    store_master(store, FINGERPRINT, DATA, RECORD)
    found = leftovers(store, bounds())
    assert keys(delete(store, found, bounds(timedelta(hours=12)))) == set()
    assert store.exists(KEY)


def test_what_is_gone_already_is_not_counted(store: Store) -> None:
    store.write("assets/y.jpg", b"x")
    found = leftovers(store, bounds())
    store.delete(["assets/y.jpg"])
    assert delete(store, found, bounds()) == []


def test_kept_renders_keep_master_and_record(store: Store) -> None:
    store_master(store, FINGERPRINT, DATA, RECORD)
    store_master(store, "cd" * 32, DATA, RECORD)
    found = leftovers(store, bounds(timedelta(seconds=-5), FINGERPRINT))
    assert len(found) == 2
    assert not keys(found) & MASTER
    everything = leftovers(store, bounds())
    assert keys(delete(store, everything, bounds(timedelta(seconds=-5), FINGERPRINT))) == keys(found)
    assert store.exists(KEY)


def test_temporaries_are_deleted_too(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    for number in range(5):
        store.write(f"assets/{number}", b"x")
    (tmp_path / "assets" / ".tmp-1-dead").write_bytes(b"half")
    assert len(delete(store, leftovers(store, bounds()), bounds())) == 6
    assert list((tmp_path / "assets").iterdir()) == []


def test_an_adopted_leftover_outlives_the_shortest_grace() -> None:
    assert REWRITE_AFTER + STORED_TO_COMMITTED <= LEAST_GRACE <= SWEEP_GRACE
