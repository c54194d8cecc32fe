"""A store behaves the same on a local disk, on moto and on OpenStack Swift."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from catalogs.errors import OptionError, StorageError
from catalogs.storage import filesystems
from catalogs.storage.filesystems import Objects
from catalogs.storage.store import MissingKey, Store, read_uri, stat_uri
from tests.servers import S3Server

ODD_NAMES = ["a b/Grüße.png", "a/100%25.png", "a/x[1]*.png", "a/#1?.png", "a/it's & <more>.png", "a/..b"]
FORK = """
import os, sys
from catalogs.storage.store import Store
store = Store.at(sys.argv[1])
store.write("parent", b"1")
child = os.fork()
if not child:
    store.write("child", store.read("parent") + b"2")
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(status or store.read("child") != b"12")
"""


def test_a_written_key_reads_back_until_it_is_deleted(store: Store) -> None:
    assert store.read_or_none("a/b.txt") is None
    assert not store.exists("a/b.txt")
    with pytest.raises(MissingKey, match=r"a/b\.txt: no such file"):
        store.read("a/b.txt")
    with pytest.raises(MissingKey):
        store.stat("a/b.txt")

    store.write("a/b.txt", b"one")
    store.write("a/b.txt", b"three")
    assert store.read("a/b.txt") == b"three"
    assert store.stat("a/b.txt").size == 5
    assert store.exists("a/b.txt")
    assert store.read_or_none("a") is None
    assert store.read_or_none("a/b.txt/c") is None
    assert not store.exists("a")

    store.delete(["a/b.txt", "never/was"])
    assert not store.exists("a/b.txt")
    store.delete([])


def test_list_gives_the_files_of_a_folder(store: Store) -> None:
    assert store.list() == {}
    for key in ("b/2", "b/1", "b/deep/er/3", "bc/4", "5"):
        store.write(key, key.encode())
    assert list(store.list()) == ["5", "b/1", "b/2", "b/deep/er/3", "bc/4"]
    assert list(store.list("b")) == list(store.list("b/")) == ["b/1", "b/2", "b/deep/er/3"]
    assert store.list("missing") == store.list("b/1") == {}
    entry = store.list("b/deep")["b/deep/er/3"]
    assert entry.size == len("b/deep/er/3")
    assert abs(datetime.now(UTC) - entry.modified) < timedelta(minutes=5)
    assert entry.tag == store.stat("b/deep/er/3").tag


def test_folders_are_told_without_what_lies_in_them(store: Store) -> None:
    assert store.folders() == store.folders("runs") == []
    for key in ("runs/b/1", "runs/b/deep/2", "runs/a/3", "runs/file", "runsother/x/4"):
        store.write(key, b"x")
    assert store.folders("runs") == store.folders("runs/") == ["a", "b"]
    assert store.folders() == ["runs", "runsother"]
    assert store.folders("runs/file") == store.folders("missing") == []


@pytest.mark.parametrize("key", ODD_NAMES)
def test_names_are_taken_literally(store: Store, key: str) -> None:
    store.write("a/x1.png", b"bystander")
    store.write(key, b"odd")
    assert store.read(key) == b"odd"
    assert key in store.list()
    assert read_uri(store.uri(key)) == b"odd"
    store.delete([key])
    assert list(store.list()) == ["a/x1.png"]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../../b", ".", "a\0b"])
def test_keys_cannot_leave_the_store(tmp_path: Path, key: str) -> None:
    store = Store.at(str(tmp_path / "store"))
    with pytest.raises(StorageError, match="is not a key"):
        store.write(key, b"x")
    assert list(tmp_path.iterdir()) == []


def test_create_never_changes_what_exists(store: Store) -> None:
    assert store.create("c/1", b"first")
    assert not store.create("c/1", b"second")
    assert store.read("c/1") == b"first"
    assert list(store.list()) == ["c/1"]


def test_commit_tells_its_own_bytes_from_another_writers(store: Store) -> None:
    assert store.commit("c/1", b"ours") == "committed"
    assert store.commit("c/1", b"ours") == "exists-same"
    assert store.commit("c/1", b"theirs") == "exists-other"
    assert store.read("c/1") == b"ours"


def test_racing_creates_have_one_winner(store: Store) -> None:
    def attempt(number: int) -> bool:
        return store.create("race", str(number).encode() * 1000)

    with ThreadPoolExecutor(16) as threads:
        won = list(threads.map(attempt, range(16)))
    assert won.count(True) == 1
    assert store.read("race") == str(won.index(True)).encode() * 1000
    assert list(store.list()) == ["race"]


def test_threads_share_a_store(store: Store) -> None:
    def round_trip(number: int) -> bool:
        key, data = f"t/{number % 4}/{number}", os.urandom(20_000)
        store.write(key, data)
        return store.read(key) == data and store.stat(key).size == len(data)

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(round_trip, range(48)))
    assert len(store.list("t")) == 48


def test_write_file_copies_a_local_file(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(os.urandom(3_000_000))
    store.write_file("runs/big.bin", str(source))
    assert store.read("runs/big.bin") == source.read_bytes()
    assert list(store.list()) == ["runs/big.bin"]


def test_many_keys_are_deleted_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_DELETE_BATCH", 2)
    keys = [f"d/{number}" for number in range(5)]
    for key in keys:
        store.write(key, b"x")
    store.delete(keys)
    assert store.list() == {}


def test_nothing_is_remembered_about_what_others_write(store: Store) -> None:
    other = Store(store.root, {"anon": False} if not store.is_local else {})
    table = pa.table({"n": [1, 2]})
    assert other.list("d") == {}
    assert not other.exists("d/1.parquet")
    store.write("d/1.parquet", parquet(table))
    assert list(other.list("d")) == ["d/1.parquet"]
    assert other.exists("d/1.parquet")
    assert ds.dataset(other.path("d"), filesystem=other.filesystem).count_rows() == 2
    store.write("d/2.parquet", parquet(table))
    assert ds.dataset(other.path("d"), filesystem=other.filesystem).count_rows() == 4


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_pyarrow_reads_over_a_store(store: Store) -> None:
    table = pa.table({"n": list(range(1000)), "s": [str(n) for n in range(1000)]})
    store.write("t/1.parquet", parquet(table))
    with store.filesystem.open(store.path("t/1.parquet"), "rb") as file:
        assert pq.ParquetFile(file).read_row_group(0, columns=["n"]).num_rows == 1000
    read = pq.read_table(store.path("t/1.parquet"), filesystem=store.filesystem)
    assert read.equals(table)
    found = ds.dataset(store.path("t"), filesystem=store.filesystem)
    assert found.to_table(filter=ds.field("n") > 997)["s"].to_pylist() == ["998", "999"]


def test_a_pickled_store_works_and_carries_no_connection(store: Store) -> None:
    store.write("a", b"1")
    blob = pickle.dumps(store)
    assert len(blob) < 500
    twin = pickle.loads(blob)
    assert twin == store
    assert hash(twin) == hash(store)
    assert twin.read("a") == b"1"


def test_a_store_works_on_both_sides_of_a_fork(store: Store) -> None:
    # a process of its own: this one has threads, and forking it is a warning on newer Pythons
    done = subprocess.run([sys.executable, "-c", FORK, store.root], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_uri_and_stamp(store: Store) -> None:
    store.write("u/a.txt", b"1")
    uri = store.uri("u/a.txt")
    assert uri == f"{store.root}/u/a.txt"
    assert read_uri(uri) == b"1"
    before = stat_uri(uri)
    assert before == stat_uri(uri)
    store.write("u/a.txt", b"2")
    assert stat_uri(uri).size == 1
    assert stat_uri(uri) != before
    with pytest.raises(MissingKey):
        stat_uri(store.uri("u/b.txt"))


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("a.png", None, "image/png"),
        ("a.JPG", None, "image/jpeg"),
        ("report/index.html", None, "text/html; charset=utf-8"),
        ("a.png", "application/x-own", "application/x-own"),
        ("a.unknown", None, "binary/octet-stream"),
    ],
)
def test_objects_carry_their_content_type(moto_s3: S3Server, name: str, given: str | None, kept: str) -> None:
    bucket = moto_s3.bucket()
    Store.at(f"s3://{bucket}").write(name, b"x", given)
    assert moto_s3.head(bucket, name)["ContentType"] == kept


def test_options_name_an_endpoint_without_the_environment(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = moto_s3.bucket()
    for name in moto_s3.environment:
        monkeypatch.delenv(name)
    options = {"endpoint_url": moto_s3.endpoint, "key": moto_s3.key, "secret": moto_s3.secret}
    store = Store.at(f"s3://{bucket}/", options)
    store.write("a", b"1")
    assert store.list().keys() == {"a"}
    assert moto_s3.secret not in repr(store)


def test_other_filesystems_of_fsspec_keep_the_promises() -> None:
    files = Objects(fsspec.filesystem("memory"), "/packshot/tests")
    assert files.create("a/b", b"1", None)
    assert not files.create("a/b", b"2", None)
    assert files.read("a/b") == b"1"
    assert list(files.list("a")) == ["a/b"]
    files.delete(["a/b", "a/b"])
    assert files.list("a") == {}


@pytest.mark.parametrize(
    ("uri", "package"), [("gs://shop/out", "gcsfs"), ("gcs://shop/out", "gcsfs"), ("az://shop/out", "adlfs")]
)
def test_a_protocol_whose_package_is_missing_is_told(uri: str, package: str) -> None:
    with pytest.raises(OptionError, match=package):
        Store.at(uri).list()


def test_a_relative_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.at("out/")
    monkeypatch.chdir("/")
    store.write("a", b"1")
    assert store.root == str(tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"1"
