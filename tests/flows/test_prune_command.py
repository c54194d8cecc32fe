"""`packshot prune` as a command: what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.commands import Packshot
from tests.flows.projects import Project
from tests.flows.pruned import USUAL, Later, files, remade

EMPTY = {"count": 0, "bytes": 0, "deleted": 0, "keys": []}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return remade(Project.of(tmp_path / "spring", products=2))


def say(project: Project, retention: Any) -> None:
    project.campaign["retention"] = retention
    project.write()


def test_without_times_nothing_is_deleted_and_one_line_says_what_to_write(
    packshot: Packshot, project: Project, later: Later
) -> None:
    later(400)
    before = files(project)
    said = packshot("prune", project.path, "--delete")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"error: {project.path}: retention: is missing, and nothing is deleted that no file allows; add `retention: "
        "{plans: 30d, superseded: 90d, withdrawn: 7d, masters: keep}` with times of yours, or take these with "
        "--usual-times\n"
    )
    assert files(project) == before
    said = packshot("prune", project.path, "--usual-times")
    assert said.code == 0
    assert said.out.count(" superseded ") == 5
    assert files(project) == before
    assert "superseded  4 deleted" not in said.out


def test_it_lists_first_and_deletes_when_told_to(packshot: Packshot, project: Project, later: Later) -> None:
    say(project, {"superseded": "90d"})
    later(91)
    before = files(project)
    said = packshot("prune", project.path)
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert all(" superseded assets/spring/acme/p000/" in line for line in lines[:4])
    listed = sum(int(line.split()[0]) for line in lines[:4])
    assert lines[4:] == [
        f"spring (proof) in {project.store.root}",
        "  plans       kept",
        f"  superseded  4, {listed} bytes, older than 90d",
        "  withdrawn   kept",
        "  masters     kept",
        "  --delete removes them",
    ]
    assert files(project) == before
    answer = packshot("prune", project.path, "--json").answer
    [told] = answer["campaigns"]
    keys = told["kinds"]["superseded"].pop("keys")
    assert told["kinds"] == {
        "plans": {"kept": "keep", **EMPTY},
        "superseded": {"kept": "90d", "count": 4, "bytes": listed, "deleted": 0},
        "withdrawn": {"kept": "keep", **EMPTY},
        "masters": {"kept": "keep", **EMPTY},
    }
    said = packshot("prune", project.path, "--delete")
    assert f"  superseded  4, {listed} bytes, older than 90d; 4 deleted\n" in said.out
    assert before - files(project) == set(keys)
    assert "  superseded  0, 0 bytes, older than 90d\n" in packshot("prune", project.path).out


def test_a_folder_takes_every_campaign_in_it(
    packshot: Packshot, tmp_path: Path, project: Project, later: Later
) -> None:
    say(project, {"superseded": "90d"})
    autumn = remade(Project.of(tmp_path / "autumn", products=2, name="autumn", output="../spring/output"))
    say(autumn, {"superseded": "300d", "plans": "1h"})
    winter = remade(Project.of(tmp_path / "winter", products=2, name="winter"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "campaign.yaml").write_text("name: [")
    later(91)
    said = packshot("prune", str(tmp_path), "--delete", "--json")
    assert said.code == 2
    told = {one["campaign"]: {k: v["deleted"] for k, v in one["kinds"].items()} for one in said.answer["campaigns"]}
    assert told == {
        "spring": {"plans": 0, "superseded": 4, "withdrawn": 0, "masters": 0},
        "autumn": {"plans": 1, "superseded": 0, "withdrawn": 0, "masters": 0},
    }
    assert said.answer["silent"] == [winter.path]
    assert [line.split(": ")[0] for line in said.answer["problems"]] == [str(tmp_path / "broken" / "campaign.yaml")]
    assert said.err.count("\n") == 1
    (tmp_path / "broken" / "campaign.yaml").unlink()
    said = packshot("prune", str(tmp_path), "--delete")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith(f"{winter.path} has no `retention:`, and all of it stays\n")
    said = packshot("prune", str(tmp_path / "winter"), "--delete")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {tmp_path / 'winter'}: retention: no campaign says it")
    said = packshot("prune", str(tmp_path), "--usual-times", "--delete")
    assert (said.code, said.err) == (0, "")
    assert "winter (proof)" in said.out


def test_what_two_campaigns_share_is_counted_once(
    packshot: Packshot, tmp_path: Path, project: Project, later: Later
) -> None:
    """Renders are told by what was asked, and not by whom."""
    say(project, {"masters": "30d"})
    autumn = remade(Project.of(tmp_path / "autumn", products=2, name="autumn", output="../spring/output"))
    say(autumn, {"masters": "30d"})
    later(31)
    said = packshot("prune", str(tmp_path), "--delete", "--json")
    assert [one["kinds"]["masters"]["deleted"] for one in said.answer["campaigns"]] == [2, 0]
    assert [one["kinds"]["masters"]["count"] for one in said.answer["campaigns"]] == [2, 0]


@pytest.mark.parametrize(
    ("retention", "problem"),
    [
        ({"plans": "30"}, "retention.plans: write days or hours, for example 30d or 12h, or keep (found '30')"),
        ({"withdrawn": "12h"}, "retention.withdrawn: is too short, use 1d or more, or keep (found 12h)"),
        ({"plan": "30d"}, "retention.plan: unknown key 'plan'; did you mean 'plans'?"),
        ("30d", "retention: must be a section of keys (found 30d); write its keys below it: plans: ..., "),
    ],
)
def test_a_bad_time_is_told_in_one_line(packshot: Packshot, project: Project, retention: Any, problem: str) -> None:
    say(project, retention)
    said = packshot("prune", project.path, "--delete")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {project.path}: {problem}")
    assert said.err.count("\n") == 1


def test_an_unread_commit_refuses_and_names_the_campaign(packshot: Packshot, project: Project, later: Later) -> None:
    say(project, USUAL)
    later(400)
    project.store.write("catalog/20200101T000000.000000Z-abcdef/bad.parquet", b"")
    before = files(project)
    for target in (project.path, str(project.folder)):
        said = packshot("prune", target, "--delete")
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert f"`packshot verify {project.path} --quarantine`" in said.err
    assert files(project) == before


def test_an_output_that_is_not_there_holds_nothing(packshot: Packshot, tmp_path: Path) -> None:
    project = Project.of(tmp_path, retention=USUAL)
    said = packshot("prune", project.path, "--delete")
    assert (said.code, said.err) == (0, "")
    assert "  plans       0, 0 bytes, older than 30d; 0 deleted\n" in said.out
    assert not (tmp_path / "output").exists()
    said = packshot("prune", str(tmp_path / "nowhere"))
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_times_change_no_fingerprint(project: Project) -> None:
    say(project, USUAL)
    assert project.plan().summary["actions"] == {"unchanged": 8}
