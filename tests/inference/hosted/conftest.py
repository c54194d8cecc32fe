"""An account with a ledger, who buys from it, and the law of money, to which every test here is held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.hosted import pace
from inference.remote import backoff
from tests.inference.hosted.buyers import Buyer
from tests.ledger.judged import Law
from tests.ledger.running import LedgerApi


@pytest.fixture(autouse=True)
def law(tmp_path: Path) -> Iterator[Law]:
    """Judged when the test ends, whatever account it has let it watch."""
    held = Law(tmp_path)
    yield held
    held.check()


@pytest.fixture
def ledger(ledger_server: LedgerApi, law: Law) -> LedgerApi:
    ledger_server.forget()
    law.watch(ledger_server)
    return ledger_server


@pytest.fixture
def buyer(ledger: LedgerApi, tmp_path: Path) -> Buyer:
    return Buyer(ledger, tmp_path / "out")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.05)
    monkeypatch.setattr(backoff, "MOST", 0.3)
    monkeypatch.setattr(pace.Pace, "delay", lambda self, elapsed: 0.05)
