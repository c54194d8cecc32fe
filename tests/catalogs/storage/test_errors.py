"""No error of a disk, fsspec, s3fs or botocore gets past the seam, and none shows a secret."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from catalogs.errors import OptionError, PackshotError, StorageError
from catalogs.storage.store import MissingKey, Store
from tests.servers import FlakyS3, S3Server, free_ports

SECRET = "wJalrXUtnFEMI-do-not-print"

OPERATIONS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("a/b"),
    "stat": lambda store: store.stat("a/b"),
    "exists": lambda store: store.exists("a/b"),
    "write": lambda store: store.write("a/b", b"1"),
    "write_file": lambda store: store.write_file("a/b", __file__),
    "create": lambda store: store.create("a/b", b"1"),
    "commit": lambda store: store.commit("a/b", b"1"),
    "list": lambda store: store.list(),
    "delete": lambda store: store.delete(["a/b"]),
}
operation = pytest.mark.parametrize("name", OPERATIONS)


def refused(store: Store, name: str) -> PackshotError:
    with pytest.raises(PackshotError) as caught:
        OPERATIONS[name](store)
    line = str(caught.value)
    assert "\n" not in line
    assert SECRET not in line
    assert SECRET not in repr(store)
    assert line.startswith(store.root)
    return caught.value


@operation
@pytest.mark.swift
def test_wrong_secret(swift: S3Server, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    bucket = swift.bucket()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    error = refused(Store.at(f"s3://{bucket}"), name)
    assert isinstance(error, OptionError)
    assert "access was refused" in str(error)


@operation
@pytest.mark.parametrize("server", ["moto_s3", pytest.param("swift", marks=pytest.mark.swift)])
def test_missing_bucket(request: pytest.FixtureRequest, server: str, name: str) -> None:
    request.getfixturevalue(server)
    error = refused(Store.at("s3://no-such-bucket-here/x"), name)
    assert isinstance(error, OptionError)
    assert "the bucket does not exist; create it" in str(error)


@operation
def test_no_credentials(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refused(Store.at("s3://bucket"), name)
    assert isinstance(error, OptionError)
    assert "set AWS_ACCESS_KEY_ID" in str(error)


@operation
def test_refused_port(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    options = {"endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}", "key": "k", "secret": SECRET}
    error = refused(Store.at("s3://bucket", options), name)
    assert type(error) is StorageError
    assert "Could not connect" in str(error)


@operation
def test_invalid_bucket_name(moto_s3: S3Server, name: str) -> None:
    error = refused(Store.at("s3://not a bucket"), name)
    assert isinstance(error, OptionError)
    assert "bucket's name is not valid" in str(error)


@operation
def test_denied(flaky_s3: FlakyS3, name: str) -> None:
    for method in ("GET", "HEAD", "PUT", "POST"):
        flaky_s3.fail(method, *["denied"] * 9)
    error = refused(Store.at("s3://bucket"), name)
    assert isinstance(error, OptionError)
    assert "access was refused (" in str(error)


@operation
def test_a_file_is_in_the_place_of_the_root(tmp_path: Path, name: str) -> None:
    (tmp_path / "root").write_bytes(b"")
    store = Store.at(str(tmp_path / "root"))
    if name in {"read", "stat"}:
        assert isinstance(refused(store, name), MissingKey)
    elif name in {"exists", "delete"}:
        assert not OPERATIONS[name](store)
    else:
        error = refused(store, name)
        assert isinstance(error, OptionError)
        assert "a file is in the place of a folder" in str(error)


def test_stale_temporaries_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"")
    with pytest.raises(OptionError):
        Store.at(str(tmp_path / "root")).stale_temporaries(timedelta(0))


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), OptionError, "permission was denied"),
        (OSError(errno.EROFS, "Read-only file system"), OptionError, "Read-only file system"),
        (OSError(errno.EIO, "Input/output error"), StorageError, "cannot read: Input/output error"),
        (FileNotFoundError(errno.ENOENT, "No such file"), MissingKey, "no such file"),
        (TimeoutError(), StorageError, "cannot read: TimeoutError"),
        (ValueError("two\nlines"), StorageError, "two lines"),
        (RuntimeError(f"Session {SECRET} is closed"), StorageError, r"Session \*\*\* is closed"),
        (subprocess.SubprocessError("of a library"), StorageError, "of a library"),
    ],
)
def test_the_seam_translates(raised: Exception, kind: type[PackshotError], message: str) -> None:
    store = Store.at("/nowhere", {"secret": SECRET})
    with pytest.raises(kind, match=message) as caught, store.seam("read", "a"):
        raise raised
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("bug", [TypeError("x"), KeyError("x"), AssertionError("x"), StorageError("ours")])
def test_the_seam_lets_bugs_and_our_own_errors_pass(bug: Exception) -> None:
    with pytest.raises(type(bug)) as caught, Store.at("/nowhere").seam("read", "a"):
        raise bug
    assert caught.value is bug


def test_s3_without_s3fs_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from catalogs.storage.store import Store\n"
        "try: Store.at('s3://bucket').read('a')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith("OptionError"), done
    assert "pip install packshot[s3]" in done.stdout


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "the path is empty"),
        ("s3://", "the bucket is missing"),
        ("https://host/x", "https:// is read of photos alone"),
        (f"s3://key:{SECRET}@bucket/x", "must not carry secrets"),
        (f"ftp://user:{SECRET}@host/x", "must not carry secrets"),
        ("file://host/x", "must hold an absolute path"),
        ("nonsense://x", "nonsense"),
    ],
)
def test_a_root_that_cannot_be_used(uri: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        Store.at(uri).list()
    assert SECRET not in str(caught.value)


MENDABLE = {
    errno.ENOSPC: "the disk is full; free some space, then run again: what is committed stays",
    errno.EDQUOT: "the disk quota is used up; free some space, then run again: what is committed stays",
    errno.EROFS: "permission was denied (Read-only file system); allow this user to read and write there",
    errno.EACCES: "permission was denied (Permission denied); allow this user to read and write there",
    errno.ENAMETOOLONG: "the path is too long; give a shorter one",
}


@pytest.mark.parametrize("number", MENDABLE)
@pytest.mark.parametrize("name", ["write", "write_file", "create", "commit"])
def test_what_a_user_can_mend_is_no_reason_to_try_again(
    tmp_path: Path, number: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full fails at once, is said in one line, and leaves what was there and no temporary file."""

    def failing(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    store = Store.at(str(tmp_path))
    store.write("a/good", b"kept")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        error = refused(store, name)
    assert (type(error), error.exit_code) == (OptionError, 2)
    assert MENDABLE[number] in str(error)
    assert os.listdir(tmp_path / "a") == ["good"]
    OPERATIONS[name](store)
    assert store.read("a/good") == b"kept"
    assert store.exists("a/b")
