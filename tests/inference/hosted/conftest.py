"""Every test of the hosted engine is held to the law of money."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.judged import Law


@pytest.fixture(autouse=True)
def law(tmp_path: Path) -> Iterator[Law]:
    """Judged when the test ends, whatever account it has let it watch."""
    held = Law(tmp_path)
    yield held
    held.check()
