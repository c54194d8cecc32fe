"""Where a reference in a catalog points to."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogs.errors import UserError
from catalogs.storage.store import MissingKey, read_uri, stat_uri
from catalogs.storage.uris import join_uri, resolve_uri, split_uri


@pytest.mark.parametrize(
    ("base", "uri", "resolved"),
    [
        ("/shop/products.parquet", "photos/1.jpg", "/shop/photos/1.jpg"),
        ("/shop/products.parquet", "../other/1.jpg", "/other/1.jpg"),
        ("/shop/products.parquet", "./1.jpg", "/shop/1.jpg"),
        ("/shop/products/", "1.jpg", "/shop/products/1.jpg"),
        ("/products.parquet", "1.jpg", "/1.jpg"),
        ("/shop/products.parquet", "/photos/1.jpg", "/photos/1.jpg"),
        ("/shop/products.parquet", "file:///photos/a%20b.jpg", "/photos/a b.jpg"),
        ("/shop/products.parquet", "s3://pics/1.jpg", "s3://pics/1.jpg"),
        ("/shop/products.parquet", "s3a://pics/1.jpg", "s3://pics/1.jpg"),
        ("file:///shop/products.parquet", "1.jpg", "/shop/1.jpg"),
        ("s3://data/shop/products.parquet", "photos/1.jpg", "s3://data/shop/photos/1.jpg"),
        ("s3://data/shop/products.parquet", "../1.jpg", "s3://data/1.jpg"),
        ("s3://data/products.parquet", "1.jpg", "s3://data/1.jpg"),
        ("s3://data/shop/", "1.jpg", "s3://data/shop/1.jpg"),
        ("s3://data/products.parquet", "/photos/1.jpg", "/photos/1.jpg"),
        ("/shop/p.parquet", "photos/100%25 [x].jpg", "/shop/photos/100%25 [x].jpg"),
    ],
)
def test_resolve_uri(base: str, uri: str, resolved: str) -> None:
    assert resolve_uri(base, uri) == resolved


@pytest.mark.parametrize(
    ("base", "uri", "problem"),
    [
        ("/shop/p.parquet", "https://cdn.example/1.jpg", "https:// is read of photos alone"),
        ("/shop/p.parquet", "http://cdn.example/1.jpg", "download the file and give its path"),
        ("/shop/p.parquet", " ", "the path is empty"),
        ("s3://data/p.parquet", "../../1.jpg", "leads out of the bucket"),
        ("s3://data/shop/p.parquet", "../../other/1.jpg", "leads out of the bucket"),
        ("/shop/p.parquet", "s3://", "the bucket is missing"),
        ("/shop/p.parquet", "s3:/bucket/a.png", "a URI has two slashes after its colon"),
        ("s3://bucket/p.parquet", "gs:bucket/a.png", "a URI has two slashes after its colon"),
        ("/shop/p.parquet", "an s3://bucket/a.png", "a URI starts with its protocol"),
    ],
)
def test_resolve_uri_refuses(base: str, uri: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        resolve_uri(base, uri)
    assert caught.value.source == base


def test_relative_bases_start_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri("p.parquet", "1.jpg") == str(tmp_path / "1.jpg")
    assert resolve_uri("sub/p.parquet", "1.jpg") == str(tmp_path / "sub" / "1.jpg")


@pytest.mark.parametrize(
    ("uri", "folder", "name"),
    [
        ("/a/b.txt", "/a", "b.txt"),
        ("/b.txt", "/", "b.txt"),
        ("b.txt", ".", "b.txt"),
        ("a/b.txt", "a", "b.txt"),
        ("s3://bucket/b.txt", "s3://bucket", "b.txt"),
        ("s3://bucket/a/b.txt", "s3://bucket/a", "b.txt"),
        ("s3://bucket", "s3://bucket", ""),
    ],
)
def test_split_and_join(uri: str, folder: str, name: str) -> None:
    assert split_uri(uri) == (folder, name)
    if name and folder.startswith(("/", "s3:")):
        assert join_uri(folder, name) == uri


def test_read_uri_takes_paths_and_file_uris(tmp_path: Path) -> None:
    path = tmp_path / "a b.txt"
    path.write_bytes(b"1")
    assert read_uri(str(path)) == read_uri(path.as_uri()) == b"1"
    assert stat_uri(path.as_uri()) == stat_uri(str(path))
    with pytest.raises(MissingKey):
        read_uri(str(tmp_path / "none"))
