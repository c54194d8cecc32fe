"""What a run and `packshot spend` say was spent, against the ledger of the server that billed it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import OptionError
from catalogs.money import micro
from catalogs.plans.file import PlanFile
from flows.cli_output import cost_lines, outcome_lines
from flows.summary_page import summary_markdown
from inference.hosted import purchase
from inference.remote import backoff
from tasks.collect import collect_paid
from tasks.outcome import outcome_of
from tasks.run_summary import write_summary
from tasks.spending import Spending, read_spending
from tasks.stopping import stopping
from tests.flows.commands import run as in_process
from tests.flows.journals import FIRST, journal
from tests.flows.projects import HOSTED_SHOT, Project, hosted, make
from tests.ledger.rules import Rules
from tests.ledger.running import LedgerApi
from tests.test_pages import documented

PRICE = 14_000
KEY = "a-key-of-the-ledger"


@pytest.fixture
def api(ledger_server: LedgerApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerApi]:
    monkeypatch.setenv("BFL_API_KEY", KEY)
    monkeypatch.setattr(backoff, "FIRST", 0.02)
    monkeypatch.setattr(backoff, "MOST", 0.1)
    monkeypatch.setattr(purchase, "SUBMIT_TRIES", 3)
    ledger_server.forget()
    stopping.clear()
    yield ledger_server
    stopping.clear()


def run(project: Project, **options: Any) -> dict[str, Any]:
    """A run as the flow makes it, without Prefect; its summary."""
    prepared = project.plan(**options)
    plan = PlanFile(prepared.store, prepared.plan_key)
    collect_paid(prepared.store, prepared.plan_key)
    reports = make(prepared)
    problems = sorted({report.problem for report in reports if report.problem})
    outcome = outcome_of(prepared.store, plan)
    shards = [asdict(report) for report in reports]
    return write_summary(prepared.store, prepared.run_id, prepared.summary, outcome, shards, 1.0, problems)


def spending(project: Project) -> Spending:
    return read_spending(load_campaign(project.path), project.store)


def check_law(api: LedgerApi, *projects: Project) -> None:
    """Billed is what is paid and part of what may be; every sum of the view comes to the same."""
    found = [spending(project) for project in projects]
    paid, possible = sum(one.paid for one in found), sum(one.possible for one in found)
    assert paid <= api.billed() <= paid + possible
    for one in found:
        for sums in one.sums.values():
            assert (sum(s.paid for s in sums), sum(s.possible for s in sums)) == (one.paid, one.possible)


def costs(summary: dict[str, Any]) -> tuple[int, int]:
    return micro(summary["costs"]["paid"]), micro(summary["costs"]["possibly_billed"])


def test_a_run_stopped_by_its_budget_says_what_it_paid(api: LedgerApi, tmp_path: Path) -> None:
    api.rules(price_factor=1.4)
    project = hosted(api, tmp_path, 6, budget={"max_cost": 0.084}, hosted={"in_flight": 1})
    summary = run(project)
    [problem] = summary["problems"]
    assert "over 0.084" in problem
    assert costs(summary) == (4 * 19_600, 0) == (api.billed(), 0)
    assert "cost: 0.0784 USD" in outcome_lines(summary)
    assert summary["outcome"]["delivered"] == 4
    assert spending(project).left == 84_000 - 78_400
    check_law(api, project)


def test_a_run_stopped_by_402_says_what_it_paid(api: LedgerApi, tmp_path: Path) -> None:
    api.rules(credits=5 * PRICE // 2)
    project = hosted(api, tmp_path, 6)
    summary = run(project)
    assert "out of credits" in summary["problems"][0]
    assert costs(summary) == (2 * PRICE, 0) == (api.billed(), 0)
    stopping.clear()
    api.rules(credits=100 * PRICE)
    assert costs(run(project)) == (4 * PRICE, 0), "the second run's own"
    check_law(api, project)


def test_both_tasks_of_a_moderated_picture_are_in_the_sums(api: LedgerApi, tmp_path: Path) -> None:
    draws = (Rules(seed=seed, p_content_moderated=0.5) for seed in range(100))
    rules = next(r for r in draws if [r.happens("p_content_moderated", n) for n in (1, 2)] == [True, False])
    api.rules(seed=rules.seed, p_content_moderated=0.5)
    project = hosted(api, tmp_path, 1, hosted={"retry_moderated": True})
    summary = run(project)
    assert costs(summary) == (2 * PRICE, 0) == (api.billed(), 0)
    assert summary["outcome"]["delivered"] == 1
    [row] = project.view().values()
    assert micro(row["cost"]) == PRICE, "of the render; the other task is in the journal alone"
    assert [line["ending"] for line in spending(project).view.to_pylist()] == ["content-moderated", None]
    check_law(api, project)


def test_what_may_have_been_billed_is_in_the_summary_and_the_account_tells_of_it(
    api: LedgerApi, tmp_path: Path
) -> None:
    api.rules(p_bill_then_500=1.0)
    project = hosted(api, tmp_path, 2)
    summary = run(project)
    assert costs(summary) == (0, 2 * PRICE)
    assert "cost: 0.00 USD, and 0.028 more that may have been billed" in outcome_lines(summary)
    told = spending(project).told
    assert (told.known, told.billed, told.unknown) == (2 * PRICE, api.billed(), {})
    api.rules(p_bill_then_500=0.0)
    stopping.clear()
    assert costs(run(project, resubmit=True)) == (2 * PRICE, 0)
    assert (spending(project).paid, spending(project).possible) == (2 * PRICE, 2 * PRICE)
    check_law(api, project)


def test_a_picture_collected_later_costs_the_run_that_paid(api: LedgerApi, tmp_path: Path) -> None:
    api.rules(poll_503_for=1e9)
    project = hosted(api, tmp_path, 2, hosted={"deadline_seconds": 0.5})
    first = run(project)
    assert first["outcome"]["delivered"] == 0
    assert costs(first) == (2 * PRICE, 0)
    api.rules(poll_503_for=0.0)
    stopping.clear()
    second = run(project)
    assert second["outcome"]["delivered"] == 2
    assert costs(second) == (0, 0)
    assert cost_lines(second["costs"]) == []
    assert [one.value for one in spending(project).sums["run_id"]] == [first["run_id"]]
    assert costs(run(project)) == (0, 0), "nor one that finds all delivered"
    check_law(api, project)


MAKE = """
import sys
from tasks.prepare import prepare
from tests.flows.projects import make
make(prepare(sys.argv[1], {}))
"""


def test_a_killed_runs_money_is_told_at_once(api: LedgerApi, tmp_path: Path) -> None:
    api.rules(answer_after=0.4)
    project = hosted(api, tmp_path, 20)
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, project.path], env={**os.environ, "PYTHONPATH": os.getcwd()}
    )

    def waits_for(what: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not what():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)

    waits_for(lambda: api.ledger()["totals"]["delivered"] >= 2)
    api.rules(answer_after=600.0)
    unanswered = lambda: [each for each in api.submits() if each["answered"] is None]  # noqa: E731
    waits_for(lambda: len(unanswered()) == 4)
    time.sleep(0.5)  # what was answered before is written down
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    api.rules(answer_after=0.0)
    found = spending(project)
    assert (found.paid, found.possible) == (api.billed() - 4 * PRICE, 4 * PRICE)
    assert found.told.unknown == {
        "no run has looked at the account both before and after; the next one does": 4 * PRICE
    }
    time.sleep(4.6)  # nobody takes them to be on their way any more
    summary = run(project)
    assert summary["outcome"]["reasons"] == {"possibly_billed": 4}
    assert costs(summary)[1] == 0
    assert costs(summary)[0] == api.billed() - found.paid - found.possible
    found = spending(project)
    assert found.told.unknown == {}
    assert (found.told.known, found.told.billed) == (4 * PRICE, 4 * PRICE)
    check_law(api, project)


# Rules of the server -> what a run of two pictures pays, and may have been billed, in pictures.
ANSWERS: list[tuple[dict[str, Any], int, int]] = [
    ({}, 2, 0),
    ({"p_bill_then_500": 1.0}, 0, 2),
    ({"p_bill_then_502": 1.0}, 0, 2),
    ({"p_bill_then_503_bare": 1.0}, 0, 2),
    ({"p_bill_then_cut": 1.0}, 0, 2),
    ({"p_503_bare_free": 1.0}, 0, 2),
    ({"p_cut_free": 1.0}, 0, 2),
    ({"p_503_body": 1.0}, 0, 0),
    ({"storm": 2}, 2, 0),
    ({"p_error": 1.0}, 2, 0),
    ({"p_request_moderated": 1.0}, 2, 0),
    ({"p_content_moderated": 1.0}, 2, 0),
    ({"p_wrong_ratio": 1.0}, 2, 0),
    ({"p_wrong_size": 1.0}, 2, 0),
    ({"p_not_an_image": 1.0}, 2, 0),
    ({"credits": 0}, 0, 0),
    ({"cost_says": "null"}, 2, 0),
    ({"cost_says": '"1.4"'}, 2, 0),
    ({"cost_says": "1e30"}, 2, 0),
    ({"key": "another-key-that-is-known"}, 0, 0),
]


@pytest.mark.parametrize(("rules", "paid", "possible"), ANSWERS)
def test_whatever_is_answered_the_sums_keep_to_the_ledger(
    api: LedgerApi, tmp_path: Path, rules: dict[str, Any], paid: int, possible: int
) -> None:
    good = hosted(api, tmp_path / "good", 1, name="good", output=str(tmp_path / "output"))
    good.products[0]["title"] = "Another mug"  # or its picture would be taken into use
    good.write()
    assert costs(run(good)) == (PRICE, 0)
    api.rules(**rules)
    project = hosted(api, tmp_path / "bad", 2, output=str(tmp_path / "output"), hosted={"deadline_seconds": 3})
    if "key" in rules:
        with pytest.raises(OptionError, match="does not accept the key"):
            run(project)
    else:
        assert costs(run(project)) == (paid * PRICE, possible * PRICE)
    found = spending(project)
    assert (found.paid, found.possible) == (paid * PRICE, possible * PRICE)
    check_law(api, project, good)
    assert spending(good).paid == PRICE


def test_the_documented_query_gives_the_sums_of_the_view(api: LedgerApi, tmp_path: Path) -> None:
    output = str(tmp_path / "my-output")
    api.rules(p_bill_then_500=0.3, p_error=0.3, p_503_body=0.2, cost_says="1.23456789")
    two = [hosted(api, tmp_path / name, 5, name=name, output=output) for name in ("spring", "spring-2")]
    for number, project in enumerate(two):
        for product in project.products:
            product["title"] += f" in {number}"
        project.campaign["shots"] = {
            "hero": HOSTED_SHOT["hero"],
            f"other{number}": {**HOSTED_SHOT["hero"], "size": "128x64"},
        }
        project.write()
        run(project, accept_price=True)
        stopping.clear()
        run(project, accept_price=True, resubmit=True)
        stopping.clear()
    journal(two[0], a=(FIRST, "end.void"), b=(FIRST, "end.unanswered", "end.void"), c=(None, "task.spring.7"))
    query = documented("spend/").replace("demo/my-output", output)
    for project in two:
        found = spending(project)
        assert found.paid
        assert found.possible
        name = project.campaign["name"]
        for column, sums in found.sums.items():
            asked = (
                f"SELECT {column}, sum(paid), sum(possibly_billed) FROM ({query}) WHERE campaign = '{name}' GROUP BY 1"
            )
            told = {(str(value), micro(paid), micro(more)) for value, paid, more in duckdb.sql(asked).fetchall()}
            assert {each for each in told if each[1] or each[2]} == {(s.value, s.paid, s.possible) for s in sums}


def test_the_answer_and_the_artifact_of_a_run_through_prefect(
    api: LedgerApi,
    tmp_path: Path,
    prefect_harness: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.rules(credits=5 * PRICE // 2)
    project = hosted(api, tmp_path, 4)
    assert in_process(monkeypatch, "render", project.path, "--json") == 1
    summary = json.loads(capsys.readouterr().out)
    assert costs(summary) == (2 * PRICE, 0) == (api.billed(), 0)
    assert "| **Cost** | 0.028 USD |" in summary_markdown(summary)
    check_law(api, project)
