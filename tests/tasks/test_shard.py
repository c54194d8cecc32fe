"""A shard without Prefect: what is stored, committed, adopted and failed, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.delivered import delivered_in
from catalogs.errors import StorageError
from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import Shard, cut_shards
from catalogs.requests import Reason, RenderRequest
from catalogs.storage.store import Store
from inference.engine import Engine, Failed, LoadReference
from inference.proofs.engine import ProofEngine
from tasks.outcome_rows import MAX_ATTEMPTS
from tasks.prepare import Prepared
from tasks.shard import run_shard
from tasks.shard_job import ShardJob, ShardReport
from tests.flows.projects import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path, products=3)


def shards(prepared: Prepared, assets: int = 1000) -> list[Shard]:
    plan = PlanFile(prepared.store, prepared.plan_key)
    return [shard for stage in cut_shards(plan, 1e9, assets) for shard in stage]


def work(prepared: Prepared, shard: Shard, engine: Any = ProofEngine) -> ShardReport:
    job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
    return run_shard(job, engine, lambda delivered, failed: None)


def no_engine(load: LoadReference) -> Engine:
    raise AssertionError("nothing had to be rendered")


class Poisoned(ProofEngine):
    """Fails one look, every time."""

    def render(self, batch: Sequence[RenderRequest]) -> list[Any]:
        results = super().render(batch)
        return [
            Failed(result.request, Reason.ENGINE_ERROR, "poisoned", False) if "p001" in result.request.label else result
            for result in results
        ]


def test_a_finished_shard_is_skipped_whatever_its_layout(project: Project) -> None:
    prepared = project.plan()
    for shard in shards(prepared):
        assert work(prepared, shard).skipped == 0
    for shard in shards(prepared, assets=2):
        report = work(prepared, shard, no_engine)
        assert report.skipped == report.assets
        assert report.delivered == 0


def test_a_leftover_master_is_adopted_and_a_torn_one_is_not(project: Project) -> None:
    prepared = project.plan()
    first, _ = shards(prepared)
    work(prepared, first)
    store = project.store
    masters = sorted(key for key in store.list("renders") if key.endswith(".png"))
    assert len(masters) == 3
    _forget_commits(store)
    store.write(masters[0], b"torn")
    store.delete([masters[1].replace(".png", ".json")])
    again = project.plan()
    report = work(again, shards(again)[0])
    assert (report.adopted, report.rendered, report.failed) == (1, 2, 0)


def _forget_commits(store: Store) -> None:
    """As a kill just before the commit leaves it, for a new process."""
    from catalogs.assets import delivered

    store.delete(list(store.list("catalog")))
    delivered._indexes.clear()


def test_a_master_that_is_gone_is_rendered_again(project: Project) -> None:
    project.render()
    project.campaign["channels"][0]["quality"] = 50
    project.write()
    store = project.store
    store.delete([key for key in store.list("renders") if key.endswith(".png")])
    prepared = project.plan()
    # The three scenes build on heroes whose masters are gone too: all six are made, and priced, again.
    assert prepared.summary["work"] == {"render": 6, "none": 6}
    assert (prepared.summary["renders"], prepared.summary["masters"]) == (6, 3)
    reports = [work(prepared, shard) for shard in shards(prepared)]
    assert [(report.delivered, report.rendered) for report in reports] == [(3, 3), (3, 3)]


def test_a_poisoned_request_fails_alone_and_takes_its_children(project: Project) -> None:
    prepared = project.plan()
    heroes, scenes = (work(prepared, shard, Poisoned) for shard in shards(prepared))
    assert (heroes.delivered, heroes.reasons) == (4, {"engine_error": 2})
    assert (scenes.delivered, scenes.reasons) == (4, {"upstream_failed": 2})
    rows = [row for row in project.view().values() if row["look"] == "p001"]
    assert {row["status"] for row in rows} == {"failed"}
    assert {(row["attempts"], row["final"]) for row in rows} == {(1, False)}


def test_attempts_end(project: Project) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        prepared = project.plan()
        assert prepared.has_work
        for shard in shards(prepared):
            work(prepared, shard, Poisoned)
        failed = [row for row in project.view().values() if row["look"] == "p001" and row["shot"] == "hero"]
        assert {row["attempts"] for row in failed} == {attempt}
    assert not project.plan().has_work
    assert project.plan(retry_failed=True).has_work
    project.render(retry_failed=True)
    assert {row["status"] for row in project.view().values()} == {"delivered"}


def test_a_shot_waits_for_another_however_often_that_is_lost(project: Project) -> None:
    for _ in range(MAX_ATTEMPTS + 1):
        prepared = project.plan()
        _, scenes = shards(prepared)
        assert set(work(prepared, scenes).reasons) == {"upstream_failed"}
    project.render()
    assert {row["status"] for row in project.view().values()} == {"delivered"}


def test_a_reference_deleted_after_the_plan_is_a_typed_failure(project: Project) -> None:
    prepared = project.plan()
    (project.folder / "photo.png").unlink()
    report = work(prepared, shards(prepared)[0])
    assert report.delivered == 0
    assert report.reasons == {"reference_missing": 6}


def test_a_reference_changed_after_the_plan_is_never_rendered_under_the_old_name(project: Project) -> None:
    prepared = project.plan()
    (project.folder / "photo.png").write_bytes((project.folder / "photo.png").read_bytes() + b"changed")
    assert work(prepared, shards(prepared)[0]).reasons == {"reference_changed": 6}


def test_a_store_that_fails_midway_keeps_what_was_done(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = project.plan()
    shard = shards(prepared)[0]
    write, count = Store.write, 0

    def full(self: Store, key: str, data: bytes, content_type: str | None = None) -> None:
        nonlocal count
        count += key.startswith("assets/")
        if count > 3:
            raise StorageError("no space left on device")
        write(self, key, data, content_type)

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(StorageError):
        work(prepared, shard)
    monkeypatch.undo()
    committed = len(project.view())
    assert 1 <= committed < shard.assets
    for row in project.view().values():
        assert project.store.exists(row["asset_key"])
    report = work(prepared, shard)
    assert report.skipped == committed
    assert report.delivered == shard.assets - committed


def test_a_store_that_fails_while_references_are_read_loses_no_picture(project: Project) -> None:
    class OneByOne(ProofEngine):
        made = 0

        def batch_size(self, request: RenderRequest) -> int:
            return 1

        def render(self, batch: Sequence[RenderRequest]) -> list[Any]:
            if OneByOne.made == 2:
                raise StorageError("the store is away")
            OneByOne.made += 1
            return super().render(batch)

    prepared = project.plan()
    shard = shards(prepared)[0]
    with pytest.raises(StorageError):
        work(prepared, shard, OneByOne)
    assert len({row["look"] for row in project.view().values()}) == 2


def test_the_bytes_are_there_before_the_commit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    create, seen = Store.create, []

    def watched(self: Store, key: str, data: bytes) -> bool:
        import io

        import pyarrow.parquet as pq

        for row in pq.read_table(io.BytesIO(data)).to_pylist():
            assert self.exists(row["asset_key"])
            assert self.exists(row["render_key"])
            seen.append(key)
        return create(self, key, data)

    monkeypatch.setattr(Store, "create", watched)
    project.render()
    assert len(seen) == 15


def test_on_an_object_store(store: Store, tmp_path: Path) -> None:
    project = Project.of(tmp_path / "project", products=2, output=store.root)
    project.render()
    assert {row["status"] for row in project.view().values()} == {"delivered"}
    assert not project.plan().has_work
    delivered_in(project.store, "spring").refresh()
