"""Writes that are interrupted, refused or answered late."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from catalogs.errors import OptionError, PackshotError, StorageError
from catalogs.storage import filesystems
from catalogs.storage.store import Store
from tests.servers import FlakyS3

WRITER = """
import itertools, os, sys
from catalogs.storage.store import Store
store = Store.at(sys.argv[1])
print("ready", flush=True)
for number in itertools.count():
    letter = bytes([97 + number % 26])
    store.write("same", letter * 400_000)
    store.create(f"new/{os.getpid()}-{number}", letter * 400_000)
    store.delete([f"new/{os.getpid()}-{number - 3}"])
"""


def test_kill_9_tears_nothing(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "store"))
    kills = 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with subprocess.Popen([sys.executable, "-c", WRITER, store.root], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(random.uniform(0.0, 0.2))
            writer.kill()
            kills += 1
        for key in store.list():
            data = store.read(key)
            assert len(data) == 400_000, key
            assert data == data[:1] * 400_000, key
    assert kills >= 3
    assert store.exists("same")


def test_leftover_temporaries_are_hidden_and_found_by_age(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.write("a/b", b"1")
    (tmp_path / "a" / ".tmp-1-dead").write_bytes(b"half")
    assert list(store.list()) == ["a/b"]
    assert store.stale_temporaries(timedelta(hours=24)) == ()
    old = time.time() - 25 * 3600
    os.utime(tmp_path / "a" / ".tmp-1-dead", (old, old))
    stale = store.stale_temporaries(timedelta(hours=24))
    assert stale == ("a/.tmp-1-dead",)
    store.delete(stale)
    assert os.listdir(tmp_path / "a") == ["b"]


def test_a_failed_write_leaves_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Store.at(str(tmp_path))
    store.write("a", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OptionError, match="a: the disk is full; free some space"):
        store.write("a", b"new")
    assert os.listdir(tmp_path) == ["a"]
    assert store.read("a") == b"old"


def test_a_disk_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OptionError, match="no hard links"):
        Store.at(str(tmp_path)).create("a", b"1")
    assert os.listdir(tmp_path) == []


# faults of the PUTs in order, bytes there before, what commit says, bytes there afterwards
COMMITS = {
    "slow down twice": (["slow-down"] * 2, None, "committed", b"ours"),
    "reset once": (["reset"], None, "committed", b"ours"),
    "conflict twice": (["conflict"] * 2, None, "committed", b"ours"),
    "lost answer": (["lost-answer"], None, "exists-same", b"ours"),
    "no answer ever": (["lost-answer"] * 50, None, "exists-same", b"ours"),
    "lost answer of a loser": (["lost-answer"], b"theirs", "exists-other", b"theirs"),
    "conflict, then a winner": (["conflict"], b"theirs", "exists-other", b"theirs"),
    "reset for ever": (["reset"] * 50, None, StorageError, None),
    "conflict for ever": (["conflict"] * 50, None, StorageError, None),
    "server error for ever": (["broken"] * 50, None, StorageError, None),
    "denied": (["denied"], None, OptionError, None),
}


@pytest.mark.parametrize("case", COMMITS)
def test_commit_under_faults(flaky_s3: FlakyS3, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    faults, before, expected, after = COMMITS[case]
    monkeypatch.setattr(filesystems, "_CONFLICT_TRIES", 3)
    if len(faults) > 9:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    if before is not None:
        flaky_s3.objects["bucket/run/1"] = before
    flaky_s3.fail("PUT", *faults)
    store = Store.at("s3://bucket/run")
    if isinstance(expected, type) and issubclass(expected, PackshotError):
        with pytest.raises(expected):
            store.commit("1", b"ours")
    else:
        assert store.commit("1", b"ours") == expected
    assert flaky_s3.objects.get("bucket/run/1") == after
    assert [line for line in flaky_s3.seen if line.startswith("PUT") and line != "PUT ok"], "no fault was met"


def test_a_plain_write_outlives_a_lost_answer(flaky_s3: FlakyS3) -> None:
    flaky_s3.fail("PUT", "lost-answer", "slow-down")
    flaky_s3.fail("GET", "reset")
    store = Store.at("s3://bucket")
    store.write("a", b"1")
    assert store.read("a") == b"1"


@pytest.mark.parametrize(("code", "kind"), [("InternalError", StorageError), ("AccessDenied", OptionError)])
def test_a_key_that_a_bulk_delete_kept_is_told(flaky_s3: FlakyS3, code: str, kind: type[PackshotError]) -> None:
    flaky_s3.objects |= {"bucket/a": b"1", "bucket/b": b"2"}
    flaky_s3.locked["bucket/b"] = code
    with pytest.raises(kind, match=rf"not deleted: b \({code}\), 1 in all"):
        Store.at("s3://bucket").delete(["a", "b"])
    assert list(flaky_s3.objects) == ["bucket/b"]


def test_retries_and_timeouts_can_be_set_by_options() -> None:
    options = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"read_timeout": 7}}
    config = Store.at("s3://bucket", options).filesystem.config_kwargs
    assert config == {"connect_timeout": 10, "read_timeout": 7, "s3": {"addressing_style": "path"}}


def test_without_an_endpoint_addressing_is_left_to_botocore() -> None:
    assert "s3" not in Store.at("s3://bucket").filesystem.config_kwargs
