"""Rounds of takes: what checks reject is made again with another seed, until it passes or attempts are used up."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.commits import read_commits
from catalogs.plans.file import PlanFile
from tasks.finishers import DEPTH
from tests.flows.projects import SHOTS, SQUARE, Project, plan_rows

ATTEMPTS = 3
PRODUCTS = 6
TINY_BATCH = 8
RANKS = ("rejected", "needs_review", "accepted")

# The real command on the real engine, which logs every picture that it begins.
COMMAND = """
import os, sys, time
from catalogs.identity import render_fingerprint
from inference.local.engine import DiffusersEngine
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
real = DiffusersEngine.render
def render(self, batch):
    for request in batch:
        os.write(log, (render_fingerprint(request) + "\\n").encode())
        time.sleep(0.05)
    return real(self, batch)
DiffusersEngine.render = render
from flows.cli import main
main()
"""


def project_of(folder: Path, limit: float, **campaign: Any) -> Project:
    """Two shots, one built on the other, whose pictures pass where their noise is smooth enough."""
    quality = {
        "review": {"coherence": False},
        "reject": {"coherence": limit},
        "max_attempts": ATTEMPTS,
        "stop_line": False,
    }
    chosen = {"model": "tiny", "shots": SHOTS, "channels": SQUARE, "quality": quality, **campaign}
    return Project.of(folder, PRODUCTS, **chosen)


def attempts_of(project: Project) -> dict[str, dict[int, dict[str, Any]]]:
    """What was made of every request, by its fingerprint at take 0 and the take; of each take its first row."""
    found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    rows = (row for table in read_commits(project.store) for row in table.to_pylist())
    for row in sorted(rows, key=lambda row: (row["ordered_at"], row["step"])):
        if row["status"] == "delivered":
            found[row["take_of"] or row["render_fingerprint"]].setdefault(row["take"], row)
    return dict(found)


@pytest.fixture(scope="module")
def limit(tmp_path_factory: pytest.TempPathFactory) -> float:
    """One that some product's first shot misses at take 0 and at take 1, and keeps at take 2."""
    shots = {"hero": SHOTS["hero"]}
    project = project_of(tmp_path_factory.mktemp("probe"), 1.0, shots=shots)
    for _ in range(ATTEMPTS):
        project.render()
    takes = [[dict(row["quality"])["coherence"] for row in each.values()] for each in attempts_of(project).values()]
    assert {len(numbers) for numbers in takes} == {ATTEMPTS}
    gaps = [(third - max(first, second), max(first, second), third) for first, second, third in takes]
    gap, low, high = max(gaps)
    assert gap > 0
    return (low + high) / 2


def check(project: Project, limit: float) -> None:
    """Whoever reads record and view finds takes as they are promised."""
    attempts = attempts_of(project)
    standing = {}
    for takes in attempts.values():
        verdicts = {take: row["verdict"] for take, row in takes.items()}
        for row in takes.values():
            assert (row["verdict"] == "rejected") == (dict(row["quality"])["coherence"] < limit)
        last = max(takes)
        assert sorted(takes) == list(range(last + 1))
        assert all(verdicts[take] == "rejected" for take in range(last)), "nothing is made again that passed"
        assert verdicts[last] != "rejected" or last == ATTEMPTS - 1
        best = max(takes, key=lambda take: (RANKS.index(verdicts[take]), takes[take]["score"], -take))
        standing[takes[best]["render_fingerprint"]] = takes[best]
    heroes = [takes for takes in attempts.values() if takes[0]["shot"] == "hero"]
    assert any([row["verdict"] for _, row in sorted(takes.items())][:2] == ["rejected"] * 2 for takes in heroes)
    view = [row for row in project.view().values() if row["status"] == "delivered"]
    assert len(view) == 2 * PRODUCTS
    for row in view:
        assert row["render_fingerprint"] in standing, f"take {row['take']} is not the best"
        assert project.store.exists(row["asset_key"])
    by_shot = {shot: {row["render_fingerprint"] for row in view if row["shot"] == shot} for shot in SHOTS}
    for row in view:
        if row["shot"] == "scene":
            assert row["references"][0]["sha256"] in by_shot["hero"], "a shot follows the take that stands"
    built_on = {takes[0]["references"][0]["sha256"] for takes in attempts.values() if takes[0]["shot"] == "scene"}
    assert built_on <= by_shot["hero"], "nothing was built on a take that does not stand"
    assert {row["work"] for row in plan_rows(project.plan())} == {"none"}


