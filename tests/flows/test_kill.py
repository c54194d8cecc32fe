"""SIGKILL at random instants, and two runs at once: nothing lost, nothing twice, little made again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from catalogs.storage.store import Store
from tasks.finishers import DEPTH
from tests.flows.projects import Project, plan_rows
from tests.servers import S3Server

PROOF_BATCH = 8
PRODUCTS = 44  # 220 assets: two shots on two channels and a master each

# The real command with an engine that logs every render it starts and takes its time like a small GPU.
COMMAND = """
import os, sys, time
from catalogs.identity import render_fingerprint
from inference.proofs.engine import ProofEngine
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
real = ProofEngine.render
def render(self, batch):
    for request in batch:
        os.write(log, (render_fingerprint(request) + "\\n").encode())
        time.sleep(0.02)
    return real(self, batch)
ProofEngine.render = render
from flows.cli import main
main()
"""


class Runs:
    """Starts of `packshot render` on one project, and the log of what they rendered."""

    def __init__(self, project: Project, environment: Mapping[str, str]) -> None:
        self.project, self._log = project, project.folder / "renders.log"
        self._environment = {**os.environ, **environment}
        self._script = project.folder / "command.py"
        self._script.write_text(COMMAND)
        self.wanted: set[str] = set()

    def start(self, assets_a_shard: int = 20, *more: str) -> subprocess.Popen[bytes]:
        arguments = [
            "render",
            self.project.path,
            "--workers",
            "1",
            "--shard-assets",
            str(assets_a_shard),
            "--json",
            *more,
        ]
        return subprocess.Popen(
            [sys.executable, str(self._script), str(self._log), *arguments],
            env={**self._environment, "PYTHONPATH": os.getcwd()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def killed(self, delay: float, assets_a_shard: int) -> bool:
        """One start, killed `delay` seconds after its first render; False if it came to its end before."""
        before = len(self.renders())
        process = self.start(assets_a_shard)
        while process.poll() is None and len(self.renders()) == before:
            time.sleep(0.01)
        time.sleep(delay)
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return alive

    def finished(self) -> dict[str, Any]:
        process = self.start()
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err.decode()[-3000:]
        summary: dict[str, Any] = json.loads(out)
        return summary

    def renders(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []

    def note_wanted(self) -> None:
        self.wanted |= {row["render_fingerprint"] for row in plan_rows(self.project.plan())}

    def retitle(self, word: str, chance: random.Random) -> None:
        for product in chance.sample(self.project.products, PRODUCTS * 2 // 3):
            product["title"] = f"{word} {product['product_id']}"
        self.project.write()
        self.note_wanted()


def check_view(project: Project) -> None:
    """The current view is exactly the plan, of the titles of now, and every key holds what its row says."""
    plan = {tuple(row[n] for n in NAMES): row for row in plan_rows(project.plan())}
    assert {row["action"] for row in plan.values()} == {"unchanged"}
    view = project.view(masters=True)
    assert set(view) == set(plan)
    for key, row in view.items():
        assert (row["status"], row["fingerprint"]) == ("delivered", plan[key]["fingerprint"])
        assert hashlib.sha256(project.store.read(row["asset_key"])).hexdigest() == row["sha256"]
        assert project.products[int(row["product_id"][1:])]["title"] in row["prompt"] or row["shot"] == "scene"
    check_pictures(project, view)


def check_pictures(project: Project, view: Mapping[tuple[Any, ...], dict[str, Any]]) -> None:
    """Proofs are the same bytes wherever they are drawn: each picture is what a clean output gets."""
    output = project.campaign["output"]
    project.campaign["output"] = "clean"
    project.write()
    project.render()
    clean = project.view(masters=True)
    project.campaign["output"] = output
    project.write()
    assert {key: row["sha256"] for key, row in clean.items()} == {key: row["sha256"] for key, row in view.items()}


NAMES = ("kind", "look", "shot", "channel", "variation")


def kill_and_resume(runs: Runs, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    runs.note_wanted()
    done = 0
    for attempt in range(kills * 4):
        # Work runs out after a few kills: titles change between a kill and its resume, and so there is more.
        if attempt % 3 == 2:
            runs.retitle(f"title{attempt}", chance)
        done += runs.killed(chance.uniform(0.0, 1.0), chance.choice([9, 20, 27]))
        if done == kills:
            break
    assert done == kills
    assert runs.finished()["complete"]
    check_view(runs.project)
    made = Counter(runs.renders())
    assert set(made) <= runs.wanted
    again = sum(made.values()) - len(made)
    print(f"{kills} kills: {len(made)} renders wanted and made, {again} made again")
    assert again <= kills * (PROOF_BATCH + DEPTH)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [4, pytest.param(15, marks=pytest.mark.slow)])
def test_kills_on_a_local_disk(tmp_path: Path, prefect_server: dict[str, str], kills: int) -> None:
    kill_and_resume(Runs(Project.of(tmp_path, PRODUCTS), prefect_server), kills, seed=1)


@pytest.mark.swift
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_kills_on_the_s3_server(tmp_path: Path, prefect_server: dict[str, str], swift: S3Server, kills: int) -> None:
    project = Project.of(tmp_path, PRODUCTS, output=f"s3://{swift.bucket()}/out")
    kill_and_resume(Runs(project, prefect_server), kills, seed=2)


@pytest.mark.timeout(300)
def test_two_runs_at_once_end_in_one_view(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = Project.of(tmp_path, PRODUCTS)
    runs = Runs(project, prefect_server)
    both = [runs.start(20, "--force"), runs.start(27, "--force")]
    for process in both:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err.decode()[-3000:]
    check_view(project)
    assert isinstance(project.store, Store)
