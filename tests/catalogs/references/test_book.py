"""The book of references: found by path or by role, measured once, refused when changed, gone or not licensed."""

from __future__ import annotations

import errno
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogs.errors import ReferenceImageError, StorageError
from catalogs.references import book as book_module
from catalogs.references.book import (
    ChangedReference,
    InvalidReference,
    MissingReference,
    ReferenceBook,
    UnreachableReference,
    load_reference,
    pick,
    rights_problem,
)
from catalogs.requests import Reason, Reference, RenderRequest
from catalogs.storage.store import Store
from inference.engine import failed_reference
from tests.catalogs.references.photos import RED, WHITE, encoded, photo, saved
from tests.permissions import nobody, open_to_all
from tests.servers import S3Server

TODAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("base", "uri", "kind", "problem"),
    [
        ("/data/p.parquet", "no/such.jpg", MissingReference, "/data/no/such.jpg: there is no such file"),
        (
            "/data/p.parquet",
            "https://x.de/a.jpg",
            InvalidReference,
            "x.de is no host of this campaign; add x.de to reference_hosts in",
        ),
        ("/data/p.parquet", " ", InvalidReference, "the path is empty"),
        ("s3://bucket/p.parquet", "../../a.jpg", InvalidReference, "the path leads out of the bucket"),
    ],
)
def test_a_wrong_uri_is_told(book: ReferenceBook, base: str, uri: str, kind: type, problem: str) -> None:
    with pytest.raises(kind, match=problem):
        book.probe(base, uri)


def test_a_reference_error_keeps_its_kind_through_pickle() -> None:
    copy = pickle.loads(pickle.dumps(MissingReference("a.jpg", "", "gone", "find it")))
    assert (type(copy), copy.reason, str(copy)) == (
        MissingReference,
        Reason.REFERENCE_MISSING,
        "a.jpg: gone; find it",
    )


def test_load_refuses_what_changed_or_went(tmp_path: Path) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))
    assert load_reference(reference).getpixel((0, 0)) == RED
    saved(tmp_path / "p.png", encoded(photo(colour=WHITE)))
    with pytest.raises(ChangedReference, match="has changed since the plan was made; plan again") as changed:
        load_reference(reference)
    assert changed.value.reason is Reason.REFERENCE_CHANGED
    os.unlink(reference.uri)
    with pytest.raises(MissingReference) as missing:
        load_reference(reference)
    assert missing.value.reason is Reason.REFERENCE_MISSING
    assert isinstance(missing.value, ReferenceImageError)


def test_threads_share_one_measurement(tmp_path: Path, book: ReferenceBook, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = book_module.read_uri
    monkeypatch.setattr(book_module, "read_uri", lambda uri: (reads.append(uri), read(uri))[1])
    names = [f"{i}.png" for i in range(20)]
    for name in names:
        saved(tmp_path / name, encoded(photo(size=(len(name), 3))))
    with ThreadPoolExecutor(16) as pool:
        probes = list(pool.map(lambda name: book.probe(f"{tmp_path}/p.parquet", name), names * 20))
    assert sorted(reads) == sorted(f"{tmp_path}/{name}" for name in names)
    assert [probe.uri for probe in probes] == [f"{tmp_path}/{name}" for name in names * 20]


def test_a_store_that_fails_is_asked_again(
    tmp_path: Path, book: ReferenceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))

    def broken(path: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", broken)
        with pytest.raises(StorageError, match="Input/output error"):
            book.probe("", reference.uri)
    assert book.probe("", reference.uri).sha256 == reference.sha256


def test_a_reference_in_a_bucket(book: ReferenceBook, moto_s3: S3Server) -> None:
    bucket = moto_s3.bucket()
    data = encoded(photo())
    Store.at(f"s3://{bucket}/in").write("images/a.png", data)
    probe = book.probe(f"s3://{bucket}/in/products.parquet", "images/a.png")
    assert (probe.uri, probe.width) == (f"s3://{bucket}/in/images/a.png", 6)
    image = load_reference(Reference(probe.uri, probe.sha256, "hero", probe.width, probe.height))
    assert image.getpixel((0, 0)) == RED
    with pytest.raises(MissingReference):
        book.probe(f"s3://{bucket}/in/products.parquet", "images/none.png")


HERO, SIDE, PLAIN = {"uri": "h", "role": "hero"}, {"uri": "s", "role": "side"}, {"uri": "p", "role": ""}


@pytest.mark.parametrize(
    ("images", "role", "expected"),
    [
        ([SIDE, HERO], "hero", HERO),
        ([SIDE, HERO], "Side", SIDE),
        ([PLAIN, {"uri": "q", "role": None}], "hero", PLAIN),
        ([PLAIN, SIDE], "hero", None),
        ([PLAIN], "side", None),
        ([{**HERO, "uri": "1"}, {**HERO, "uri": "2"}], "hero", {"uri": "1", "role": "hero"}),
        ([], "hero", None),
    ],
)
def test_pick_by_role(images: list[dict[str, Any]], role: str, expected: dict[str, Any] | None) -> None:
    assert pick(images, role) == expected


@pytest.mark.parametrize(
    ("image", "territory", "problem"),
    [
        ({}, None, None),
        ({"licence_end": TODAY}, "DE", None),
        ({"licence_end": TODAY - timedelta(days=1)}, "DE", "its licence ended on 2026-05-31"),
        ({"territories": ["DE", "AT"]}, "de", None),
        ({"territories": ["DE", "AT"]}, "US", "its licence covers AT, DE only, not US"),
        ({"territories": ["DE"]}, None, "its licence covers DE only, and the channel names no territory"),
        ({"territories": ["DE"]}, "WORLD", "its licence covers DE only, not the world"),
        ({"territories": ["DE", "*"]}, None, None),
        ({"territories": ["World"]}, "US", None),
        ({"territories": []}, None, None),
        ({"territories": None, "licence_end": None}, "US", None),
    ],
)
def test_rights(image: dict[str, Any], territory: str | None, problem: str | None) -> None:
    assert rights_problem(image, territory, TODAY) == problem


def test_a_photo_that_may_not_be_read_now_is_no_bad_photo(tmp_path: Path) -> None:
    """A permission is no fault of the picture: what fails for it is tried again by the next run."""
    reference = saved(tmp_path / "p.png", encoded(photo(size=(64, 64))))
    open_to_all(tmp_path)
    os.chmod(reference.uri, 0)
    with nobody(), pytest.raises(UnreachableReference, match="permission was denied") as caught:
        load_reference(reference)
    request = RenderRequest("", (reference,), 64, 64, 0, 0, 4, None, "proof", "1")
    assert not failed_reference(request, caught.value).final
    os.chmod(reference.uri, 0o600)
    assert load_reference(reference).size == (64, 64)
