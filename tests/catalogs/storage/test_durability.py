"""A commit is on the disk only after all it names: a power cut leaves no row whose bytes are gone."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.commits import Step, commit
from catalogs.assets.masters import store_master
from catalogs.storage import filesystems
from catalogs.storage.store import Store
from tests.catalogs.assets.test_commits import RUN, asset
from tests.catalogs.assets.test_masters import DATA, FINGERPRINT, KEY, RECORD

ASSET = "assets/spring/acme/mug/hero/square-0.ab.cd.jpg"
ROW = asset(asset_key=ASSET, render_key=KEY)


@dataclass
class Disk:
    """What a power cut at this moment would leave, told from the system calls of all threads.

    Attributes:
        calls: (name, what it was called on), in order; temporary files as ".tmp".
        synced: inodes whose bytes are on the disk.
        waiting: names that are made and not on the disk yet.
        lost: for each commit, what it would have outlived.
    """

    root: Path
    calls: list[tuple[str, str]] = field(default_factory=list)
    synced: set[int] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    lost: list[list[str]] = field(default_factory=list)

    def fsync(self, path: str) -> None:
        self.note("fsync", path)
        self.synced.add(os.stat(path).st_ino)
        self.waiting = {name for name in self.waiting if os.path.dirname(name) != path}

    def made(self, call: str, path: str) -> None:
        self.note(call, path)
        self.waiting.add(path)
        if f"{self.root}/catalog/" in path and path.endswith(".parquet"):
            self.lost.append(self.losses())

    def losses(self) -> list[str]:
        files = [str(self.root / key) for key in (ASSET, KEY, KEY.replace(".png", ".json"))]
        torn = [name for name in files if not os.path.exists(name) or os.stat(name).st_ino not in self.synced]
        folders = {str(parent) for name in files for parent in Path(name).parents}
        return torn + sorted(self.waiting & {*files, *folders})

    def note(self, call: str, path: str) -> None:
        name = os.path.relpath(path, self.root)
        folder, base = os.path.split(name)
        self.calls.append((call, os.path.join(folder, ".tmp") if base.startswith(".tmp-") else name))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    seen, guard = Disk(tmp_path / "store"), threading.Lock()

    def watched(name: str, told: Any) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            answer = real(*arguments, **named)
            with guard:
                told(*arguments)
            return answer

        monkeypatch.setattr(os, name, call)

    watched("fsync", lambda handle: seen.fsync(os.readlink(f"/proc/self/fd/{handle}")))
    watched("link", lambda source, target: seen.made("link", target))
    watched("replace", lambda source, target: seen.made("replace", target))
    watched("mkdir", lambda path, *mode: seen.made("mkdir", os.fspath(path)))
    return seen


def store_and_commit(store: Store) -> None:
    store_master(store, FINGERPRINT, DATA, RECORD)
    store.write(ASSET, b"an asset")
    commit(store, RUN, Step.RENDER, [ROW])


def test_bytes_then_name_then_folder_then_the_commit(disk: Disk) -> None:
    store = Store.at(str(disk.root))
    store_and_commit(store)
    folder = os.path.dirname(ASSET)
    order = [("fsync", f"{folder}/.tmp"), ("replace", ASSET), ("fsync", folder)]
    start = disk.calls.index(order[0])
    assert disk.calls[start : start + 3] == order
    name = next(key for key in store.list("catalog"))
    assert disk.calls[-3:] == [("fsync", f"catalog/{RUN}/.tmp"), ("link", name), ("fsync", f"catalog/{RUN}")]
    assert disk.lost == [[]]
    assert not disk.waiting


def test_every_folder_made_on_the_way_is_entered_before_the_commit(disk: Disk) -> None:
    store_and_commit(Store.at(str(disk.root)))
    made = [name for call, name in disk.calls if call == "mkdir"]
    assert "assets/spring/acme/mug" in made
    for name in made:
        entered = disk.calls.index(("mkdir", name))
        assert ("fsync", os.path.dirname(name) or ".") in disk.calls[entered:] or name == "."


def test_a_large_file_and_a_repeated_commit_are_synced_too(disk: Disk, tmp_path: Path) -> None:
    store = Store.at(str(disk.root))
    store_and_commit(store)
    commit(store, RUN, Step.RENDER, [ROW])
    assert disk.calls[-1] == ("fsync", f"catalog/{RUN}")
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    store.write_file("runs/r/plan.parquet", str(tmp_path / "large"))
    order = [("fsync", "runs/r/.tmp"), ("replace", "runs/r/plan.parquet"), ("fsync", "runs/r")]
    assert disk.calls[-3:] == order


def test_a_folder_that_a_killed_process_made_is_entered_before_the_commit(disk: Disk) -> None:
    """It was killed between making it and syncing the folder around it; the next writer finds it there."""
    os.makedirs(disk.root / os.path.dirname(ASSET))
    os.makedirs(disk.root / os.path.dirname(KEY))
    disk.waiting -= {str(disk.root), *map(str, disk.root.parents)}
    store_and_commit(Store.at(str(disk.root)))
    assert disk.lost == [[]]


def test_a_folder_that_another_thread_is_making_is_entered_before_the_commit(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.makedirs(disk.root)
    disk.waiting.clear()
    made, go_on, real = threading.Event(), threading.Event(), os.mkdir

    def slow(path: str, mode: int = 0o777) -> None:
        real(path, mode)
        if path.endswith("/acme") and threading.current_thread() is first:
            made.set()
            go_on.wait(20)

    monkeypatch.setattr(os, "mkdir", slow)
    store = Store.at(str(disk.root))
    first = threading.Thread(target=store.write, args=(ASSET.replace("square", "wide"), b"another asset"))
    first.start()
    assert made.wait(20)
    store_and_commit(store)
    assert disk.lost == [[]]
    go_on.set()
    first.join()


def test_a_folder_is_synced_for_once_and_not_for_every_file(disk: Disk) -> None:
    store = Store.at(str(disk.root))
    store.write("thumbs/ab/0.webp", b"x")
    before = len(disk.calls)
    for number in range(10):
        store.write(f"thumbs/ab/{number}.webp", b"x")
    assert len(disk.calls) - before == 30


def test_a_folder_that_was_deleted_is_made_and_entered_again(disk: Disk) -> None:
    store = Store.at(str(disk.root))
    for _ in range(2):
        store.write("thumbs/ab/0.webp", b"x")
        assert not disk.waiting
        store.delete(["thumbs/ab/0.webp"])
        os.rmdir(disk.root / "thumbs" / "ab")


def test_no_more_folders_are_remembered_than_a_process_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "_ENTERED_AT_MOST", 3)
    store = Store.at(str(tmp_path))
    for number in range(10):
        store.write(f"thumbs/{number}/x", b"x")
    assert len(filesystems._entered) <= 3
