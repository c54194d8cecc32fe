"""The cache of what is known of reference images: kept, shared between processes, done without."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from catalogs.references import book as book_module
from catalogs.references.book import InvalidReference, ReferenceBook
from catalogs.references.probes import ProbeCache, cache_folder
from tests.catalogs.references.photos import WHITE, encoded, photo, saved


def test_a_lower_limit_counts_also_for_what_is_cached(tmp_path: Path) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo(size=(40, 40))))
    ReferenceBook(tmp_path).probe("", reference.uri)
    with pytest.raises(InvalidReference, match="40 x 40 pixels, over the limit"):
        ReferenceBook(tmp_path, max_pixels=1000).probe("", reference.uri)


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = book_module.read_uri
    monkeypatch.setattr(book_module, "read_uri", lambda uri: (reads.append(uri), read(uri))[1])
    path = tmp_path / "p.png"
    first = saved(path, encoded(photo()))
    for _ in range(2):
        fresh = ReferenceBook(tmp_path / "cache")
        assert [fresh.probe("", str(path)).sha256 for _ in range(3)] == [first.sha256] * 3
        fresh.close()
    assert len(reads) == 1
    second = saved(path, encoded(photo(colour=WHITE, size=(9, 9))))
    os.utime(path, ns=(0, 10**18))
    probe = ReferenceBook(tmp_path / "cache").probe("", str(path))
    assert (probe.sha256, probe.width) == (second.sha256, 9)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_broken_cache_is_rebuilt(tmp_path: Path, content: bytes) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))
    (tmp_path / "references-2.sqlite").write_bytes(content)
    broken = ReferenceBook(tmp_path)
    assert broken.probe("", reference.uri).width == 6
    broken.close()
    connection = sqlite3.connect(tmp_path / "references-2.sqlite")
    assert connection.execute("select sha256 from probes").fetchall() == [(reference.sha256,)]
    connection.close()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    reference = saved(tmp_path / "p.png", encoded(photo()))
    book = ReferenceBook(tmp_path / "p.png" / "under-a-file")
    assert book.probe("", reference.uri).width == 6
    book.close()


PROCESS = """
import sys
from pathlib import Path
from catalogs.references.book import ReferenceBook
book = ReferenceBook(Path(sys.argv[1]))
for i in range(30):
    book.probe(sys.argv[2] + "/p.parquet", f"{i}.png")
"""


def test_processes_share_the_cache(tmp_path: Path) -> None:
    for i in range(30):
        saved(tmp_path / f"{i}.png", encoded(photo(size=(i + 1, 2))))
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "cache"), str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[1] for process in running] == [b""] * 3
    cache = ProbeCache(tmp_path / "cache")
    assert cache._run("select count(*) from probes", ()) == [(30,)]
    cache.close()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PACKSHOT_CACHE")
    assert cache_folder() == Path("~/.cache/packshot").expanduser()
