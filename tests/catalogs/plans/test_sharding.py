"""A plan cut into shards: whole renders, within the limits, one geometry after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.columns import PLAN
from catalogs.plans.file import PlanFile, PlanHeader, PlanWriter
from catalogs.plans.sharding import cut_shards
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