class Runs:
    """Starts of `packshot render`, and the log of what they made."""

    def __init__(self, project: Project, environment: dict[str, str]) -> None:
        self.project, self._log = project, project.folder / "renders.log"
        self._environment = {**os.environ, **environment, "PYTHONPATH": os.getcwd()}
        self._script = project.folder / "command.py"
        self._script.write_text(COMMAND)

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        arguments = ["render", self.project.path, "--json", "--shard-assets", "3", *more]
        return subprocess.Popen(
            [sys.executable, str(self._script), str(self._log), *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finished(self, code: int) -> dict[str, Any]:
        process = self.start()
        out, err = process.communicate(timeout=200)
        assert process.returncode == code, err.decode()[-3000:]
        summary: dict[str, Any] = json.loads(out)
        return summary

    def killed(self, delay: float) -> bool:
        """One start, killed `delay` seconds after its first picture; False if it came to its end before."""
        before = len(self.renders())
        process = self.start()
        while process.poll() is None and len(self.renders()) == before:
            time.sleep(0.01)
        time.sleep(delay)
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return alive

    def renders(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []


def rejected_at_last(project: Project) -> int:
    return sum(row["verdict"] == "rejected" for row in project.view().values())


@pytest.mark.timeout(300)
def test_one_run_takes_again_what_is_rejected(tmp_path: Path, prefect_server: dict[str, str], limit: float) -> None:
    project = project_of(tmp_path, limit)
    runs = Runs(project, prefect_server)
    first = plan_rows(project.plan())
    process = runs.start()
    out, err = process.communicate(timeout=200)
    summary = json.loads(out)
    check(project, limit)
    left = rejected_at_last(project)
    assert process.returncode == (1 if left else 0), err.decode()[-3000:]
    assert (summary["outcome"]["rejected"], summary["complete"]) == (left, not left)
    assert summary["outcome"]["delivered"] == 2 * PRODUCTS - left
    made = Counter(runs.renders())
    assert set(made.values()) == {1}, "no take is made twice"
    assert summary["work"]["rendered"] == made.total() > len({row["render_fingerprint"] for row in first})
    assert len(summary["rounds"]) > 2
    assert summary["run_id"] == summary["rounds"][-1]
    assert summary["gallery"]
    again = runs.finished(code=process.returncode)
    assert (again["work"]["rendered"], len(runs.renders())) == (0, made.total())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("most", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_rounds_under_kills(tmp_path: Path, prefect_server: dict[str, str], limit: float, most: int) -> None:
    project = project_of(tmp_path, limit)
    runs, chance, kills = Runs(project, prefect_server), random.Random(5), 0
    while kills < most and runs.killed(chance.uniform(0.0, 3.0)):
        kills += 1
    process = runs.start()
    process.communicate(timeout=300)
    assert kills >= 3, "the run was over too soon to be killed"
    check(project, limit)
    again = sum(count - 1 for count in Counter(runs.renders()).values())
    assert again <= kills * (TINY_BATCH + DEPTH)


def test_a_shots_estimate_counts_the_takes_to_be_expected(tmp_path: Path, limit: float) -> None:
    project = project_of(tmp_path, limit)
    before = project.plan().summary
    project.render(limit=3)
    judged = [row["verdict"] for row in project.view(masters=True).values() if row["shot"] == "hero"]
    assert "rejected" in judged
    project.campaign["seed"] = 1
    project.write()
    after = project.plan().summary
    assert (after["renders"], before["renders"]) == (2 * PRODUCTS, 2 * PRODUCTS)
    assert before["seconds"] * 1.2 < after["seconds"] < before["seconds"] * ATTEMPTS


def test_an_approved_plan_is_made_as_it_is(tmp_path: Path, prefect_server: dict[str, str], limit: float) -> None:
    project = project_of(tmp_path, limit, shots={"hero": SHOTS["hero"]})
    prepared = project.plan()
    plan = PlanFile(prepared.store, prepared.plan_key)
    assert plan.header.attempts == ATTEMPTS
    process = Runs(project, prefect_server).start("--plan", plan.uri)
    summary = json.loads(process.communicate(timeout=200)[0])
    assert (summary["work"]["rendered"], "rounds" in summary) == (PRODUCTS, False)
    assert {row["take"] for row in project.view().values()} == {0}
    assert summary["outcome"]["rejected"] == rejected_at_last(project) > 0


def test_fewer_attempts_or_no_checks_render_nothing(tmp_path: Path, limit: float) -> None:
    project = project_of(tmp_path, limit, shots={"hero": SHOTS["hero"]})
    for _ in range(ATTEMPTS + 1):
        project.render()
    takes = {row["render_fingerprint"] for row in project.view().values()}
    for quality in ({"reject": {"coherence": limit}, "max_attempts": 1}, True, False):
        project.campaign["quality"] = quality
        project.write()
        assert not project.plan().has_work
        project.campaign["channels"] = [*SQUARE, {"name": "wide", "width": 64, "height": 32, "format": "png"}]
        project.write()
        assert project.plan().summary["renders"] == 0
        project.campaign["channels"] = SQUARE
    project.campaign["channels"] = [*SQUARE, {"name": "wide", "width": 64, "height": 32, "format": "png"}]
    project.write()
    project.render()
    by_channel = {channel: {} for channel in ("square", "wide")}  # type: dict[str, dict[str, Any]]
    for row in project.view().values():
        by_channel[row["channel"]][row["look"]] = (row["verdict"], row["score"], row["render_fingerprint"])
    assert by_channel["square"] == by_channel["wide"], "a file that is added later has the verdict of its picture"
    assert {found[2] for found in by_channel["wide"].values()} == takes
    project.campaign["quality"] = {"reject": {"coherence": limit}, "max_attempts": ATTEMPTS + 1}
    project.write()
    left = rejected_at_last(project) // 2
    assert project.plan().summary["renders"] == left, "one attempt more is one take of what is still rejected"
