"""The flow under a real Prefect server, as a person sees it in the UI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from catalogs.errors import CatalogError
from tests.flows.projects import Project

READ = """
import asyncio, json, sys
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
async def main():
    async with get_client() as client:
        wanted = FlowRunFilter(name=FlowRunFilterName(any_=[sys.argv[1]]))
        runs = await client.read_flow_runs(flow_run_filter=wanted)
        tasks = await client.read_task_runs(flow_run_filter=wanted)
        artifacts = await client.read_artifacts(flow_run_filter=wanted)
        print(json.dumps({
            "flows": [run.state.name for run in runs],
            "tasks": [[task.name, task.state.name, task.tags] for task in tasks],
            "artifacts": sorted({artifact.key for artifact in artifacts}),
        }))
asyncio.run(main())
"""


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, text=True
    )


def packshot(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(environment, "-c", "from flows.cli import main; main()", *arguments)


def seen_by_prefect(environment: dict[str, str], run: str) -> dict[str, Any]:
    done = python(environment, "-c", READ, run)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.timeout(240)
def test_a_run_is_readable_in_the_ui(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = Project.of(tmp_path, products=6, name="readable")
    done = packshot(prefect_server, "render", project.path, "--shard-assets", "10", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["outcome"]["delivered"] == 24
    seen = seen_by_prefect(prefect_server, f"readable · {summary['run_id']}")
    assert seen["flows"] == ["Completed"]
    kinds = ("contact-sheet", "progress", "shards", "summary")
    assert seen["artifacts"] == [f"{kind}-readable" for kind in kinds]
    shards = [(name, state, tags) for name, state, tags in seen["tasks"] if name.startswith("shard")]
    assert len(shards) == 4
    assert all(state == "Completed" and not tags for _, state, tags in shards)
    assert any("stage 1" in name for name, _, _ in shards)
    assert (tmp_path / "output" / "runs" / summary["run_id"] / "summary.json").exists()


@pytest.mark.timeout(240)
def test_a_failed_asset_fails_the_run_and_what_is_delivered_is_in_no_shard(
    tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    project = Project.of(tmp_path, products=4, name="partly")
    plan = tmp_path / "plan.parquet"
    assert packshot(prefect_server, "plan", project.path, "--output", str(plan)).returncode == 0
    photo = project.folder / "photo.png"
    content = photo.read_bytes()
    project.render(only=["p000", "p001"])
    photo.unlink()
    arguments = ("render", project.path, "--plan", str(plan), "--shard-assets", "6", "--json")
    failed = packshot(prefect_server, *arguments)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    summary = json.loads(failed.stdout)
    assert summary["outcome"]["delivered"] == 8
    assert summary["outcome"]["reasons"] == {"reference_missing": 4, "upstream_failed": 4}
    seen = seen_by_prefect(prefect_server, f"partly · {summary['run_id']}")
    assert seen["flows"] == ["Failed"]
    states = [state for name, state, _ in seen["tasks"] if name.startswith("shard")]
    assert states == ["Completed", "Completed"]
    photo.write_bytes(content)
    assert packshot(prefect_server, *arguments).returncode == 0


@pytest.mark.timeout(240)
def test_ctrl_c_drains_and_commits(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = Project.of(tmp_path, products=300)
    process = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", "render", project.path, "--workers", "1"],
        env={**os.environ, **prefect_server},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not project.store.list("renders"):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    view = project.view()
    assert 0 < len(view) < 1500
    assert all(project.store.exists(row["asset_key"]) for row in view.values())


def test_the_flow_under_prefects_own_harness(tmp_path: Path, prefect_harness: None) -> None:
    from flows.render import RenderOptions, render_catalog

    project = Project.of(tmp_path, products=2)
    summary = render_catalog(project.path, RenderOptions(shard_assets=3))
    assert summary["complete"]
    assert summary["work"]["rendered"] == 4
    state = render_catalog(project.path, RenderOptions(only=["p000"]), return_state=True)
    assert state.name == "Completed"
    (tmp_path / "photo.png").write_bytes(b"no image")
    with pytest.raises(CatalogError):
        render_catalog(project.path)


def test_what_a_lost_store_left_over_is_taken_up(
    tmp_path: Path, prefect_harness: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import render
    from tasks.prefect_tasks import render_shard

    project = Project.of(tmp_path, products=2)
    obstacle = project.folder / "output" / "assets" / "spring"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where the store wants a folder")
    monkeypatch.setattr(render_shard, "retries", 0)
    lost = render.render_catalog(project.path, return_state=True)
    assert lost.name == "Failed"
    assert "4 missing" in lost.message
    assert "a file is in the place of a folder; move it" in lost.message
    monkeypatch.setattr(render.stopping, "wait", lambda seconds: obstacle.unlink())
    summary = render.render_catalog(project.path, tries=2)
    assert summary["complete"]
    assert len(project.view()) == 8
    with pytest.raises(ParameterTypeError):
        render.render_catalog(project.path, tries=0)


@pytest.mark.timeout(240)
def test_without_any_server(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=2)
    done = packshot({"PREFECT_HOME": str(tmp_path / "home"), "PREFECT_API_URL": ""}, "render", project.path)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 planned assets delivered; 4 rendered" in done.stdout
    assert "gallery: " in done.stdout
