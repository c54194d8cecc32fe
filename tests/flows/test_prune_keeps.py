"""What `packshot prune` keeps: plans somebody may need, whatever a run, another campaign or a commit may name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from catalogs.assets.commits import Step, UnreadCommit, commit
from catalogs.assets.starts import new_start
from catalogs.campaigns.campaign import load_campaign
from catalogs.identity import run_key
from catalogs.journal.lease import hold
from catalogs.journal.spend import Journal, PaidTask
from catalogs.plans.file import PLAN_NAME
from tasks.before_render import prepare_render, withdraw_ended_of
from tasks.gallery import make_gallery
from tasks.outcome import newest_outcome
from tasks.prepare import prepare
from tasks.prune import delete
from tasks.unread import quarantine
from tests.flows.projects import Project, make
from tests.flows.pruned import (
    NOTHING,
    Later,
    check_current,
    check_current_rows,
    copy_of,
    counts,
    files,
    found,
    prune,
    remade,
    replaced,
    rows_of,
    titled,
)
from tests.flows.test_takeover import statuses, two

ALL = {"plans": "30d", "superseded": "30d", "withdrawn": "30d", "masters": "30d"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return remade(Project.of(tmp_path / "project", products=2))


def starts(project: Project, name: str = PLAN_NAME) -> list[str]:
    return [run for run in project.store.folders("runs") if project.store.exists(run_key(run, name))]


def test_of_old_plans_the_newest_the_newest_whole_and_the_newest_report_stay(project: Project, later: Later) -> None:
    project.products.append({**project.products[0], "product_id": "p009", "brand_id": "nobody"})
    project.write()
    bad, reported, plain, whole, part = (project.plan(limit=limit).run_id for limit in (None, None, None, None, 1))
    for run_id in (bad, reported):
        make_gallery(project.store, "spring", run_id)
    for run_id in (bad, plain):
        project.store.write(run_key(run_id, "summary.json"), b"{}")
    assert set(starts(project, "rejects.parquet")) == {bad, reported, plain, whole, part}
    later(29)
    assert counts(project, plans="30d") == NOTHING
    later(31)
    assert prune(project, plans="30d") == {**NOTHING, "plans": 4}
    assert starts(project) == starts(project, "rejects.parquet") == [reported, whole, part]
    assert {key.split("/")[1] for key in files(project, "runs") if "/report/" in key} == {reported}
    assert starts(project, "summary.json") == [bad, plain]
    assert newest_outcome(project.path)["run_id"] == whole
    assert counts(project, plans="30d") == NOTHING


def test_of_each_kind_and_campaign_its_own_plans_go(project: Project, later: Later) -> None:
    other = copy_of(project, project.folder.parent / "autumn")
    other.campaign |= {"name": "autumn", "output": "../project/output"}
    other.write()
    mine, theirs = starts(project), [other.plan().run_id for _ in range(3)]
    later(31)
    assert prune(other, plans="30d")["plans"] == 2
    assert starts(project) == [*mine, theirs[-1]]
    assert prune(project, plans="30d")["plans"] == len(mine) - 1


def test_another_campaign_of_the_name_is_told_also_when_its_plan_is_gone(tmp_path: Path, later: Later) -> None:
    from catalogs.errors import CampaignError
    from catalogs.plans.file import PlanFile
    from tasks.takeover import refuse_another

    first, second = two(tmp_path)
    second.plan()
    later(31)
    assert prune(second, plans="30d")["plans"] == 1  # that of the first
    prepared = second.plan(retire=True)
    header = PlanFile(prepared.store, prepared.plan_key).header
    with pytest.raises(CampaignError, match=f"another campaign 'spring' has made: {first.path}"):
        refuse_another(prepared.store, header, prepared.run_id)
    assert statuses(first) == ["delivered"] * 8


def test_what_a_run_at_work_asks_for_stays(project: Project, later: Later) -> None:
    approved = prepare(project.path, {}, plan_file=project.store.uri(run_key(starts(project)[0], PLAN_NAME)))
    newest = titled(project, "A third mug")  # ends, and its plan is the newest now
    assert newest == 2
    later(60)
    with hold(project.store, "spring", "proof", approved.run_id):
        output, listed = found(project, **ALL)
        assert {kind: len(items) for kind, items in listed.items.items()} == {
            **NOTHING,
            "plans": 2,  # not that of the run
            "superseded": 4,  # of the second title, not of the first
            "masters": 2,
        }
        assert len(output.now.runs) == 1
        delete(output, listed)
        # It began before the third title was asked for, which counts: but what it says of its own files is true.
        assert sum(report.rendered for report in make(approved)) == 0
    check_current_rows(project)
    first = {
        row["asset_key"] for row in rows_of(project) if row["title"] == "Mug 0" and row["channel"] != "master-64x64"
    }
    assert len(first) == 4
    assert first <= files(project, "assets")


def test_beside_a_run_that_does_not_say_what_it_works_at_every_picture_stays(project: Project, later: Later) -> None:
    later(60)
    with hold(project.store, "winter", "render", "a-run-of-a-newer-packshot"):
        assert counts(project, **ALL) == {**NOTHING, "plans": 1}
        assert found(project, **ALL)[0].now.asked is None
    assert counts(project, **ALL) == {**NOTHING, "plans": 1, "superseded": 4, "masters": 2}


def test_a_run_that_begins_after_the_listing_is_seen(project: Project, later: Later) -> None:
    later(60)
    output, listed = found(project, superseded="30d", masters="30d")
    assert listed.count == 6
    old = run_key(starts(project)[0], PLAN_NAME)
    again = prepare(project.path, {}, plan_file=project.store.uri(old))
    with hold(project.store, "spring", "proof", again.run_id):
        assert delete(output, listed) == NOTHING
    assert not [row for row in rows_of(project) if row["status"] == "pruned"]


def test_what_is_delivered_again_after_the_listing_stays(project: Project, later: Later) -> None:
    later(60)
    output, listed = found(project, superseded="30d", masters="30d")
    titled(project, "Mug 0")
    assert delete(output, listed) == NOTHING
    check_current(project)


def test_what_the_newest_plan_asks_for_again_stays(project: Project, later: Later) -> None:
    project.products[0]["title"] = "Mug 0"
    project.write()
    wanted = project.plan()
    later(60)
    assert counts(project, superseded="30d", masters="30d") == NOTHING
    assert wanted.summary["work"] == {"commit": 4, "none": 4}


@pytest.mark.parametrize(("masters", "work"), [("keep", "finish"), ("30d", "render")])
def test_an_approved_plan_whose_pictures_went_makes_them_again(
    project: Project, later: Later, masters: str, work: str
) -> None:
    approved = str(project.folder / "approved.parquet")
    key = run_key(starts(project)[0], PLAN_NAME)
    Path(approved).write_bytes(project.store.read(key))
    later(60)
    assert prune(project, plans="30d", superseded="30d", masters=masters)["superseded"] == 4
    assert not project.store.exists(key)
    prepared = prepare(project.path, {}, plan_file=approved)
    assert prepared.summary["work"] == {work: 4, "none": 4}
    make(prepared)
    assert {row["title"] for row in project.view().values()} == {"Mug 0", "Mug 1"}
    check_current_rows(project)


def test_what_was_withdrawn_after_the_newest_plan_goes_all_the_same(project: Project, later: Later) -> None:
    """A campaign that is over is planned no more; its withdrawals are made without a plan."""
    project.products[1]["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    project.write()
    assert withdraw_ended_of(load_campaign(project.path)) == 4
    later(8)
    assert prune(project, withdrawn="7d") == {**NOTHING, "withdrawn": 4}


def test_what_is_retired_goes_as_what_is_replaced(project: Project, later: Later) -> None:
    project.products.pop()
    project.write()
    project.render(retire=True)
    later(60)
    old = replaced(project) | {row["asset_key"] for row in project.view().values() if row["status"] == "retired"}
    assert prune(project, superseded="30d", masters="30d") == {**NOTHING, "superseded": 8, "masters": 4}
    assert files(project, "assets").isdisjoint(old)
    assert sorted({row["status"] for row in project.view().values()}) == ["delivered", "retired"]


def test_what_failed_after_it_keeps_a_picture(tmp_path: Path, later: Later) -> None:
    project = Project.of(tmp_path, products=1)
    project.render()
    before = files(project, "assets", "renders")
    project.campaign["channels"][1] |= {"max_bytes": 1000}
    project.products[0]["title"] = "A newer mug"
    project.write()
    make(prepare_render(project.path, {}, lambda line: None))
    assert {row["channel"]: row["status"] for row in project.view().values()} == {
        "square": "delivered",
        "wide": "failed",
    }
    later(400)
    told = {row["channel"] for row in rows_of(project) if row["asset_key"] in replaced(project)}
    assert told == {"square", "wide"}
    assert prune(project, superseded="30d") == {**NOTHING, "superseded": 2}
    assert {key.rpartition("/")[2].split("-")[0] for key in before - files(project)} == {"square"}
    assert prune(project, masters="30d") == NOTHING


def test_masters_that_another_campaign_names_or_that_were_paid_for_stay(project: Project, later: Later) -> None:
    other = copy_of(project, project.folder.parent / "autumn")
    other.campaign |= {"name": "autumn", "output": "../project/output"}
    other.products[0]["title"] = "Mug 0"
    other.write()
    assert sum(report.rendered for report in other.render()) == 0  # of the masters of the first
    later(60)
    assert counts(project, superseded="30d", masters="30d") == {**NOTHING, "superseded": 4}
    other.products[0]["title"] = "No mug"
    other.write()
    other.render()
    assert counts(project, masters="30d")["masters"] == 2
    render = next(row for row in rows_of(project) if row["title"] == "Mug 0" and row["shot"] == "hero")
    journal = Journal(project.store, "spring", "r")
    journal.begin(render["render_fingerprint"], 0, "bfl/pro", 1, 0.03)
    journal.submitted(render["render_fingerprint"], 0, PaidTask("id", "https://api.bfl.ai/poll", 30_000))
    listed = found(project, masters="30d")[1]
    assert (len(listed.items["masters"]), listed.paid) == (1, 1)
    assert prune(project, masters="30d")["masters"] == 1
    assert project.store.exists(render["render_key"])


def test_a_file_that_another_assets_current_row_names_stays(project: Project, later: Later) -> None:
    old = next(row for row in rows_of(project) if row["asset_key"] in replaced(project))
    other = {name: value for name, value in old.items() if name != "commit"} | {"campaign": "winter"}
    commit(project.store, new_start(project.store, None), Step.RENDER, [other])
    later(60)
    assert prune(project, superseded="30d")["superseded"] == 3
    assert project.store.exists(old["asset_key"])


def test_a_file_that_was_written_since_stays(project: Project, later: Later) -> None:
    """Who makes one again writes it before the commit that names it."""
    later(60)
    moment = time.time() + 59 * 86_400
    for key in files(project, "assets", "renders"):
        os.utime(project.store.path(key), (moment, moment))
    assert counts(project, superseded="30d", masters="30d") == NOTHING


def test_beside_a_commit_that_cannot_be_read_nothing_goes(project: Project, later: Later) -> None:
    later(60)
    key = "catalog/20200101T000000.000000Z-abcdef/bad.parquet"
    output, listed = found(project, **ALL)
    project.store.write(key, b"PAR1")
    before = set(project.store.list())
    for attempt in (lambda: delete(output, listed), lambda: found(project, **ALL)):
        with pytest.raises(UnreadCommit, match=r"bad\.parquet"):
            attempt()
    assert set(project.store.list()) == before
    quarantine(load_campaign(project.path), project.store)
    listed = found(project, **ALL)[1]
    assert (listed.items["superseded"], listed.items["masters"]) == ([], [])
    assert listed.held == 4 + 2


KILLED = """
import os, signal, sys
from datetime import datetime, timedelta
from catalogs.storage.store import Store
from tasks import prune
from flows.cli import main

class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(days=60)

prune.datetime = Clock
real, left = Store.delete, int(sys.argv.pop())

def killed(self, keys):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, keys)

Store.delete = killed
main()
"""


@pytest.mark.parametrize("at", [1, 2, 4, 7])
def test_a_kill_leaves_the_rest_to_a_later_call(project: Project, later: Later, at: int) -> None:
    project.campaign["retention"] = {"superseded": "30d", "masters": "30d"}
    project.write()
    whole = copy_of(project, project.folder.parent / "whole")
    later(60)
    assert prune(whole, superseded="30d", masters="30d")["superseded"] == 4
    command = [sys.executable, "-c", KILLED, "prune", project.path, "--delete", str(at)]
    process = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    check_current_rows(project)
    assert len([row for row in rows_of(project) if row["status"] == "pruned"]) == 5  # four files, one master's own row
    left = counts(project, superseded="30d", masters="30d")
    assert 0 < sum(left.values()) <= 6
    assert prune(project, superseded="30d", masters="30d") == left
    assert files(project) == files(whole)
    assert len([row for row in rows_of(project) if row["status"] == "pruned"]) == 5
    check_current(project)
