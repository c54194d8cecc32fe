"""How much of a run is not the engine: an engine that only sleeps, and everything behind it at full size.

    python -m tests.benchmarks.pipeline --images 1000                      to a local folder
    python -m tests.benchmarks.pipeline --images 1000 --store s3           to an S3 server on this machine

Each image takes 250 ms "on the device" and comes out as 1024 x 1024 pixels that are 1.5 MB as PNG; master, asset and
thumbnail are encoded, hashed and stored. Prints wall time over engine time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from catalogs.assets.history import read_current
from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import cut_shards
from catalogs.requests import RenderRequest
from inference.engine import Engine, Rendered, Result
from inference.local.batching import bucket_key
from tasks.prepare import Prepared
from tasks.profile import profile_of
from tasks.shard import run_shard
from tasks.shard_job import ShardJob
from tests.flows.projects import Project
from tests.gpu.pictures import photo
from tests.swift_server import swift

SECONDS_AN_IMAGE = 0.25
SIDE = 1024
BATCH = 2


class SleepingEngine(Engine):
    """Pretends to be a GPU: takes its time, uses no CPU, and hands out photo-like pixels."""

    name = "sleeping"
    versions: dict[str, str] = {"sleeping": "1"}  # noqa: RUF012

    def __init__(self, seconds: float = SECONDS_AN_IMAGE, side: int = SIDE) -> None:
        self._seconds = seconds
        self._pictures = [np.asarray(photo((side, side), seed)) for seed in range(4)]
        self.slept = 0.0

    def bucket(self, request: RenderRequest) -> Hashable:
        return bucket_key(request)

    def batch_size(self, request: RenderRequest) -> int:
        return BATCH

    def render(self, batch: Sequence[RenderRequest]) -> Iterator[Result]:
        time.sleep(self._seconds * len(batch))
        self.slept += self._seconds * len(batch)
        for request in batch:
            pixels = self._pictures[request.seed % len(self._pictures)].copy()
            pixels[0, 0] = list(request.seed.to_bytes(4, "big")[1:])  # no two pictures alike
            yield Rendered(request, pixels, self._seconds, len(batch))


def planned(images: int, folder: Path, output: str, side: int = SIDE) -> Prepared:
    """A campaign of so many pictures without references, in one shard."""
    shot = {"size": f"{side}x{side}", "prompt": {"scene": "{{ product.title }}"}}
    channel = {"name": "master", "width": side, "height": side, "format": "png"}
    project = Project.of(folder, images, model="klein-4b", shots={"hero": shot}, channels=[channel], output=output)
    return project.plan()


def run(prepared: Prepared, engine: SleepingEngine) -> tuple[float, list[dict[str, Any]]]:
    """Wall seconds of all shards, and their reports."""
    started, reports = time.perf_counter(), []
    for stage in cut_shards(PlanFile(prepared.store, prepared.plan_key), 1e9, 10_000):
        for shard in stage:
            job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
            report = run_shard(job, lambda load: engine, lambda delivered, failed: None)
            reports.append(report.as_dict())
    return time.perf_counter() - started, reports


def measure(images: int, folder: Path, output: str) -> dict[str, Any]:
    """One run; fails if anything planned is not there."""
    prepared = planned(images, folder, output)
    engine = SleepingEngine()
    seconds, reports = run(prepared, engine)
    rows = read_current(prepared.store).to_pylist()
    assert len(rows) == images
    assert all(row["status"] == "delivered" for row in rows)
    return {
        "store": output.split(":")[0] if "://" in output else "local",
        "images": images,
        "asset_megabytes": round(sum(row["bytes"] for row in rows) / images / 1e6, 2),
        "engine_seconds": round(engine.slept, 1),
        "wall_seconds": round(seconds, 1),
        "wall_over_engine": round(seconds / engine.slept, 4),
        "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "profile": profile_of(reports, seconds),
    }


@contextmanager
def s3_output() -> Iterator[str]:
    """A bucket on an OpenStack Swift of our own, which shares this machine's cores."""
    with tempfile.TemporaryDirectory() as folder, swift(Path(folder)) as server:
        os.environ |= server.environment
        yield f"s3://{server.bucket()}/output"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--store", choices=["local", "s3"], default="local")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, s3_output() if given.store == "s3" else nullcontext("output") as out:
        result = measure(given.images, Path(folder) / "project", out)
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    main()
