"""A book of reference images with a cache of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.references.book import ReferenceBook


@pytest.fixture
def book(tmp_path: Path) -> Any:
    with_cache = ReferenceBook(tmp_path / "cache")
    yield with_cache
    with_cache.close()
