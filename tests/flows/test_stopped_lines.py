"""A shot most of whose pictures are rejected is stopped, the others go on, and somebody resumes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.commits import read_commits
from tests.flows.commands import Packshot
from tests.flows.projects import SHOTS, SQUARE, Project, make

PRODUCTS = 18
A_SHARD = 4  # so that the third is the last
BAD = {"reject": {"contrast": 200}}  # no picture has so much
SCENE = {"size": "64x64", "references": ["shot.hero"], "prompt": {"scene": "a kitchen"}}
GOOD = {"size": "64x64", "prompt": {"scene": "{{ product.title }} on a shelf"}}


def project_of(folder: Path, **campaign: Any) -> Project:
    """Three shots: one whose pictures are all rejected, one that builds on it, one that passes."""
    quality = {"review": {"coherence": False}, "max_attempts": 2, "shots": {"hero": BAD}}
    shots = {"hero": SHOTS["hero"], "scene": SCENE, "shelf": GOOD}
    chosen = {"model": "tiny", "shots": shots, "channels": SQUARE, "quality": quality, **campaign}
    return Project.of(folder, PRODUCTS, **chosen)


def by_shot(project: Project) -> dict[str, list[dict[str, Any]]]:
    rows = project.view().values()
    return {shot: [row for row in rows if row["shot"] == shot] for shot in project.campaign["shots"]}


def judged(project: Project, shot: str) -> int:
    rows = (row for table in read_commits(project.store) for row in table.to_pylist())
    return len({row["render_fingerprint"] for row in rows if row["shot"] == shot and row["verdict"]})


@pytest.mark.timeout(300)
def test_a_bad_shot_is_stopped_and_resumed(prefect_harness: None, packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path)
    told = packshot("render", project.path, "--shard-assets", str(A_SHARD), "--json")
    assert told.code == 1
    outcome = told.answer["outcome"]
    made = judged(project, "hero")
    assert 10 <= made < PRODUCTS, "a dozen bad pictures are enough"
    found = by_shot(project)
    assert {row["verdict"] for row in found["shelf"]} <= {"accepted", "needs_review"}
    assert len(found["shelf"]) == PRODUCTS
    stopped = [row for row in found["hero"] if row["reason"] == "line_stopped"]
    assert {(row["status"], row["final"]) for row in stopped} == {("failed", False)}
    assert "checks reject 10 of the last 10 pictures, for example of p" in stopped[0]["detail"]
    assert outcome["reasons"]["line_stopped"] > PRODUCTS, "what builds on it waits too"
    assert not outcome["missing"]

    status = packshot("status", project.path)
    assert f"{outcome['reasons']['line_stopped']} line_stopped" in status.out
    plan = packshot("plan", project.path)
    assert "shot hero is stopped: checks reject 10 of the last 10" in plan.out
    assert f"packshot render {project.path} --resume-shot hero" in plan.out
    assert "--retry-failed" not in plan.out, "that would not help"
    assert packshot("render", project.path, "--retry-failed", "--json").answer["work"]["rendered"] == 0

    wrong = packshot("render", project.path, "--resume-shot", "heros")
    assert (wrong.code, "did you mean 'hero'?" in wrong.err) == (2, True)
    packshot("render", project.path, "--resume-shot", "hero", "--shard-assets", str(A_SHARD), "--json")
    assert judged(project, "hero") - made >= 10, "it goes on, until it is stopped again"
    assert "shot hero is stopped" in packshot("plan", project.path).out


def test_where_nothing_waits_nobody_is_told_to_go_on(tmp_path: Path) -> None:
    project = project_of(tmp_path, shots={"hero": SHOTS["hero"], "shelf": GOOD})
    project.campaign["quality"]["max_attempts"] = 1
    project.products = project.products[:12]
    project.write()
    make(project.plan())
    summary = project.plan().summary
    assert not summary["renders"]
    assert not [line for line in summary["warnings"] if "stopped" in line], "all that it may have, it had"

    project.campaign["quality"]["max_attempts"] = 2
    project.write()
    assert [line for line in project.plan().summary["warnings"] if line.startswith("shot hero is stopped")]


@pytest.mark.parametrize("change", ["prompt", "limit", "reference", "off"])
def test_a_change_of_its_inputs_begins_a_line(tmp_path: Path, change: str) -> None:
    project = project_of(tmp_path, shots={"hero": SHOTS["hero"]})
    make(project.plan(), A_SHARD)
    assert project.plan().summary["renders"] == 0
    if change == "prompt":
        project.campaign["shots"]["hero"]["prompt"]["scene"] += " in the sun"
    elif change == "limit":
        project.campaign["quality"]["shots"]["hero"]["reject"]["contrast"] = 3
    elif change == "reference":
        project.campaign["shots"]["hero"]["references"] = []
    else:
        project.campaign["quality"]["stop_line"] = False
    project.write()
    assert project.plan().summary["renders"] >= PRODUCTS


def test_another_shard_goes_by_the_record(tmp_path: Path) -> None:
    project = project_of(tmp_path, shots={"hero": SHOTS["hero"]})
    reports = make(project.plan(), A_SHARD)
    assert [report.rendered for report in reports] == [A_SHARD, A_SHARD, A_SHARD, 0, 0]
    assert reports[-1].reasons == {"line_stopped": 2}


def test_pictures_of_a_stopped_shot_that_are_there_are_finished(tmp_path: Path) -> None:
    project = project_of(tmp_path, shots={"hero": SHOTS["hero"]})
    make(project.plan(), A_SHARD)
    project.campaign["channels"] = [*SQUARE, {"name": "wide", "width": 64, "height": 32, "format": "png"}]
    project.campaign["quality"]["max_attempts"] = 1
    project.write()
    work = project.plan().summary["work"]
    assert work["finish"] == judged(project, "hero") < PRODUCTS
    assert "render" not in work
