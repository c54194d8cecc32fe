"""Takes that are paid for: none is bought twice, and each round's price is held against the budget before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.remote import backoff
from tasks.stopping import stopping
from tests.bfl_server import KEY
from tests.flows.commands import Command
from tests.flows.projects import hosted
from tests.ledger.running import LedgerApi

PRODUCTS = 4
PRICE = 0.014
REJECTING = {"reject": {"contrast": 200}, "max_attempts": 2, "stop_line": False}


@pytest.fixture
def api(ledger_server: LedgerApi, monkeypatch: pytest.MonkeyPatch) -> LedgerApi:
    monkeypatch.setenv("BFL_API_KEY", KEY)
    monkeypatch.setattr(backoff, "FIRST", 0.05)
    ledger_server.forget()
    ledger_server.rules(seconds=0.05)
    stopping.clear()
    return ledger_server


@pytest.mark.timeout(300)
def test_every_take_is_paid_once(api: LedgerApi, tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = hosted(api, tmp_path / "project", PRODUCTS, quality=REJECTING)
    command = Command(project, prefect_server)
    summary = command.run(code=1)
    assert len(api.submits()) == 2 * PRODUCTS
    assert summary["costs"]["paid"] == pytest.approx(2 * PRODUCTS * PRICE)
    assert sum(summary["costs"]["by_shot"].values()) == pytest.approx(2 * PRODUCTS * PRICE)
    assert summary["work"]["rendered"] == 2 * PRODUCTS
    assert (summary["outcome"]["rejected"], summary["outcome"]["delivered"]) == (PRODUCTS, 0)
    assert command.run(code=1)["work"]["rendered"] == 0
    assert len(api.submits()) == 2 * PRODUCTS


@pytest.mark.timeout(300)
def test_a_round_that_the_budget_does_not_allow_is_not_begun(
    api: LedgerApi, tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    project = hosted(
        api, tmp_path / "project", PRODUCTS, quality=REJECTING, budget={"max_cost": 1.5 * PRODUCTS * PRICE}
    )
    command = Command(project, prefect_server)
    summary = command.run(code=1)
    assert len(api.submits()) == PRODUCTS
    assert any("not taken again" in problem and "over the limit of 0.084" in problem for problem in summary["problems"])
    assert not summary["complete"]
    del project.campaign["budget"]
    project.write()
    assert command.run(code=1)["work"]["rendered"] == PRODUCTS
    assert len(api.submits()) == 2 * PRODUCTS
