"""What a sweep does with fetched photos: it takes those that nothing names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogs.assets.masters import LEAST_GRACE
from catalogs.identity import PHOTOS
from catalogs.references.fetch_records import RECORDS
from tasks.fetch import fetch_photos
from tasks.leftovers import delete_leftovers, find_leftovers
from tasks.photo_leftovers import photo_leftovers
from tests.flows.projects import Project
from tests.flows.web_catalogs import catalog, shop_of
from tests.photo_server import PhotoServer, body, photo


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoServer]:
    with shop_of(monkeypatch) as server:
        yield server


def age(project: Project, hours: float) -> None:
    moment = time.time() - hours * 3600
    for key in project.store.list("references"):
        os.utime(project.store.path(key), (moment, moment))


def test_a_sweep_takes_photos_that_nothing_names(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    project.plan()
    old = set(project.store.list(PHOTOS))
    project.store.write(f"{PHOTOS}/aa/{'a' * 64}.png", b"left by a fetch that was killed")
    age(project, 100)
    later = datetime.now(UTC) + timedelta(hours=100)
    assert [item.key for item in photo_leftovers(project.store, later)] == [f"{PHOTOS}/aa/{'a' * 64}.png"]
    shop.routes["/1.png"] = body(photo("#00FF00"))
    fetch_photos(project.path, refresh=True)
    age(project, 100)
    # Replaced a moment ago: a run that began before may still want it. Replaced long ago: the newest plan may.
    assert len(photo_leftovers(project.store, datetime.now(UTC) - LEAST_GRACE)) == 1
    assert len(photo_leftovers(project.store, later)) == 1
    project.plan()
    [replaced] = {item.key for item in photo_leftovers(project.store, later)} & old
    found = find_leftovers(project.store, LEAST_GRACE)
    assert [item.key for item in found.leftovers] == [f"{PHOTOS}/aa/{'a' * 64}.png"]
    assert len(delete_leftovers(project.store, found)) == 1
    assert project.store.exists(replaced)
    assert project.plan().summary["looks"] == 3


def test_a_photo_that_is_fetched_again_after_the_listing_is_kept(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    project.plan()
    project.store.delete(project.store.list(RECORDS))
    for key in project.store.list("runs"):
        project.store.delete([key])
    age(project, 100)
    found = find_leftovers(project.store, LEAST_GRACE)
    assert len(found.leftovers) == 3
    fetch_photos(project.path)
    assert delete_leftovers(project.store, found) == []
    assert project.plan().summary["looks"] == 3


def test_nothing_is_swept_while_a_record_cannot_be_read(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    project.plan()
    [key] = project.store.list(RECORDS)
    project.store.write(key, b"damaged")
    assert photo_leftovers(project.store, datetime.now(UTC) + timedelta(days=9)) == []
