"""One accounting server for its own tests, each of which begins with an empty ledger."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.ledger.customer import Customer
from tests.ledger.running import LedgerApi, ledger_api


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerApi]:
    with ledger_api(tmp_path_factory.mktemp("ledger") / "server.log", seconds=0) as api:
        yield api


@pytest.fixture
def api(server: LedgerApi) -> LedgerApi:
    server.forget()
    return server


@pytest.fixture(scope="module")
def web() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


@pytest.fixture
def customer(api: LedgerApi, web: httpx.Client) -> Customer:
    return Customer(api, web)
