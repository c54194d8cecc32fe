from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_prefect_costs_at_most_two_percent(prefect_server: dict[str, str]) -> None:
    """Shards of a quarter of the default size: the cost is per shard, so the default one has a quarter of it."""
    command = [sys.executable, "-m", "tests.benchmarks.orchestration", "--seconds-a-shard", "30", "--workers", "2"]
    environment = {**os.environ, **prefect_server, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    cost: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert cost["shards"] == 8
    assert cost["percent"] <= 2, cost
