"""`packshot sweep --delete` beside runs: what they have stored, and what was paid for, stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.masters import LEAST_GRACE, store_master
from catalogs.journal.lease import hold
from catalogs.journal.spend import Journal, PaidTask
from catalogs.storage.store import Store
from flows.cli import cli
from tests.catalogs.assets.test_masters import DATA, FINGERPRINT, KEY, RECORD
from tests.flows.drawn import Drawn, check_output, start
from tests.flows.projects import Project

OTHER = "cd" * 32
HOUR = 3600.0
HOLDER = """
import sys
from catalogs.journal.lease import hold
from catalogs.storage.store import Store
with hold(Store.at(sys.argv[1]), *sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path / "project", products=1)


def sweep(project: Project, *arguments: str) -> tuple[int, dict[str, Any]]:
    process = start({}, "sweep", project.path, "--json", *arguments)
    out, err = process.communicate(timeout=180)
    assert "Traceback" not in err
    return process.returncode, json.loads(out)


def age(project: Project, hours: float) -> None:
    """Everything in the output was written so long ago."""
    moment = time.time() - hours * HOUR
    for key in project.store.list():
        os.utime(project.store.path(key), (moment, moment))


def store_leftover(project: Project, hours: float) -> None:
    store_master(project.store, FINGERPRINT, DATA, RECORD)
    project.store.write("assets/y.jpg", b"x")
    age(project, hours)


def begun(days: float = 0) -> str:
    """The name of a start of so long ago."""
    return f"{datetime.now(UTC) - timedelta(days=days):%Y%m%dT%H%M%S.%fZ}-abcdef"


@contextmanager
def at_work(store: Store, campaign: str, kind: str, run_id: str) -> Iterator[None]:
    """A run in a process of its own."""
    command = [sys.executable, "-c", HOLDER, store.root, campaign, kind, run_id]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate(timeout=30)


@contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.timeout(240)
def test_a_sweep_beside_a_render_takes_nothing_of_it(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project, drawn = Project.of(tmp_path / "project", products=20), Drawn(tmp_path / "drawn.log", 0.2)
    environment = {**prefect_server, **drawn.environment}
    run = start(environment, "render", project.path, "--workers", "1", "--shard-assets", "500")
    drawn.wait_for(10)
    until = time.monotonic() + 60
    while not project.store.list("renders"):
        assert time.monotonic() < until
        time.sleep(0.05)
    with stopped(run):  # so that it is at work for as long as this takes
        assert not project.store.list("catalog")
        code, answer = sweep(project, "--delete", "--grace-hours", "0")
        assert code == 2
        assert answer["error"].startswith("--grace-hours: 0: ")
        assert answer["error"].endswith("; give 12 or more")
        code, answer = sweep(project, "--delete", "--grace-hours", "12")
        assert (code, answer["leftovers"]) == (0, [])
        assert [f"(process {run.pid})" in line for line in answer["runs"]] == [True]
    _, err = run.communicate(timeout=100)
    assert run.returncode == 0, err
    check_output(project)


@pytest.mark.parametrize(("hours", "given", "deleted"), [(11.9, "12", 0), (12.1, "12", 3), (12.1, "13", 0)])
def test_the_grace_holds_without_any_lease(project: Project, hours: float, given: str, deleted: int) -> None:
    store_leftover(project, hours)
    assert sweep(project, "--delete", "--grace-hours", given)[1]["deleted"] == deleted
    assert project.store.exists(KEY) == (deleted == 0)


@pytest.mark.parametrize("given", ["0", "11.99", "nan", "1e9", "-1"])
def test_a_grace_that_cannot_be_is_refused_in_one_line(project: Project, given: str) -> None:
    store_leftover(project, 1000)
    process = start({}, "sweep", project.path, "--delete", "--grace-hours", given)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert project.store.exists(KEY)


@pytest.mark.parametrize(("campaign", "kind"), [("spring", "proof"), ("autumn", "render")])
def test_what_the_first_run_at_work_may_name_is_kept(project: Project, campaign: str, kind: str) -> None:
    """A run of three days, of whatever campaign of the output: what was written since is its own, or adopted."""
    store_leftover(project, 3 * 24 + 11)
    with at_work(project.store, campaign, kind, begun(days=3)), at_work(project.store, "winter", "proof", begun()):
        _, answer = sweep(project, "--delete", "--grace-hours", "12")
        assert (answer["deleted"], len(answer["runs"])) == (0, 2)
        assert project.store.exists(KEY)
        out, _ = start({}, "sweep", project.path).communicate(timeout=180)
        assert out.count(") is at work: kept is what was younger when it began\n") == 2
        age(project, 3 * 24 + 13)
        assert sweep(project, "--delete", "--grace-hours", "12")[1]["deleted"] == 3


def test_beside_a_run_whose_start_nobody_can_tell_nothing_is_deleted(project: Project) -> None:
    store_leftover(project, 1000)
    with at_work(project.store, "spring", "proof", "mine"):
        assert sweep(project, "--delete")[1]["deleted"] == 0
    assert sweep(project, "--delete")[1]["deleted"] == 3


def test_a_run_that_begins_between_listing_and_deleting_is_seen(project: Project) -> None:
    from tasks.leftovers import delete_leftovers, find_leftovers

    store_leftover(project, 3 * 24 + 11)
    found = find_leftovers(project.store, LEAST_GRACE)
    assert len(found.leftovers) == 3
    with hold(project.store, "autumn", "proof", begun(days=3)):
        assert delete_leftovers(project.store, found) == []
    assert len(delete_leftovers(project.store, found)) == 3


def test_masters_that_were_paid_for_are_no_leftovers(project: Project) -> None:
    journal = Journal(project.store, "spring", "r")
    for fingerprint, is_taken in ((FINGERPRINT, True), (OTHER, False)):
        journal.begin(fingerprint, 0, "bfl/pro", 1, 0.03)
        if is_taken:
            journal.submitted(fingerprint, 0, PaidTask("id", "https://api.bfl.ai/poll", 0.03))
        store_master(project.store, fingerprint, DATA, RECORD)
    age(project, 1000)
    _, answer = sweep(project, "--delete")
    assert answer["deleted"] == 2
    assert all(key.startswith(f"renders/cd/{OTHER}.") for key in answer["leftovers"])
    assert project.store.exists(KEY)
    assert project.store.exists(KEY.removesuffix(".png") + ".json")


def test_the_help_names_the_shortest_grace() -> None:
    help_text = " ".join(
        cli.commands["sweep"].get_help(cli.make_context("packshot", [], resilient_parsing=True)).split()
    )
    assert f"{LEAST_GRACE / timedelta(hours=1):g} at least" in help_text
