"""Campaigns whose photos are on a web server of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tasks.photos
from tests.flows.projects import Project
from tests.photo_server import PhotoServer, photo, serving, tagged

SHOT: dict[str, Any] = {
    "hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}
}
HOST = "http://photos.test"


@contextmanager
def shop_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoServer]:
    """A server that fetchers of this process reach under two names, and under no other anything."""
    with serving() as server:
        monkeypatch.setattr(tasks.photos, "NETWORK", server.network("photos.test", "busy.test"))
        yield server


def catalog(folder: Path, shop: PhotoServer, count: int = 3, **campaign: Any) -> Project:
    """A campaign whose products have a photo each on the server, each another one."""
    project = Project.of(folder, count, **{"shots": SHOT, "reference_hosts": [HOST], **campaign})
    for number, product in enumerate(project.products):
        product["reference_images"] = [{"uri": f"{HOST}/{number}.png", "role": "hero"}]
        shop.routes[f"/{number}.png"] = tagged(coloured(number), f'"{number}"')
    project.write()
    return project


def coloured(number: int) -> bytes:
    """A photo that differs from those of other numbers."""
    return photo(f"#{(number * 7919 + 99) % 0xFFFFFF:06X}")
