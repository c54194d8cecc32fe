"""Campaigns on a hosted model: the plan's money, the run's, faults, kills, and the key that shows nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import CampaignError
from catalogs.journal.sums import read_spent
from catalogs.money import micro, shown
from flows.cli_output import plan_lines
from inference.hosted import client
from inference.hosted.account import close_accounts
from tasks.outcome import newest_outcome
from tasks.stopping import stopping
from tasks.verify import verify
from tests.bfl_server import FATES, KEY, SWITCHES, HostedApi, hosted_api
from tests.flows.commands import Command
from tests.flows.projects import HOSTED_SHOT, Project, hosted, plan_rows
from tests.flows.test_render import python
from tests.ledger.judged import Law

PRICE = 0.014
# A tenth of all requests meets one of these.
FAULTS = {
    "submit_429": 0.02,
    "submit_503": 0.01,
    "submit_drop_before": 0.005,
    "submit_drop_after": 0.005,
    "poll_503": 0.01,
    "poll_503_body": 0.01,
    "poll_drop": 0.005,
    "unknown_status": 0.02,
    "slow": 0.01,
    "error": 0.01,
    "request_moderated": 0.01,
    "content_moderated": 0.01,
    "dead_link": 0.005,
    "stale_link": 0.01,
    "download_503": 0.01,
    "download_torn": 0.005,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedApi]:
    with hosted_api(tmp_path_factory.mktemp("bfl") / "log") as running:
        yield running
        close_accounts()


@pytest.fixture(autouse=True)
def law(tmp_path: Path) -> Iterator[Law]:
    held = Law(tmp_path)
    yield held
    held.check()


@pytest.fixture
def api(server: HostedApi, law: Law, monkeypatch: pytest.MonkeyPatch) -> HostedApi:
    monkeypatch.setenv("BFL_API_KEY", KEY)
    server.set(**SWITCHES)
    law.watch(server)
    stopping.clear()
    return server


def new_tasks(api: HostedApi, before: int) -> list[dict[str, Any]]:
    return api.tasks()[before:]


def stopped(project: Project) -> str:
    """Render until nothing more is bought; why."""
    [problem] = {report.problem for report in project.render() if report.problem}
    return problem


def test_the_same_campaign_local_and_hosted_moves_by_its_model(api: HostedApi, tmp_path: Path) -> None:
    shots = {
        "hero": {**HOSTED_SHOT["hero"], "references": ["product.hero"]},
        "scene": {"size": "64x64", "references": ["shot.hero"], "prompt": {"scene": "in {{ image('shot.hero') }}"}},
    }
    project = hosted(api, tmp_path, shots=shots)
    before = len(api.tasks())
    project.render()
    view = project.view()
    assert {row["status"] for row in view.values()} == {"delivered"}
    assert {round(row["cost"], 6) for row in view.values()} == {PRICE}
    assert {row["engine"] for row in view.values()} == {"bfl"}
    assert read_spent(project.store, "spring").tasks == micro(6 * PRICE)
    assert len(new_tasks(api, before)) == 6
    assert sum(project.plan().summary["actions"].values()) == project.plan().summary["actions"]["unchanged"]
    project.campaign["model"] = "proof"
    project.write()
    project.render()
    assert len(new_tasks(api, before)) == 6


def test_the_plan_says_what_it_costs_and_warns_of_a_moving_model(api: HostedApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 4, model="bfl/pro-preview", reproducible=True)
    summary = project.plan().summary
    assert (summary["renders"], summary["cost_low"], summary["cost_high"]) == (4, 0.12, 0.12)
    said = "\n".join(plan_lines(summary))
    assert "cost      0.12 to 0.12 USD" in said
    assert "warning   bfl/pro-preview is not pinned" in said
    project.campaign["model"] = "bfl/pro"
    project.write()
    assert project.plan().summary["warnings"] == []


def test_what_changes_pixels_is_in_the_fingerprint_and_the_rest_is_not(api: HostedApi, tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        project = hosted(api, tmp_path, 1, model="bfl/pro", hosted=options)
        return str(plan_rows(project.plan())[0]["render_fingerprint"])

    usual = fingerprint()
    assert fingerprint(prompt_upsampling=True) != usual
    assert fingerprint(output_format="jpeg") != usual
    assert fingerprint(safety_tolerance=4, in_flight=3, retry_moderated=True) == usual


def test_the_budget_counts_what_earlier_runs_spent(api: HostedApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 3, budget={"max_cost": 0.05})
    project.render()
    assert read_spent(project.store, "spring").total == micro(3 * PRICE)
    for product in project.products:
        product["title"] += " again"
    project.write()
    with pytest.raises(CampaignError, match=r"after 0\.042 USD spent, over the limit of 0\.05"):
        project.plan()
    project.campaign["budget"] = {"max_cost": 0.1}
    project.write()
    project.render()


def test_a_price_that_rose_stops_the_run_before_the_limit(api: HostedApi, tmp_path: Path) -> None:
    api.set(megapixel=2048)  # as if the API counted 64x64 as two megapixels, and the plan did not know
    project = hosted(api, tmp_path, 6, budget={"max_cost": 6 * PRICE}, hosted={"in_flight": 1})
    before = len(api.tasks())
    assert "max_cost" in stopped(project)
    paid = new_tasks(api, before)
    assert sum(task["cost"] for task in paid) / 100 <= 6 * PRICE
    assert len(project.view()) == len(paid) == 5


def test_402_half_way_commits_what_is_paid_for_and_a_resume_makes_the_rest(api: HostedApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 10)
    api.set(credits=4 * 1.4 + 0.1)
    before = len(api.tasks())
    assert "out of credits" in stopped(project)
    assert {row["status"] for row in project.view().values()} == {"delivered"}
    assert len(project.view()) == len(new_tasks(api, before)) == 4
    api.set(credits=1000)
    stopping.clear()
    project.render()
    assert len(project.view()) == len(new_tasks(api, before)) == 10


def test_a_lost_submit_waits_for_the_word(api: HostedApi, tmp_path: Path) -> None:
    project = hosted(api, tmp_path, 2)
    api.set(submit_drop_after=1.0)
    project.render()
    api.set(submit_drop_after=0.0)
    assert {row["reason"] for row in project.view().values()} == {"possibly_billed"}
    before = len(api.tasks())
    assert project.plan(retry_failed=True).summary["renders"] == 0
    assert not project.render(retry_failed=True)
    assert len(api.tasks()) == before
    assert project.plan(resubmit=True).summary["renders"] == 2
    project.render(resubmit=True)
    assert {row["status"] for row in project.view().values()} == {"delivered"}
    assert read_spent(project.store, "spring").total == micro(4 * PRICE)


def lose(project: Project, count: int) -> None:
    """Delete the files of some assets and all masters, and look."""
    keys = [row["asset_key"] for row in project.view().values()][:count]
    project.store.delete([*keys, *project.store.list("renders")])
    verify(load_campaign(project.path), project.store, sure=True)


def test_a_lost_picture_is_bought_again_only_on_a_word_and_at_its_price(
    api: HostedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TASK_LIFE", 0.5)
    project = hosted(api, tmp_path, 3)
    project.render()
    lose(project, 2)
    before = len(api.tasks())
    summary = project.plan().summary
    assert (summary["renders"], summary["cost_high"], summary["paid"]) == (0, 0.0, 2)
    assert sum(report.delivered for report in project.render()) == 2  # the API had them still
    assert newest_outcome(project.path)["complete"]
    lose(project, 2)
    time.sleep(1.1)
    api.set(kept=1.0)  # they are not to be had any more
    for _ in range(2):  # which is believed the second time
        project.render()
    summary = project.plan().summary
    assert (summary["renders"], summary["cost_high"], summary["work"]) == (0, 0.0, {"none": 3})
    said = "2 pictures that were paid for are gone; --resubmit buys them again, for 0.028 to 0.028 USD"
    assert said in summary["warnings"]
    assert not project.render()
    outcome = newest_outcome(project.path)
    assert (outcome["delivered"], outcome["failed"], outcome["complete"]) == (1, 2, False)
    assert outcome["reasons"] == {"paid_expired": 2}
    again = project.plan(resubmit=True).summary
    assert (again["renders"], again["cost_high"]) == (2, 2 * PRICE)
    assert sum(report.delivered for report in project.render(resubmit=True)) == 2
    api.set(kept=1e9)
    assert len(new_tasks(api, before)) == 2
    assert newest_outcome(project.path)["complete"]
    assert read_spent(project.store, "spring").total == micro(5 * PRICE)


def paid_for(api: HostedApi, before: int) -> Counter[str]:
    """Pictures the account paid for, by what was asked."""
    return Counter(task["hash"] for task in new_tasks(api, before) if task["fate"] not in FATES)


def check_faults(
    api: HostedApi, command: Command, products: int, before: int, summary: dict[str, Any], in_the_air: int = 0
) -> None:
    outcome, ledger = summary["outcome"], api.ledger()
    assert outcome["delivered"] + outcome["failed"] == products
    assert outcome["missing"] == 0
    assert set(outcome["reasons"]) <= {"moderated", "possibly_billed", "paid_expired", "engine_error", "not_ready"}
    assert max(paid_for(api, before).values()) == 1
    assert ledger["peak"] <= 24
    if not in_the_air:
        # After a kill the account still works at what the dead run had sent, and refuses what comes on top.
        assert not ledger["seen"].get("over_cap")
    rows = [row for row in command.project.view().values() if row["status"] == "delivered"]
    assert len(rows) == outcome["delivered"] > products * 0.9 - in_the_air
    journal = read_spent(command.project.store, "spring")
    billed = sum(micro(task["cost"] / 100) for task in new_tasks(api, before) if not task.get("lost"))
    # What a kill caught between submit and answer the journal counts as possible.
    assert journal.tasks <= billed <= journal.tasks + (journal.possible if in_the_air else 0)
    print(f"{products} assets: {outcome}, faults {ledger['seen']}, {shown(journal.total)} USD")


@pytest.mark.timeout(300)
def test_a_run_through_prefect_under_faults_shows_the_key_nowhere(
    tmp_path: Path, prefect_server: dict[str, str], law: Law
) -> None:
    with hosted_api(tmp_path / "api.log", seconds=0.1, **FAULTS) as api:
        law.watch(api)
        project = hosted(api, tmp_path / "project", 60)
        command = Command(project, prefect_server)
        first = command.finished(command.start(), [0, 1])
        check_faults(api, command, 60, 0, first)
        costs = first["costs"]
        assert micro(costs["by_shot"]["hero"]) == micro(costs["paid"]) + micro(costs["possibly_billed"])
        assert set(costs["by_brand"]) == {"acme", "nord"}
        api.set(**SWITCHES)
        # The faults fall by chance: mostly some of them are final, and those stay.
        stay = set(first["outcome"]["reasons"]) - {"engine_error", "not_ready"}
        command.run(code=1 if stay else 0)
        command.run("--retry-failed", "--resubmit")
        api.set(**SWITCHES)
        project.products.append({**project.products[0], "product_id": "p900", "title": "one more"})
        project.write()
        command.environment["BFL_API_KEY"] = wrong = "wrong-" + KEY[::-1]
        command.run(code=1)
        law.check()
    searched = 0
    for key in (KEY.encode(), wrong.encode()):
        assert key not in command.said
        for folder in (project.folder, Path(prefect_server["PREFECT_HOME"])):
            for path in (path for path in folder.rglob("*") if path.is_file()):
                searched += 1
                assert key not in path.read_bytes(), path
    assert searched > 400
    assert b"does not accept the key" in command.said
    assert b"HTTP Request: POST" in command.said  # httpx did log


def killed(command: Command, api: HostedApi, at: int) -> None:
    process = command.start()
    while process.poll() is None and len(api.tasks()) < at:
        time.sleep(0.02)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def through_a_kill(law: Law, environment: dict[str, str], products: int, faults: Mapping[str, Any]) -> None:
    law.options["killed"] = True
    with hosted_api(law.folder / "api.log", seconds=0.3, **faults) as api:
        law.watch(api)
        command = Command(hosted(api, law.folder / "project", products), environment)
        killed(command, api, products // 2)
        # A kill may catch every slot between its submit and the answer.
        check_faults(api, command, products, 0, command.finished(command.start(), [0, 1]), in_the_air=24)
        law.check()


@pytest.mark.timeout(300)
def test_a_killed_run_collects_what_it_paid_for(law: Law, prefect_server: dict[str, str]) -> None:
    through_a_kill(law, prefect_server, 80, {})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_500_assets_under_faults(tmp_path: Path, prefect_server: dict[str, str], law: Law) -> None:
    with hosted_api(tmp_path / "api.log", seconds=0.3, **FAULTS) as api:
        law.watch(api)
        command = Command(hosted(api, tmp_path / "project", 500), prefect_server)
        check_faults(api, command, 500, 0, command.run(code=1))
        law.check()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_500_assets_under_faults_and_a_kill(law: Law, prefect_server: dict[str, str]) -> None:
    through_a_kill(law, prefect_server, 500, FAULTS)


KEEP_KEY = "import sys; from prefect.blocks.system import Secret; Secret(value=sys.argv[1]).save('bfl-key', _sync=True)"


@pytest.mark.timeout(240)
def test_machines_share_a_limit_and_a_key_of_the_prefect_server(
    tmp_path: Path, prefect_server: dict[str, str], law: Law
) -> None:
    with hosted_api(tmp_path / "api.log", seconds=0.3, cap=2) as api:
        law.watch(api)
        options = {"concurrency_limit": "bfl", "secret_block": "bfl-key", "machines": 2}
        machines = [
            Command(hosted(api, tmp_path / name / "project", 6, name=name, hosted=options), prefect_server)
            for name in ("one", "two")
        ]
        for machine in machines:
            del machine.environment["BFL_API_KEY"]
        assert "there is no such Secret block" in machines[0].failed(2)
        assert python(prefect_server, "-c", KEEP_KEY, KEY).returncode == 0
        assert "prefect gcl create bfl" in machines[0].failed(2)
        assert python(prefect_server, "-m", "prefect", "gcl", "create", "bfl", "--limit", "2").returncode == 0
        started = [machine.start() for machine in machines]
        for machine, process in zip(machines, started, strict=True):
            assert machine.finished(process, [0])["complete"]
            assert KEY.encode() not in machine.said
        ledger = api.ledger()
        assert (len(ledger["tasks"]), ledger["peak"]) == (12, 2)
        assert not ledger["seen"].get("over_cap")
        law.check()


def check(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from flows.cli import main; main()", "models", *arguments]
    both = {**os.environ, **environment}
    return subprocess.run(command, env=both, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)


def test_the_live_check_says_its_price_first(api: HostedApi, law: Law) -> None:
    before, law.unwritten = len(api.tasks()), 1
    asked = check(["--check", "pro", "--base-url", api.url], {})
    assert asked.returncode == 130  # nobody said yes
    assert asked.stderr.startswith("one picture of 256x256 pixels costs 0.030 to 0.030 USD\n")
    assert len(api.tasks()) == before
    done = check(["--check", "pro", "--base-url", api.url, "--yes", "--json"], {})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["cost_usd"], found["rewritten"], found["picture"][:11]) == (0.03, False, "PNG 256x256")
    wrong = check(["--check", "pro", "--base-url", api.url, "--yes"], {"BFL_API_KEY": "nope-nope"})
    assert wrong.returncode == 2
    assert "nope-nope" not in wrong.stdout + wrong.stderr
    assert "no hosted model 'prov'" in check(["--check", "prov"], {}).stderr
