from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from catalogs.errors import OptionError
from catalogs.journal import lease as lease_module
from catalogs.journal.lease import Lease, hold, lease_key, live_leases, refuse_if_held
from catalogs.storage.store import Store

KEY = lease_key("spring", "proof")
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
OTHER = {"run_id": "r1", "host": "far", "boot": "", "pid": 7, "token": "t1"}

NAIVE = json.dumps({**OTHER, "until": "2999-01-01T00:00:00"}).encode()


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


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b'{"run_id": "x"}', b'{"until": 3}', NAIVE])
def test_what_cannot_be_read_holds_nothing(tmp_path: Path, content: bytes) -> None:
    store = Store.at(str(tmp_path))
    store.write(KEY, content)
    with hold(store, "spring", "proof", "r2") as lease:
        assert Lease.read(store, KEY) == lease


def test_the_message_names_the_whole_date(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    write_lease(store, 50)
    day = Lease.read(store, KEY)
    assert day is not None
    with pytest.raises(OptionError, match=f"until {day.until:%Y-%m-%d %H:%M:%S} UTC or longer"):
        refuse_if_held(store, "spring", "proof")


def test_force_says_whom_it_goes_on_beside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store.at(str(tmp_path))
    write_lease(store, -1)
    with hold(store, "spring", "proof", "r2", force=True):
        assert not caplog.messages
    write_lease(store, 50)
    with hold(store, "spring", "proof", "r2", force=True):
        said = rf"goes on beside run r1 on far \(process 7\), which renders spring here, until {DATE} UTC or longer"
        assert re.fullmatch(said, caplog.messages[0])


def test_a_claim_of_a_wrong_clock_that_nobody_renews_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path))
    monkeypatch.setattr(lease_module, "LOOK_SECONDS", 1.2)
    for seconds in (3650 * 86400, 60 + 300 + 1):
        write_lease(store, seconds)
        started = time.monotonic()
        refuse_if_held(store, "spring", "proof")
        assert time.monotonic() - started >= 1.2
    write_lease(store, 3650 * 86400)
    assert live_leases(store) == []
    with hold(store, "spring", "proof", "r2") as lease:
        assert Lease.read(store, KEY) == lease


def test_a_claim_of_a_wrong_clock_that_is_renewed_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path))
    monkeypatch.setattr(lease_module, "LOOK_SECONDS", 20.0)
    with clock_ahead(tmp_path):
        for claim in (
            partial(refuse_if_held, store, "spring", "proof"),
            hold(store, "spring", "proof", "r2").__enter__,
        ):
            started = time.monotonic()
            with pytest.raises(OptionError, match=r"run r1 .* renders spring here, until 20\d\d-"):
                claim()
            assert time.monotonic() - started < 10, "it was seen alive and not believed"
        assert [lease.run_id for lease in live_leases(store)] == ["r1"]


@contextmanager
def clock_ahead(folder: Path) -> Iterator[None]:
    """A process whose clock is ten years ahead holds the lease."""
    script = (
        "import sys\nfrom datetime import timedelta\nfrom catalogs.journal import lease\n"
        "from catalogs.storage.store import Store\n"
        "right = lease._in\nlease._in = lambda seconds: right(seconds) + timedelta(days=3653)\n"
        "with lease.hold(Store.at(sys.argv[1]), 'spring', 'proof', 'r1', seconds=2.0):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate(timeout=30)


def test_all_live_claims_of_an_output_are_told(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    write_lease(store, -1)
    assert live_leases(store) == []
    with hold(store, "autumn", "render", "r2"), hold(store, "winter", "proof", "r3"):
        assert [lease.run_id for lease in live_leases(store)] == ["r2", "r3"]
    assert live_leases(store) == []
