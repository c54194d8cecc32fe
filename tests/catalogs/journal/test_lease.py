from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogs.errors import OptionError
from catalogs.journal.lease import Lease, hold, lease_key, refuse_if_held
from catalogs.storage.store import Store

KEY = lease_key("spring", "proof")
OTHER = {"run_id": "r1", "host": "far", "boot": "", "pid": 7, "token": "t1"}


def write_lease(store: Store, seconds: float, **changes: object) -> None:
    until = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    store.write(KEY, json.dumps({**OTHER, "until": until, **changes}).encode())


def test_one_holds_and_lets_go(store: Store) -> None:
    with hold(store, "spring", "proof", "r1") as lease:
        assert Lease.read(store, KEY) == lease
        with pytest.raises(OptionError, match=r"run r1 .* renders spring here, until .* UTC.*--force"):
            refuse_if_held(store, "spring", "proof")
        refuse_if_held(store, "spring", "render")
        refuse_if_held(store, "autumn", "proof")
        with pytest.raises(OptionError), hold(store, "spring", "proof", "r2"):
            pass
        assert Lease.read(store, KEY) == lease
    assert Lease.read(store, KEY) is None


def test_it_is_renewed(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    with hold(store, "spring", "proof", "r1", seconds=0.4) as lease:
        time.sleep(0.8)
        found = Lease.read(store, KEY)
        assert found is not None
        assert found.until > lease.until
        with pytest.raises(OptionError):
            refuse_if_held(store, "spring", "proof")


def test_force_takes_it_and_the_first_leaves_it_alone(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    with hold(store, "spring", "proof", "r1", seconds=0.4):
        with hold(store, "spring", "proof", "r2", force=True) as second:
            time.sleep(0.3)
            found = Lease.read(store, KEY)
            assert found is not None
            assert found.token == second.token
        assert Lease.read(store, KEY) is None


def test_an_expired_one_is_taken_over(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    write_lease(store, -1)
    with hold(store, "spring", "proof", "r2") as lease:
        assert Lease.read(store, KEY) == lease


def test_patience_outlasts_a_lost_machine_but_not_a_living_one(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    write_lease(store, 1.0)
    with hold(store, "spring", "proof", "r2", patience=5.0, seconds=0.8):
        started = time.monotonic()
        with pytest.raises(OptionError), hold(store, "spring", "proof", "r3", patience=60.0):
            pass
        assert time.monotonic() - started < 5


def test_one_of_a_dead_process_of_this_machine_is_over_at_once(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom catalogs.journal.lease import hold\nfrom catalogs.storage.store import Store\n"
        "held = hold(Store.at(sys.argv[1]), 'spring', 'proof', 'r1')\nheld.__enter__()\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=30)
    store = Store.at(str(tmp_path))
    found = Lease.read(store, KEY)
    assert found is not None
    assert found.until > datetime.now(UTC)
    refuse_if_held(store, "spring", "proof")


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b'{"run_id": "x"}', b'{"until": 3}'])
def test_what_cannot_be_read_holds_nothing(tmp_path: Path, content: bytes) -> None:
    store = Store.at(str(tmp_path))
    store.write(KEY, content)
    with hold(store, "spring", "proof", "r2") as lease:
        assert Lease.read(store, KEY) == lease
