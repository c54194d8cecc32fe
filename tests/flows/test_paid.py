"""The whole command where pictures are paid for: collected first, held over a budget, swept around, told of."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from catalogs.errors import CampaignError
from catalogs.journal.sums import read_spent
from inference.hosted import client, pace
from inference.remote import backoff
from tasks.collect import collect_paid
from tasks.leftovers import delete_leftovers, find_leftovers
from tasks.stopping import stopping
from tests.bfl_server import KEY
from tests.flows.commands import Command
from tests.flows.projects import HOSTED_SHOT, Project, hosted
from tests.ledger.running import LedgerApi

PRICE = 14_000


@pytest.fixture
def api(ledger_server: LedgerApi, monkeypatch: pytest.MonkeyPatch) -> LedgerApi:
    monkeypatch.setenv("BFL_API_KEY", KEY)
    monkeypatch.setattr(backoff, "FIRST", 0.05)
    monkeypatch.setattr(pace.Pace, "delay", lambda self, elapsed: 0.05)
    ledger_server.forget()
    stopping.clear()
    return ledger_server


def in_flight(api: LedgerApi, project: Project) -> None:
    """A start that paid for pictures, and ended before they came."""
    api.rules(seconds=0.7)
    project.campaign["hosted"]["deadline_seconds"] = 0.1
    project.write()
    project.render()
    assert {row["reason"] for row in project.view().values()} == {"not_ready"}
    del project.campaign["hosted"]["deadline_seconds"]
    project.write()
    api.rules(seconds=0.05)


@pytest.mark.timeout(300)
def test_a_budget_that_is_spent_stops_no_collection(
    api: LedgerApi, tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    api.rules(seconds=2.5, price_factor=3.0)
    project = hosted(api, tmp_path / "project", 12, budget={"max_cost": 12 * 0.014}, hosted={"unanswered": 4})
    command = Command(project, prefect_server)
    process = command.start("--accept-price")
    while process.poll() is None and not read_spent(project.store, "spring").tasks:
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    paid = len(api.submits())
    assert 1 <= paid <= 8  # four at the published price, the others at what those were billed
    # Whether the first two looks are among those that were paid for or not.
    summary = command.finished(command.start("--limit", "2"), [0, 1, 2])
    known = read_spent(project.store, "spring").tasks // (3 * PRICE)
    assert len(api.delivered()) == known
    assert summary["costs"] == {"paid": 0.0, "possibly_billed": 0.0, "by_brand": {}, "by_shot": {}}
    summary = command.run(code=2)
    assert len(api.submits()) == paid
    assert summary["outcome"]["delivered"] == known
    assert summary["plan"]["held"]
    assert any(
        "over the limit of 0.168" in line and "what costs nothing more was done" in line for line in summary["problems"]
    )
    project.campaign["budget"] = {"max_cost": 10}
    project.write()
    api.rules(seconds=0.1)
    done = command.run("--accept-price", "--resubmit")
    assert done["complete"]
    assert round(done["costs"]["paid"] * 1e6) == api.billed() - paid * 3 * PRICE


def test_over_the_budget_a_plan_is_refused_and_a_render_does_what_is_free(api: LedgerApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 2)
    in_flight(api, project)
    project.products += [{**project.products[0], "product_id": "p900", "title": "one more"}]
    project.campaign["budget"] = {"max_cost": 0.03}
    project.write()
    with pytest.raises(
        CampaignError, match=r"may cost 0\.014 to 0\.014 USD after 0\.028 USD spent, over the limit of 0\.03"
    ):
        project.plan()
    project.campaign["budget"] = {"max_cost": 0.042}  # to the very cent
    project.write()
    assert project.plan().summary["held"] == ""


def test_a_campaign_of_another_name_begins_anew_and_an_output_does_not(api: LedgerApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 3, budget={"max_cost": 0.05})
    project.render()
    project.campaign["name"] = "summer"
    project.write()
    assert project.plan().summary["spent"] == 0
    project.campaign["budget"] = {"max_cost": 0.05, "scope": "output"}
    for product in project.products:
        product["title"] += " again"
    project.write()
    with pytest.raises(CampaignError, match=r"after 0\.042 USD spent, over the limit of 0\.05"):
        project.plan()


def test_what_is_paid_is_collected_though_nobody_wants_it_any_more(api: LedgerApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 3)
    in_flight(api, project)
    product = project.products[0]
    before, product["title"] = product["title"], "another mug"
    project.write()
    taken = collect_paid(project.store, project.plan().plan_key)
    assert (taken.wanted, taken.stored) == (3, 3)
    assert collect_paid(project.store, project.plan().plan_key).wanted == 0
    product["title"] = before
    project.write()
    [report] = project.render()
    assert (report.adopted, report.rendered, report.delivered) == (3, 0, 3)
    assert len(api.submits()) == 3
    assert {row["cost"] for row in project.view().values()} == {0.014}


def test_a_sweep_leaves_masters_that_were_paid_for(api: LedgerApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 4)
    in_flight(api, project)
    collect_paid(project.store, project.plan().plan_key)
    stray = "renders/ab/" + "ab" * 32 + ".0123456789ab.png"
    project.store.write(stray, b"nobody paid for this")
    for key in project.store.list("renders"):
        then = time.time() - 100 * 3600
        os.utime(project.store.uri(key), (then, then))
    found = find_leftovers(project.store, timedelta(hours=24))
    assert [item.key for item in found.leftovers] == [stray]
    delete_leftovers(project.store, found)
    assert sum(report.delivered for report in project.render()) == 4
    assert len(api.submits()) == 4


def test_slow_starts_give_no_paid_picture_up(api: LedgerApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 2)
    api.rules(seconds=8.0)  # longer than the four starts take on a busy machine
    project.campaign["hosted"]["deadline_seconds"] = 0.1
    project.write()
    for _ in range(4):
        project.render()
        rows = project.view().values()
        assert {(row["reason"], row["final"], row["attempts"]) for row in rows} == {("not_ready", False, 0)}
        assert project.plan().summary["paid"] == 2
    del project.campaign["hosted"]["deadline_seconds"]
    project.write()
    project.render()
    assert {row["status"] for row in project.view().values()} == {"delivered"}


def test_a_picture_that_was_brought_to_its_size_says_so_in_its_row(api: LedgerApi, tmp_path: Path) -> None:
    shot = {"hero": {**HOSTED_SHOT["hero"], "size": "256x256"}}
    project = hosted(api, tmp_path, 2, shots=shot)
    api.rules(p_wrong_size=1.0)
    project.render()
    for row in project.view().values():
        assert row["status"] == "delivered"
        assert "cropped and resized" in row["detail"]


def test_a_plan_tells_what_lost_money_is_asked_about(
    api: LedgerApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TASK_LIFE", 0.3)
    project = hosted(api, tmp_path, 2)
    api.rules(p_bill_then_500=1.0)
    project.render()
    summary = project.plan().summary
    assert (
        "2 pictures may have been billed and never came; --resubmit buys them again, for 0.028 to 0.028 USD"
        in summary["warnings"]
    )
    assert summary["failed_before"] == 0
    api.rules(p_bill_then_500=0.0, p_gone=1.0)
    project.render(resubmit=True)
    summary = project.plan().summary
    assert (summary["paid"], summary["cost_high"]) == (2, 0.0)
    project.render()
    summary = project.plan().summary
    assert (
        "2 pictures that were paid for are gone; --resubmit buys them again, for 0.028 to 0.028 USD"
        in summary["warnings"]
    )
    assert project.plan(resubmit=True).summary["cost_high"] == 0.028
    api.rules(p_gone=0.0)
    project.render(resubmit=True)
    assert {row["status"] for row in project.view().values()} == {"delivered"}
    assert read_spent(project.store, "spring").total == api.billed() == 6 * PRICE


def test_a_plan_tells_of_errors_that_are_bought_once_more(api: LedgerApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 3)
    api.rules(p_error=1.0)
    project.render()
    summary = project.plan().summary
    said = "3 pictures ended in an error of the API and are bought once more, for 0.042 to 0.042 USD"
    assert said in summary["warnings"]
    assert summary["cost_high"] == 0.042
    project.render()
    summary = project.plan().summary
    assert (summary["renders"], summary["failed_before"]) == (0, 3)
    assert len(api.submits()) == 6
    api.rules(p_error=0.0)
    project.render(retry_failed=True)
    assert {row["status"] for row in project.view().values()} == {"delivered"}
