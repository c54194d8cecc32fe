"""A plan cut into shards: whole renders, within the limits, one geometry after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.columns import PLAN
from catalogs.plans.file import PlanFile, PlanHeader, PlanWriter
from catalogs.plans.rows import Geometry, geometry_of
from catalogs.plans.sharding import cut_shards, planned_geometries
from catalogs.storage.store import Store

HEADER: dict[str, Any] = {
    "campaign": "spring",
    "source": "campaign.yaml",
    "output": "output",
    "run_id": "r1",
    "kind": "proof",
    "engine": "proof",
    "model": "proof",
    "model_revision": "1",
    "weight_precision": "",
    "masters": "keep",
    "reference_background": "#FFFFFF",
    "max_reference_pixels": 100,
    "channels": {},
    "partial": False,
    "created_at": "2026-11-21T00:00:00+00:00",
}


def plan_of(folder: Path, groups: list[list[tuple[str, int, str, str, float]]]) -> PlanFile:
    """A plan of some looks with rows (work, stage, bucket, render, seconds)."""
    names = ("work", "stage", "bucket", "render_fingerprint", "estimated_seconds")
    with PlanWriter(folder / "plan.parquet", PlanHeader(**HEADER)) as writer:
        for rows in groups:
            writer.add(
                [{**dict.fromkeys(PLAN.names), "channel": "shop", **dict(zip(names, row, strict=True))} for row in rows]
            )  # type: ignore[typeddict-item, list-item]
    return PlanFile(Store.at(str(folder)), "plan.parquet")


@pytest.fixture
def plan(tmp_path: Path) -> PlanFile:
    return plan_of(
        tmp_path,
        [
            [("render", 0, "b", "r1", 10.0), ("render", 0, "b", "r1", 0.0), ("render", 1, "a", "r2", 30.0)],
            [("none", 0, "b", "r3", 0.0), ("commit", 0, "b", "r4", 0.0), ("finish", 0, "a", "r5", 0.0)],
            [("render", 0, "a", "r6", 10.0), ("render", 0, "b", "r7", 10.0)],
        ],
    )


def test_one_shard_a_stage_where_the_limits_allow(plan: PlanFile) -> None:
    stages = cut_shards(plan)
    assert [[shard.stage for shard in stage] for stage in stages] == [[0], [1]]
    first, second = stages[0][0], stages[1][0]
    assert (first.offsets, first.renders, first.seconds) == ((5, 6, 0, 1, 7), 3, 30.0)
    assert (second.offsets, second.renders, second.assets) == ((2,), 1, 1)
    assert (first.number, second.number) == (0, 1)


def test_rows_without_pixels_to_make_are_in_no_shard(plan: PlanFile) -> None:
    offsets = {offset for stage in cut_shards(plan) for shard in stage for offset in shard.offsets}
    assert offsets == {0, 1, 2, 5, 6, 7}


def test_cut_by_seconds_a_render_stays_whole(plan: PlanFile) -> None:
    stages = cut_shards(plan, seconds=1.0)
    assert [[shard.offsets for shard in stage] for stage in stages] == [[(5,), (6,), (0, 1), (7,)], [(2,)]]


def test_cut_by_assets(plan: PlanFile) -> None:
    assert [shard.offsets for shard in cut_shards(plan, max_assets=2)[0]] == [(5, 6), (0, 1), (7,)]


def test_shards_of_one_geometry_follow_each_other(plan: PlanFile) -> None:
    offsets = [shard.offsets[0] for shard in cut_shards(plan, max_assets=1)[0]]
    assert offsets.index(6) < offsets.index(0) < offsets.index(7)


PLAIN = "1024x1024/4/None//"
CUP, SHOE = "1024x1024/4/None/3000x2000/0a1b2c3d", "1024x1024/4/None/3000x2000/99999999"
PAIR = "512x768/28/3.5/3000x2000,64x64/0a1b2c3d,99999999"


@pytest.mark.parametrize(
    ("bucket", "geometry"),
    [
        (PLAIN, Geometry(1024, 1024, None, ())),
        (CUP, Geometry(1024, 1024, None, ((3000, 2000),))),
        (PAIR, Geometry(512, 768, 3.5, ((3000, 2000), (64, 64)))),
        ("", None),
        ("b", None),
        ("1024/4/None//", None),
        ("1024x1024/4/much//", None),
        ("1024x1024/4/None/3000/0a1b2c3d", None),
        ("1024x1024/4/None//0a/1b", None),
    ],
)
def test_a_bucket_says_its_geometry(bucket: str, geometry: Geometry | None) -> None:
    assert geometry_of(bucket) == geometry


def test_each_geometry_that_is_rendered_is_found_once(tmp_path: Path) -> None:
    made = plan_of(
        tmp_path,
        [
            [
                ("render", 0, CUP, "r1", 10.0),
                ("render", 0, SHOE, "r2", 10.0),
                ("finish", 0, "64x64/4/None//", "r3", 0.0),
            ],
            [("render", 1, PAIR, "r4", 10.0), ("none", 0, "32x32/4/None//", "r5", 0.0), ("render", 0, "b", "r6", 1.0)],
        ],
    )
    assert planned_geometries(made) == {geometry_of(CUP), geometry_of(PAIR)}


def test_a_real_plan_writes_buckets_that_are_read(tmp_path: Path) -> None:
    from tests.flows.projects import Project

    shots = {"hero": {"size": "128x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}}
    prepared = Project.of(tmp_path, products=2, model="tiny", shots=shots).plan()
    (geometry,) = planned_geometries(PlanFile(prepared.store, prepared.plan_key))
    assert (geometry.width, geometry.height, geometry.guidance) == (128, 64, None)
    assert len(geometry.references) == 1


def test_the_geometries_of_many_rows_are_read_in_little_memory(tmp_path: Path) -> None:
    buckets = [f"1024x1024/4/None/3000x2000/{number:08x}" for number in range(2**14)]
    rows = [("render", 0, bucket, f"r{number}", 1.0) for number, bucket in enumerate(buckets)]
    assert planned_geometries(plan_of(tmp_path, [rows, rows])) == {geometry_of(CUP)}
