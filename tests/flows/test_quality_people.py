"""Whether pictures show a person, from the campaign's file to the record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tasks.person_model
from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import CampaignError, ModelError, OptionError
from catalogs.plans.file import PlanFile
from inference.models.weights import weights_hash
from inference.quality.detector import Detector
from tests.detector_folders import PREPARES, detector_folder
from tests.flows.commands import Packshot
from tests.flows.projects import Project, make, plan_rows
from tests.vision_folders import change_config, prepare

REVIEW = dict.fromkeys(("colours", "likeness", "cut_off", "contrast", "coherence", "banding"), False)
UNSURE = 1.0  # of its class head: scores of pictures lie on both sides of their middle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector_folder(tmp_path_factory.mktemp("people") / "model", bias=UNSURE)


@pytest.fixture(autouse=True)
def detectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Detector]]:
    """Those that a test starts; they end with it."""
    made: dict[str, Detector] = {}
    monkeypatch.setattr(
        tasks.person_model, "detector", lambda folder, number: made.setdefault(folder, Detector(folder, number))
    )
    yield made
    for one in made.values():
        one.close()


def project_of(folder: Path, model: Path | str | None, products: int = 3, **quality: Any) -> Project:
    named = {} if model is None else {"person_model": str(model)}
    return Project.of(folder, products, model="tiny", quality={"review": REVIEW, **named, **quality})


def rows_of(project: Project) -> dict[tuple[Any, ...], dict[str, Any]]:
    """All of them, masters with rows of their own too."""
    return project.view(masters=True)


def scores_of(rows: Any) -> dict[tuple[str, str], float]:
    return {(row["look"], row["shot"]): dict(row["quality"])["person"] for row in rows}


def test_rows_say_yes_no_and_nothing(model: Path, tmp_path: Path, detectors: dict[str, Detector]) -> None:
    probe = project_of(tmp_path / "probe", model)
    probe.render()
    known = sorted(scores_of(rows_of(probe).values()).values())
    middle = (known[0] + known[-1]) / 2
    assert known[0] < middle < known[-1], "the model tells pictures apart"

    project = project_of(tmp_path / "campaign", model, person_from=middle)
    project.render()
    rows = rows_of(project)
    scores = scores_of(rows.values())
    for row in rows.values():
        assert row["has_person"] is (scores[row["look"], row["shot"]] >= middle)
        assert dict(row["versions"])["person_model"] == weights_hash(model)
        assert row["verdict"] == "accepted", "it is no check"
    assert {row["has_person"] for row in rows.values()} == {True, False}
    by_render = {(row["render_fingerprint"], row["has_person"]) for row in rows.values()}
    assert len(by_render) == len(scores), "every row of a render says the same"
    assert {row["channel"] for row in rows.values()} >= {"square", "wide"}
    assert any(row["channel"].startswith("master") for row in rows.values()), "and a master"
    assert list(detectors) == [str(model)]

    project.campaign["quality"] = {"review": REVIEW}
    project.products.append(project.products[0] | {"product_id": "later", "title": "Later"})
    project.write()
    project.render()
    after = rows_of(project)
    assert {key: row["has_person"] for key, row in after.items() if key in rows} == {
        key: row["has_person"] for key, row in rows.items()
    }
    later = [row for key, row in after.items() if key not in rows]
    assert later
    assert {row["has_person"] for row in later} == {None}
    assert all("person" not in dict(row["quality"]) for row in later)


@pytest.mark.parametrize(("kind", "bias", "shows"), [("rt_detr", -9, False), ("yolos", -9, False), ("yolos", 9, True)])
def test_the_whole_picture_is_looked_at_at_a_half_by_default(
    kind: str, bias: float, shows: bool, tmp_path: Path
) -> None:
    project = project_of(tmp_path, detector_folder(tmp_path / "model", kind, bias), products=1)
    project.render()
    rows = rows_of(project).values()
    assert {row["has_person"] for row in rows} == {shows}
    assert all((score >= 0.5) is shows for score in scores_of(rows).values())


def test_rows_that_are_said_again_keep_it(model: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, model, products=1, person_from=0.0001)
    project.campaign["look_by"] = ["product_group", "colors"]
    project.write()
    project.render()
    project.products.append(project.products[0] | {"product_id": "p000-xl"})
    project.write()
    project.render()
    again = [row for row in project.view().values() if row["covers"] == ["p000", "p000-xl"]]
    assert again
    assert {row["has_person"] for row in again} == {True}


def test_a_channel_that_comes_later_is_looked_at_and_its_verdict_stays(model: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, None, products=1)
    project.campaign["finishing"] = {"masters": "keep"}
    project.write()
    project.render()
    assert {row["has_person"] for row in rows_of(project).values()} == {None}
    project.campaign["quality"] = {"review": REVIEW | {"contrast": 255}, "person_model": str(model)}
    project.campaign["channels"].append({"name": "tall", "width": 32, "height": 64, "format": "jpeg"})
    project.write()
    project.render()
    rows = rows_of(project).values()
    assert {row["has_person"] is None for row in rows if row["channel"] == "tall"} == {False}
    assert {row["verdict"] for row in rows} == {"accepted"}, "a picture is judged once"


def test_it_is_in_no_fingerprint_no_score_and_begins_no_line(model: Path, tmp_path: Path) -> None:
    rejecting = {"reject": {"contrast": 0.001}}
    plain = project_of(tmp_path / "plain", None, products=1, **rejecting)
    named = project_of(tmp_path / "named", model, products=1, **rejecting)
    plans = [PlanFile(made.store, made.plan_key).header for made in (plain.plan(), named.plan())]
    assert plans[0].lines
    assert plans[0].lines == plans[1].lines
    assert "person_model" not in plans[0].quality
    for project in (plain, named):
        project.render()
    rows = [rows_of(project) for project in (plain, named)]
    told = ("fingerprint", "render_fingerprint", "asset_key", "verdict", "score", "line", "detail")
    for key, row in rows[0].items():
        assert {name: row[name] for name in told} == {name: rows[1][key][name] for name in told}
        assert set(dict(rows[1][key]["quality"])) - set(dict(row["quality"])) == {"person"}
        assert (row["has_person"], "person_model" in dict(row["versions"])) == (None, False)
    fingerprints = [[row["fingerprint"] for row in plan_rows(project.plan())] for project in (plain, named)]
    assert fingerprints[0] == fingerprints[1]


def test_a_model_that_fails_in_a_run_says_nothing_and_asks_for_a_look(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "gone"))
    project = project_of(tmp_path, folder, products=1)
    prepared = project.plan()
    shutil.rmtree(folder)
    report = make(prepared)[0]
    rows = rows_of(project).values()
    assert {(row["status"], row["verdict"], row["has_person"]) for row in rows} == {("delivered", "needs_review", None)}
    assert all(f"there is no folder {folder}" in row["detail"] for row in rows)
    assert all("person" not in dict(row["quality"]) for row in rows)
    assert all("person_model" not in dict(row["versions"]) for row in rows)
    assert report.remarks["to be looked at, since checks failed"] > 0


def test_weights_that_do_not_load_say_nothing_and_ask_for_a_look(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "wrong"))
    change_config(folder, d_model=24)
    project = project_of(tmp_path, folder, products=1)
    project.render()
    rows = rows_of(project).values()
    assert {(row["verdict"], row["has_person"]) for row in rows} == {("needs_review", None)}
    assert all("the person model cannot be loaded" in row["detail"] for row in rows)


def test_proofs_need_no_model(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=1, quality={"person_model": "nowhere"})
    project.render()
    assert {row["has_person"] for row in project.view().values()} == {None}


def test_a_folder_is_relative_to_the_campaign_and_the_other_model_keeps_its_own(tmp_path: Path) -> None:
    project = Project.of(tmp_path, quality={"person_model": "models/detr", "likeness_model": "models/dino"})
    quality = load_campaign(project.path).quality
    assert quality is not None
    assert quality.person_model == str((tmp_path / "models/detr").resolve())
    assert quality.likeness_model == str((tmp_path / "models/dino").resolve())
    assert "person_model" not in load_campaign(Project.of(tmp_path, quality=True).path).quality.said()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        (
            {"person_model": "s3://bucket/model"},
            "quality.person_model: 's3://bucket/model' is no folder of this machine",
        ),
        ({"person_model": ""}, "quality.person_model"),
        ({"person_model": True}, "quality.person_model"),
        ({"person_model": "m", "person_from": 0}, "quality.person_from"),
        ({"person_model": "m", "person_from": 1.01}, "quality.person_from"),
        ({"person_model": "m", "person_from": "sure"}, "quality.person_from"),
        ({"person_from": 0.4}, "is missing, and `person_from` is set"),
    ],
)
def test_a_key_that_cannot_be_meant(quality: dict[str, Any], said: str, tmp_path: Path) -> None:
    project = Project.of(tmp_path, quality=quality)
    with pytest.raises(CampaignError) as raised:
        load_campaign(project.path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_cannot_be_prepared_is_said_before_a_run(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    prepare(folder, PREPARES["rt_detr"] | {"size": {"height": 10**9, "width": 64}})
    with pytest.raises(ModelError, match=r"preprocessor_config\.json: its size 1000000000 is no number of pixels"):
        project_of(tmp_path, folder).plan()


def test_without_the_libraries_the_campaign_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.person_model, "can_load", lambda: False)
    with pytest.raises(OptionError, match=r"pip install 'packshot\[diffusers\]'"):
        project_of(tmp_path, model).plan()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", ["plan", "render"])
def test_a_model_without_people_costs_one_line_and_nothing_else(
    packshot: Packshot, command: str, model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    change_config(folder, id2label={"0": "cat"})
    told = packshot(command, project_of(tmp_path, folder, products=1).path)
    assert told.code == 2
    assert "quality.person_model" in told.err
    assert "has no class person" in told.err
    assert len(told.err.strip().splitlines()) == 1, told.err
    assert not [path for path in (tmp_path / "output").rglob("*") if path.is_file()]
