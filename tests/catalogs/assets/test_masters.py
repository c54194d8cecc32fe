from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from catalogs.assets.masters import MasterRecord, adopt_master, read_master, store_master
from catalogs.identity import render_key
from catalogs.storage.store import Store

FINGERPRINT = "ab" * 32
DATA = b"a master's bytes"
RECORD = MasterRecord(
    sha256=hashlib.sha256(DATA).hexdigest(),
    pixel_sha256="cd" * 32,
    width=16,
    height=16,
    engine="proof",
    model="proof",
    model_revision="1",
    seconds=0.5,
    batch_size=2,
    versions={"torch": "2.13.0"},
)
KEY = render_key(FINGERPRINT, RECORD.sha256)


def test_a_leftover_is_adopted_with_its_record(store: Store) -> None:
    store_master(store, FINGERPRINT, DATA, RECORD)
    adopted = adopt_master(store, FINGERPRINT)
    assert adopted is not None
    assert (adopted.key, adopted.data, adopted.record) == (KEY, DATA, RECORD)
    assert adopt_master(store, "cd" * 32) is None


@pytest.mark.parametrize("damage", ["torn", "no record", "bad record", "renamed"])
def test_what_does_not_match_its_own_name_is_not_adopted(tmp_path: Path, damage: str) -> None:
    store = Store.at(str(tmp_path))
    store_master(store, FINGERPRINT, DATA, RECORD)
    record = KEY.removesuffix(".png") + ".json"
    if damage == "torn":
        store.write(KEY, DATA[:-1])
    elif damage == "no record":
        store.delete([record])
    elif damage == "bad record":
        store.write(record, b"{}")
    else:
        other = replace(RECORD, sha256="ef" * 32)
        store.write(record, other.encode())
    assert adopt_master(store, FINGERPRINT) is None


def test_a_missing_master_is_none(tmp_path: Path) -> None:
    assert read_master(Store.at(str(tmp_path)), FINGERPRINT, KEY) is None


def test_an_old_leftover_is_written_again_before_it_counts(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store_master(store, FINGERPRINT, DATA, RECORD)
    old = time.time() - 20 * 3600
    os.utime(tmp_path / KEY, (old, old))
    adopt_master(store, FINGERPRINT)
    assert (tmp_path / KEY).stat().st_mtime > old + 3600
