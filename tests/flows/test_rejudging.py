"""`render --rejudge`: what is there is judged by today's limits, and nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.commits import Status, Step, pair_of, read_commits
from catalogs.assets.history import History
from catalogs.assets.starts import new_start
from catalogs.plans.restate import commit_again
from tasks.before_render import prepare_render
from tests.flows.commands import Packshot
from tests.flows.projects import SHOTS, SQUARE, Project, make

WIDE = {"name": "wide", "width": 64, "height": 32, "format": "png"}
OTHERS = dict.fromkeys(("colours", "likeness", "cut_off", "contrast", "banding", "lettering"), False)


def checked(limit: float | None, attempts: int = 2) -> dict[str, Any]:
    reject = {} if limit is None else {"coherence": limit}
    review = {**OTHERS, "coherence": False}
    return {"review": review, "reject": reject, "max_attempts": attempts, "stop_line": False}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Eight pictures of noise in two channels, all accepted."""
    chosen = {"model": "tiny", "shots": {"hero": SHOTS["hero"]}, "channels": [*SQUARE, WIDE]}
    made = Project.of(tmp_path, 8, quality=checked(None), **chosen)
    made.render()
    assert {row["verdict"] for row in made.view(masters=True).values()} == {"accepted"}
    return made


def coherence(project: Project) -> dict[str, float]:
    return {row["look"]: dict(row["quality"])["coherence"] for row in project.view().values()}


def verdicts(project: Project) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in project.view(masters=True).values():
        found.setdefault(row["look"], set()).add(row["verdict"])
    return found


def write(project: Project, quality: object) -> None:
    project.campaign["quality"] = quality
    project.write()


def rejudged(project: Project) -> list[str]:
    said: list[str] = []
    prepare_render(project.path, {"rejudge": True}, said.append)
    return said


def commits(project: Project) -> int:
    return sum(table.num_rows for table in read_commits(project.store))


def test_another_limit_judges_what_is_there_where_it_is_asked_to(project: Project) -> None:
    numbers = coherence(project)
    limit = sorted(numbers.values())[4]
    write(project, checked(limit))
    assert not project.plan().has_work, "by itself it judges nothing anew"

    said = rejudged(project)
    assert said == ["8 pictures are judged anew", "4 pictures have another verdict: 4 rejected"]
    found = verdicts(project)
    assert found == {look: {"rejected" if number < limit else "accepted"} for look, number in numbers.items()}
    rejected = [row for row in project.view().values() if row["verdict"] == "rejected"]
    assert all(row["detail"].startswith("rejected: coherence ") and row["judged_by"] is None for row in rejected)
    before = commits(project)
    assert rejudged(project)[1] == "0 pictures have another verdict"
    assert commits(project) == before, "what stands is not said again"

    assert project.plan().summary["renders"] == 4
    project.render()
    assert {row["take"] for row in project.view().values()} == {0, 1}
    left = sum("rejected" in each for each in verdicts(project).values())
    write(project, checked(0.0))
    assert rejudged(project)[1] == f"{left} pictures have another verdict: {left} accepted"
    assert set().union(*verdicts(project).values()) == {"accepted"}
    assert not project.plan().has_work
    assert all(not row["detail"] for row in project.view().values()), "what was said of them is said no more"


def test_without_masters_the_numbers_of_the_record_are_held_against_the_limits(project: Project) -> None:
    shutil.rmtree(project.folder / "output" / "renders")
    limit = sorted(coherence(project).values())[2]
    write(project, checked(limit, attempts=1))
    assert rejudged(project)[1] == "2 pictures have another verdict: 2 rejected"


def test_what_is_gone_is_made_again_under_the_new_limit(project: Project) -> None:
    limit = sorted(coherence(project).values())[-1] + 1e-6
    write(project, checked(limit, attempts=1))
    assert rejudged(project)[1] == "8 pictures have another verdict: 8 rejected"
    row = project.view()["render", "p002", "hero", "square", 0]
    for key in (row["asset_key"], row["render_key"]):
        (project.folder / "output" / key).unlink()
    write(project, checked(0.0, attempts=1))
    assert rejudged(project)[-1] == "8 pictures have another verdict: 8 accepted"
    assert set().union(*verdicts(project).values()) == {"accepted"}
    project.render()
    assert project.view()["render", "p002", "hero", "square", 0]["status"] == "delivered"
    assert set().union(*verdicts(project).values()) == {"accepted"}


@pytest.mark.parametrize("other", [("--only", "p001"), ("--limit", "2"), ("--plan", "plan.parquet")])
def test_it_is_of_all_that_is_there(packshot: Packshot, project: Project, other: tuple[str, str]) -> None:
    before = commits(project)
    told = packshot("render", project.path, "--rejudge", *other)
    assert (told.code, "judges all that is there" in told.err) == (2, True)
    assert commits(project) == before


def test_a_refused_one_resumes_no_shot(packshot: Packshot, project: Project) -> None:
    told = packshot("render", project.path, "--rejudge", "--resume-shot", "hero", "--limit", "2")
    assert (told.code, "judges all that is there" in told.err) == (2, True)
    assert not project.store.list("lines")


def test_what_was_never_measured_is_measured(project: Project) -> None:
    numbers = coherence(project)
    write(project, False)
    project.products.append({**project.products[0], "product_id": "p900", "product_group": "g900", "title": "Other"})
    project.write()
    project.render()
    assert verdicts(project)["p900"] == {None}
    write(project, checked(0.0))
    assert rejudged(project)[0] == "9 pictures are judged anew"
    assert coherence(project).items() > numbers.items()
    assert verdicts(project)["p900"] == {"accepted"}

    shutil.rmtree(project.folder / "output" / "renders")
    write(project, False)
    project.products.append({**project.products[0], "product_id": "p901", "product_group": "g901", "title": "Third"})
    project.write()
    make(project.plan())
    shutil.rmtree(project.folder / "output" / "renders")
    write(project, checked(0.0))
    assert "1 have neither numbers nor a master" in rejudged(project)[1]


def test_what_a_person_said_stays(project: Project) -> None:
    rows = [row for row in project.view(masters=True).values() if row["look"] == "p003"]
    said: dict[Any, Any] = {pair_of(row): {"judged_by": "person"} for row in rows}
    run_id = new_start(project.store, History.read(project.store, "spring").latest)
    commit_again(project.store, "spring", run_id, Step.VERIFY, Status.DELIVERED, said)
    write(project, checked(1.0))
    assert rejudged(project)[0] == "7 pictures are judged anew"
    assert verdicts(project)["p003"] == {"accepted"}


def test_a_campaign_without_checks_is_refused(packshot: Packshot, project: Project) -> None:
    write(project, False)
    before = commits(project)
    told = packshot("render", project.path, "--rejudge")
    assert told.code == 2
    assert told.err.strip().endswith("write `quality: on` into the campaign, or leave the option out")
    assert commits(project) == before
