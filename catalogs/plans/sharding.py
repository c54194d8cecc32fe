"""How the work of a plan is cut into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.columns import is_master
from catalogs.plans.decision import Work
from catalogs.plans.file import PlanFile
from catalogs.plans.rows import Geometry, geometry_of

SHARD_SECONDS = 120.0
SHARD_ASSETS = 2_000


@dataclass(frozen=True)
class Shard:
    """The slice of a plan that one Prefect task renders.

    Attributes:
        row_group: where in the plan file its rows are.
        offsets: rows inside the row group, renders of one geometry side by side.
        masters: how many of them are masters, and no assets.
        seconds: estimated engine seconds.
    """

    number: int
    stage: int
    row_group: int
    offsets: tuple[int, ...]
    renders: int
    seconds: float
    masters: int = 0

    @property
    def assets(self) -> int:
        return len(self.offsets) - self.masters


@dataclass
class _Render:
    """One render of a row group: where its rows are, what it takes, and which geometry it has."""

    bucket: str
    offsets: list[int]
    seconds: float = 0.0
    masters: int = 0
    cost: float = 0.0


_COLUMNS = (
    "channel",
    "master",
    "work",
    "stage",
    "bucket",
    "render_fingerprint",
    "estimated_seconds",
    "estimated_cost_high",
)


def cut_shards(
    plan: PlanFile, seconds: float = SHARD_SECONDS, max_assets: int = SHARD_ASSETS, free: bool = False
) -> list[list[Shard]]:
    """Cut the work of a plan into shards, a list a stage.

    A shard holds whole renders of one stage and row group, up to `seconds` of estimated work and
    `max_assets` assets. The layout is free: what is done is told by fingerprints, never by shard.
    Shards of one geometry and one set of references follow each other, so that an engine's caches hit.

    Args:
        free: only the work that costs nothing more.
    """
    found: list[tuple[str, Shard]] = []
    for group, table in enumerate(plan.tables(_COLUMNS)):
        for stage, found_renders in _renders_by_stage(table).items():
            renders = [render for render in found_renders if not (free and render.cost)]
            for slice_ in _slices(renders, seconds, max_assets):
                found.append((slice_[0].bucket, _shard(len(found), stage, group, slice_)))
    stages: dict[int, list[Shard]] = {}
    for number, (_, shard) in enumerate(sorted(found, key=lambda item: (item[1].stage, item[0]))):
        stages.setdefault(shard.stage, []).append(replace(shard, number=number))
    return list(stages.values())


def planned_geometries(plan: PlanFile) -> set[Geometry]:
    """Each geometry of what a plan renders, once; whatever its number of rows, in a second or two."""
    found: set[str] = set()
    for table in plan.tables(("work", "bucket")):
        buckets = table["bucket"].filter(pc.equal(table["work"], Work.RENDER.value))
        # Without what the references hold few are left of a million.
        found.update(pc.unique(pc.replace_substring_regex(buckets, "[^/]*$", "")).to_pylist())
    return {geometry for bucket in found if bucket and (geometry := geometry_of(bucket))}


def _shard(number: int, stage: int, row_group: int, renders: list[_Render]) -> Shard:
    offsets = tuple(offset for render in renders for offset in render.offsets)
    made = sum(1 for render in renders if render.seconds > 0)
    seconds, masters = sum(render.seconds for render in renders), sum(render.masters for render in renders)
    return Shard(number, stage, row_group, offsets, made, seconds, masters)


def _renders_by_stage(table: pa.Table) -> dict[int, list[_Render]]:
    rows = table.append_column("offset", pa.array(range(table.num_rows)))
    rows = rows.filter(pc.is_in(rows["work"], value_set=pa.array([Work.RENDER.value, Work.FINISH.value])))
    rows = rows.sort_by([(name, "ascending") for name in ("stage", "bucket", "render_fingerprint", "offset")])
    stages: dict[int, list[_Render]] = {}
    last = None
    for row in rows.to_pylist():
        renders = stages.setdefault(row["stage"], [])
        if row["render_fingerprint"] != last or not renders:
            renders.append(_Render(row["bucket"] or "", []))
        renders[-1].offsets.append(row["offset"])
        renders[-1].seconds += row["estimated_seconds"] or 0.0
        renders[-1].masters += is_master(row)
        renders[-1].cost += row["estimated_cost_high"] or 0.0
        last = row["render_fingerprint"]
    return stages


def _slices(renders: Iterable[_Render], seconds: float, max_assets: int) -> Iterator[list[_Render]]:
    slice_: list[_Render] = []
    for render in renders:
        spent, assets = sum(r.seconds for r in slice_), sum(len(r.offsets) for r in slice_)
        if slice_ and (spent + render.seconds > seconds or assets + len(render.offsets) > max_assets):
            yield slice_
            slice_ = []
        slice_.append(render)
    if slice_:
        yield slice_
