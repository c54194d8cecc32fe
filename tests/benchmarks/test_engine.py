from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import cut_shards
from inference.engine import EngineOptions
from inference.local.engine import load_engine
from inference.local.loading import Source
from tasks.shard import run_shard
from tasks.shard_job import ShardJob
from tests.benchmarks.pipeline import SECONDS_AN_IMAGE, SleepingEngine, planned, run
from tests.flows.projects import Project
from tests.gpu.cases import BY_NAME
from tests.gpu.measure import rows


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_packshot_is_quicker_than_a_plain_loop_with_references(tmp_path: Path) -> None:
    made, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for one another measure what else the machine does
    try:
        for name in ("tiny-1", "tiny-kv-3"):
            found = {row["run"]: row for row in rows(BY_NAME[name], 300, tmp_path / name, torch.device("cpu"))}
            made[name] = found["packshot, as it comes"]
    finally:
        torch.set_num_threads(threads)
    assert max(row["largest"] for row in made.values()) <= 2
    assert made["tiny-1"]["ratio"] > 1
    assert made["tiny-kv-3"]["ratio"] >= 1.5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_engine_waits_for_nobody(tmp_path: Path) -> None:
    engine = SleepingEngine()
    prepared = planned(240, tmp_path, "output")
    seconds, reports = run(prepared, engine)
    assert engine.slept == pytest.approx(240 * SECONDS_AN_IMAGE)
    assert sum(report["delivered"] for report in reports) == 240
    assert seconds / engine.slept <= 1.08


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_is_flat_over_two_thousand_renders(tmp_path: Path) -> None:
    shot = {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}
    channels = [{"name": "square", "width": 64, "height": 64, "format": "png"}]
    made = Project.of(tmp_path, 500, model="tiny", variations=4, shots={"hero": shot}, channels=channels).plan()
    resident: list[int] = []
    process = psutil.Process()

    def progress(delivered: int, failed: int) -> None:
        assert not failed
        resident.append(process.memory_info().rss)

    def engine(load: Any) -> Any:
        return load_engine(Source("tiny", "1", "float32"), load, EngineOptions())

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for stage in cut_shards(PlanFile(made.store, made.plan_key), 1e9, 10_000):
            for shard in stage:
                run_shard(ShardJob(made.plan_key, made.store, made.run_id, shard), engine, progress)
    finally:
        torch.set_num_threads(threads)
    gc.collect()
    assert len(resident) >= 2000
    early, late = max(resident[300:500]), max(resident[-200:])
    print(f"resident: {early / 2**20:.0f} MiB after 500 renders, {late / 2**20:.0f} MiB after {len(resident)}")
    assert late < 1.05 * early
