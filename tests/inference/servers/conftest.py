from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.servers.engine import close_connections


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No verdict of another test, and no connection left open."""
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path / "cache"))
    yield
    close_connections()
