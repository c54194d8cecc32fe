"""What Prefect costs: the flow against a plain loop over run_shard, with an engine that sleeps 250 ms an image.

    PYTHONPATH=. python tests/benchmarks/orchestration.py [--seconds-a-shard 120] [--shards 8] [--workers 1]

Needs PREFECT_API_URL of a running server; says on stderr what it does, and on stdout one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import Shard, cut_shards
from catalogs.requests import RenderRequest
from inference.engine import Rendered
from inference.proofs.engine import ProofEngine
from tasks.engines import engine_factory
from tasks.prepare import Prepared
from tasks.shard import run_shard
from tasks.shard_job import ShardJob, ShardReport
from tests.flows.projects import Project

IMAGE_SECONDS = 0.25


@dataclass(frozen=True)
class Cost:
    """Wall seconds of one and the same work.

    Attributes:
        loop: the plain loop, from the first shard's start to the last one's end.
        flow: the same span inside the flow.
        fixed: the rest of the flow: start, plan, table of shards, summary, gallery, end.
    """

    shards: int
    images: int
    workers: int
    loop: float
    flow: float
    fixed: float

    @property
    def percent(self) -> float:
        return 100 * (self.flow - self.loop) / self.loop


def sleep_instead(seconds: float = IMAGE_SECONDS) -> None:
    """Proofs of this process sleep and are one flat grey."""

    def render(self: ProofEngine, request: RenderRequest, batch_size: int) -> Rendered:
        time.sleep(seconds)
        pixels = np.full((request.height, request.width, 3), 128, np.uint8)
        return Rendered(request, pixels, seconds, batch_size)

    ProofEngine._render = render  # type: ignore[method-assign]


def measure(folder: Path, shards: int, seconds_a_shard: float, workers: int) -> Cost:
    """Render `shards` shards of so many engine seconds by the loop, then the same by the flow."""
    assets = round(seconds_a_shard / IMAGE_SECONDS)
    loop = plain_loop(_project(folder / "loop", shards * assets), assets, workers)
    span, total = flow(_project(folder / "flow", shards * assets), assets, workers)
    return Cost(shards, shards * assets, workers, loop, span, total - span)


def _project(folder: Path, assets: int) -> Project:
    """One asset a product."""
    shots = {"hero": {"size": "64x64", "prompt": {"scene": "{{ product.title }}"}}}
    channels = [{"name": "square", "width": 48, "height": 48, "format": "jpeg"}]
    return Project.of(folder, assets, shots=shots, channels=channels)


def plain_loop(project: Project, assets: int, workers: int) -> float:
    prepared = project.plan()
    plan = PlanFile(prepared.store, prepared.plan_key)
    shards = [shard for stage in cut_shards(plan, 1e9, assets) for shard in stage]
    started = time.perf_counter()
    _loop(prepared, plan, shards, workers)
    return time.perf_counter() - started


def _loop(prepared: Prepared, plan: PlanFile, shards: Iterable[Shard], workers: int) -> None:
    def work(shard: Shard) -> ShardReport:
        job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
        return run_shard(job, engine_factory(plan.header), lambda delivered, failed: None)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, shards))


def flow(project: Project, assets: int, workers: int) -> tuple[float, float]:
    """(first shard's start to last shard's end, the whole flow) in seconds."""
    import tasks.prefect_tasks
    from flows.render import RenderOptions, render_catalog

    times: list[float] = []

    def timed(*arguments: Any) -> ShardReport:
        times.append(time.perf_counter())
        report = run_shard(*arguments)
        times.append(time.perf_counter())
        return report

    tasks.prefect_tasks.run_shard = timed
    prepared = project.plan()
    options = RenderOptions(workers=workers, shard_seconds=1e9, shard_assets=assets)
    started = time.perf_counter()
    summary = render_catalog(project.path, options, run_id=prepared.run_id)
    total = time.perf_counter() - started
    assert summary["complete"]
    return max(times) - min(times), total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--seconds-a-shard", type=float, default=120.0)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    sleep_instead()
    with tempfile.TemporaryDirectory() as folder:
        cost = measure(Path(folder), chosen.shards, chosen.seconds_a_shard, chosen.workers)
    sys.stdout.write(json.dumps({**asdict(cost), "percent": cost.percent}) + "\n")


if __name__ == "__main__":
    main()
