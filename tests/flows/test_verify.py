"""Files that vanish behind the record's back are found, said and made again; nothing whole is made twice."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import StorageError
from catalogs.journal.lease import hold
from catalogs.storage.store import Store
from flows.cli import cli
from tasks.before_render import prepare_render
from tasks.outcome import Outcome, newest_outcome, outcome_of
from tasks.shard_job import ShardReport
from tasks.verify import MuchIsGone, is_due, verify
from tests.flows.projects import Project, make
from tests.servers import FlakyS3


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.of(tmp_path, products=8)
    project.render()
    return project


def packshot(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=True)


def looked(project: Project, *options: str) -> dict[str, int]:
    answer = packshot("verify", project.path, "--json", *options)
    found: dict[str, int] = json.loads(answer.stdout)
    assert answer.exit_code == (1 if found["missing"] or found["left"] else 0)
    return found


def start(project: Project) -> tuple[list[ShardReport], Outcome]:
    """A render as the command begins it, and what came of it."""
    from catalogs.plans.file import PlanFile

    prepared = prepare_render(project.path, {}, lambda line: None)
    reports = make(prepared)
    return reports, outcome_of(prepared.store, PlanFile(prepared.store, prepared.plan_key))


def keys(project: Project, **wanted: Any) -> list[str]:
    rows = project.view().values()
    return sorted(row["asset_key"] for row in rows if all(row[name] == value for name, value in wanted.items()))


def counts(**found: int) -> dict[str, int]:
    return {"checked": 40, "missing": 0, "found": 0, "masters_gone": 0, "left": 0, "still": 0, **found}


def test_all_is_there(project: Project) -> None:
    answer = packshot("verify", project.path)
    assert (answer.exit_code, answer.stdout) == (0, "40 files looked at, masters included\n")


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_gone_is_recorded_and_made_again_from_its_master(project: Project, deep: bool) -> None:
    gone = keys(project, look="p003", shot="scene")
    before = {key: project.store.read(key) for key in gone}
    project.store.delete(gone)
    assert looked(project, *(["--deep"] if deep else [])) == counts(missing=2)
    assert newest_outcome(project.path)["missing"] == 2
    assert {row["status"] for row in project.view().values() if row["asset_key"] in gone} == {"missing"}
    reports, outcome = start(project)
    assert (sum(r.rendered for r in reports), sum(r.delivered for r in reports)) == (0, 2)
    assert outcome.complete
    assert {key: project.store.read(key) for key in gone} == before
    assert looked(project) == counts()


def test_a_file_of_another_size_is_found_and_one_of_another_content_by_a_deep_look(project: Project) -> None:
    short, swapped = keys(project, shot="hero")[:2]
    project.store.write(short, b"cut")
    data = bytearray(project.store.read(swapped))
    data[-20] ^= 0xFF
    project.store.write(swapped, bytes(data))
    assert looked(project) == counts(missing=1)
    assert looked(project, "--deep") == counts(checked=39, missing=1, still=1)
    again = packshot("verify", project.path)
    assert (again.exit_code, "2 more, known to be gone before, still are" in again.stdout) == (1, True), again.stdout
    reports, outcome = start(project)
    assert (sum(r.rendered for r in reports), outcome.delivered, outcome.complete) == (0, 32, True)
    assert looked(project, "--deep") == counts()


def test_a_render_finds_by_itself_what_is_gone(project: Project) -> None:
    gone = keys(project, look="p000")[:1]
    project.store.delete(gone)
    said: list[str] = []
    make(prepare_render(project.path, {}, said.append))
    assert said == ["1 of 40 delivered files are gone or changed, and wanted again"]
    assert project.store.exists(gone[0])


def test_a_render_looks_only_at_what_came_since_everything_was_looked_at(project: Project) -> None:
    assert looked(project) == counts()
    old = keys(project, look="p000")[:1]
    project.products[1]["title"] = "A newer mug"
    project.write()
    start(project)
    new = keys(project, look="p001")[:1]
    project.store.delete([*old, *new])
    start(project)
    assert project.store.exists(new[0])
    assert not project.store.exists(old[0])
    assert looked(project)["missing"] == 1  # a whole look finds the rest
    start(project)
    assert project.store.exists(old[0])


def test_what_is_gone_and_unwanted_is_told_until_it_is_retired(project: Project) -> None:
    project.store.delete(keys(project, look="p000")[:1])
    project.products.pop(0)
    project.write()
    assert looked(project) == counts(missing=1)
    start(project)
    again = packshot("verify", project.path)
    assert (again.exit_code, "1 more, known to be gone before" in again.stdout) == (1, True), again.stdout
    project.render(retire=True)
    assert packshot("verify", project.path).exit_code == 0


def test_a_disk_that_is_not_there_renders_nothing_anew(project: Project) -> None:
    shutil.rmtree(project.folder / "output" / "assets")
    answer = packshot("verify", project.path)
    assert answer.exit_code == 1
    assert isinstance(answer.exception, MuchIsGone)
    assert "32 of 40 files of spring that were looked at are gone" in str(answer.exception)
    assert "nothing is left of assets/spring" in str(answer.exception)
    with pytest.raises(MuchIsGone):
        prepare_render(project.path, {}, lambda line: None)
    assert {row["status"] for row in project.view().values()} == {"delivered"}
    assert looked(project, "--yes") == counts(missing=32)
    reports, outcome = start(project)
    assert (sum(r.rendered for r in reports), sum(r.delivered for r in reports)) == (0, 32)
    assert outcome.complete


def test_all_of_an_output_can_be_made_again(project: Project) -> None:
    before = {key: row["sha256"] for key, row in project.view().items()}
    for folder in ("assets", "renders"):
        shutil.rmtree(project.folder / "output" / folder)
    assert looked(project, "--yes") == counts(missing=40, masters_gone=8)
    reports, outcome = start(project)
    assert (sum(r.rendered for r in reports), outcome.complete) == (16, True)
    assert {key: row["sha256"] for key, row in project.view().items()} == before


def test_many_files_gone_are_an_alarm_and_few_are_not(project: Project) -> None:
    gone = keys(project)[:20]
    project.store.delete(gone[:19])
    assert looked(project) == counts(missing=19)
    start(project)
    project.store.delete(gone)
    with pytest.raises(MuchIsGone):
        verify(load_campaign(project.path), project.store)


def test_what_comes_back_is_delivered_again(project: Project) -> None:
    key = keys(project)[0]
    data = project.store.read(key)
    project.store.delete([key])
    assert looked(project)["missing"] == 1
    project.store.write(key, data)
    assert looked(project) == counts(checked=39, found=1)
    assert newest_outcome(project.path)["complete"]


def test_beside_a_live_run_its_own_keys_are_left(project: Project) -> None:
    from catalogs.assets.starts import new_start

    old = keys(project, look="p000")[:1]
    run_id = new_start(project.store, None)
    with hold(project.store, "spring", "proof", run_id):
        project.products[1]["title"] = "A newer mug"
        project.write()
        project.render()
        project.store.delete([*old, *keys(project, look="p001")[:1]])
        assert looked(project) == counts(missing=1, left=1)
    assert looked(project) == counts(checked=39, missing=1, still=1)


def test_a_store_that_cannot_be_listed_says_nothing_of_its_files(project: Project, monkeypatch: Any) -> None:
    real = Store.list

    def refused(self: Store, prefix: str = "") -> Any:
        if prefix.startswith("assets"):
            raise StorageError("no listing today")
        return real(self, prefix)

    key = keys(project)[0]
    project.store.delete([key])
    commits = project.store.list("catalog")
    monkeypatch.setattr(Store, "list", refused)
    with pytest.raises(StorageError, match="no listing today"):
        verify(load_campaign(project.path), project.store)
    monkeypatch.undo()
    assert project.store.list("catalog") == commits
    assert verify(load_campaign(project.path), project.store).missing == 1
    make(prepare_render(project.path, {}, lambda line: None))
    assert project.store.exists(key)


def test_a_bucket_that_is_emptied_is_an_alarm(tmp_path: Path, flaky_s3: FlakyS3) -> None:
    project = Project.of(tmp_path, products=2, output="s3://bucket/emptied")
    project.render()
    project.store.delete(project.store.list("assets"))
    with pytest.raises(MuchIsGone, match="nothing is left of assets/spring"):
        verify(load_campaign(project.path), project.store)


def test_everything_is_looked_at_once_a_day(project: Project) -> None:
    campaign = load_campaign(project.path)
    assert is_due(campaign, project.store)
    verify(campaign, project.store)
    assert not is_due(campaign, project.store)
    key = next(iter(project.store.list("verifies")))
    content = json.loads(project.store.read(key))
    content["at"] = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    project.store.write(key, json.dumps(content).encode())
    assert is_due(campaign, project.store)


def test_a_lost_master_is_rendered_again_for_the_shots_that_build_on_it(project: Project) -> None:
    masters = [key for key in project.store.list("renders") if key.endswith(".png")]
    before = {row["fingerprint"] for row in project.view().values()}
    project.store.delete(masters)
    project.campaign["shots"]["scene"]["prompt"]["scene"] = "another kitchen with {{ image('shot.hero') }}"
    project.write()
    prepared = prepare_render(project.path, {}, lambda line: None)
    # Scenes change; heroes stay as they are, but their masters are made, and priced, first.
    assert prepared.summary["actions"] == {"unchanged": 16, "changed": 16}
    assert (prepared.summary["renders"], prepared.summary["masters"]) == (16, 8)
    reports = make(prepared)
    assert sum(r.failed for r in reports) == 0
    view = project.view(masters=True).values()
    assert {row["status"] for row in view} == {"delivered"}
    assert len(before - {row["fingerprint"] for row in view}) == 16
    assert not prepare_render(project.path, {}, lambda line: None).has_work


def test_a_master_that_cannot_be_made_again_to_the_bit_says_so(project: Project, monkeypatch: Any) -> None:
    from inference.proofs.engine import ProofEngine

    project.store.delete([key for key in project.store.list("renders") if key.endswith(".png")])
    real = ProofEngine.render

    def other(self: ProofEngine, batch: Any) -> Any:
        for result in real(self, batch):
            result.pixels[0, 0] = 255 - result.pixels[0, 0]
            yield result

    monkeypatch.setattr(ProofEngine, "render", other)
    project.campaign["shots"]["scene"]["prompt"]["scene"] = "another kitchen with {{ image('shot.hero') }}"
    project.write()
    make(prepare_render(project.path, {}, lambda line: None))
    masters = [row for row in project.view(masters=True).values() if row["master"]]
    assert all("another picture than renders/" in row["detail"] for row in masters)


def test_what_is_said_again_is_looked_at(project: Project) -> None:
    """Another cover list costs no render; that its file is gone shows when it is said again."""
    assert looked(project) == counts()
    project.campaign["look_by"] = ["product_group"]
    project.write()
    make(prepare_render(project.path, {}, lambda line: None))
    looked(project)
    key = keys(project, status="delivered", shot="scene", channel="wide", product_id="p000")[0]
    project.store.delete([key])
    project.products.append({**project.products[0], "product_id": "p000-xl"})
    project.write()
    reports, outcome = start(project)
    assert (len(reports), outcome.missing, outcome.complete) == (0, 1, False)
    reports, outcome = start(project)
    assert (sum(r.rendered for r in reports), outcome.complete) == (0, True)
    assert project.store.exists(key)


def test_a_disk_that_is_not_there_keeps_no_ended_licence(project: Project) -> None:
    shutil.rmtree(project.folder / "output" / "assets")
    project.products[0]["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    project.write()
    with pytest.raises(MuchIsGone):
        prepare_render(project.path, {}, lambda line: None)
    assert {row["look"] for row in project.view().values() if row["status"] == "withdrawn"} == {"p000"}
