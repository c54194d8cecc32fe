"""The check by a likeness model, from the campaign's file to the record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tasks.likeness_model
from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import CampaignError, ModelError, OptionError
from inference.models.weights import weights_hash
from inference.quality.embedder import Embedder
from tests.flows.commands import Packshot
from tests.flows.projects import Project, make, plan_rows
from tests.flows.test_quality import FAULTS, project_of
from tests.vision_folders import change_config, prepare, vision_folder

OTHERS = ("colours", "likeness", "cut_off", "contrast", "coherence", "banding")
LIMITS = {"review": dict.fromkeys(OTHERS, False)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vision_folder(tmp_path_factory.mktemp("vision") / "model", "siglip_vision_model")


@pytest.fixture(autouse=True)
def embedders(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Embedder]]:
    """Those that a test starts; they end with it."""
    made: dict[str, Embedder] = {}
    monkeypatch.setattr(tasks.likeness_model, "embedder", lambda folder: made.setdefault(folder, Embedder(folder)))
    yield made
    for one in made.values():
        one.close()


def checks(model: Path | str, **review: Any) -> dict[str, Any]:
    return {"likeness_model": str(model), "review": LIMITS["review"] | review}


def rows_of(project: Project) -> dict[str, dict[str, Any]]:
    return {row["look"]: row for row in project.view().values() if row["channel"] == "square"}


def test_other_products_are_less_like_the_photo_than_its_own(
    model: Path, embedders: dict[str, Embedder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        Embedder, "_ask", lambda self, values, ask=Embedder._ask: (asked.append(1), ask(self, values))[1]
    )
    project = project_of(tmp_path, quality=checks(model))
    project.render()
    rows = rows_of(project)
    alike = {look: dict(row["quality"])["embedding"] for look, row in rows.items()}
    assert alike["good"] == pytest.approx(1, abs=1e-9)
    assert max(alike[look] for look in ("blue", "other", "blank")) < alike["good"] - 1e-4
    assert all(-1 <= one <= 1 for one in alike.values())
    assert {row["verdict"] for row in rows.values()} == {"accepted"}, "no limit is set by itself"
    said = {dict(row["versions"])["likeness_model"] for row in rows.values()}
    assert said == {weights_hash(model)}
    assert len(asked) == len(FAULTS) + 1, "a photo is embedded once"
    assert list(embedders) == [str(model)]


def test_a_limit_asks_for_a_look(model: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, quality=checks(model, embedding=0.99999999))
    reports = project.render()
    rows = rows_of(project)
    assert {look: row["verdict"] for look, row in rows.items()} == {
        look: "accepted" if look == "good" else "needs_review" for look in FAULTS
    }
    assert "embedding" in rows["blue"]["detail"]
    assert "(under 1)" in rows["blue"]["detail"]
    assert reports[0].remarks["to be looked at for embedding"] == 2 * (len(FAULTS) - 1)


def test_a_limit_rejects(model: Path, tmp_path: Path) -> None:
    quality = checks(model) | {"reject": {"embedding": 0.99999999}, "max_attempts": 1}
    project = project_of(tmp_path, quality=quality)
    project.render()
    assert {look: row["verdict"] for look, row in rows_of(project).items()} == {
        look: "accepted" if look == "good" else "rejected" for look in FAULTS
    }


def test_pictures_of_the_engine_are_embedded(model: Path, tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=2, model="tiny", quality=checks(model))
    project.render()
    rows = list(project.view().values())
    heroes = [row for row in rows if row["shot"] == "hero"]
    assert {row["status"] for row in rows} == {"delivered"}
    assert all("embedding" in dict(row["quality"]) for row in heroes)
    assert all("likeness_model" in dict(row["versions"]) for row in heroes)
    for row in rows:
        if row["shot"] == "scene":  # it is shown no photo
            assert "embedding" not in dict(row["quality"])
            assert "likeness_model" not in dict(row["versions"])


def test_it_is_in_no_fingerprint(model: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, quality=True)
    before = [row["fingerprint"] for row in plan_rows(project.plan())]
    project.campaign["quality"] = checks(model, embedding=0.9)
    project.write()
    assert [row["fingerprint"] for row in plan_rows(project.plan())] == before
    project.render()
    project.campaign["quality"] = True
    project.write()
    assert not project.plan().has_work


def test_a_model_that_fails_in_a_run_asks_for_a_look(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "gone"))
    project = project_of(tmp_path, quality=checks(folder))
    prepared = project.plan()
    shutil.rmtree(folder)
    make(prepared)
    rows = rows_of(project)
    assert {(row["status"], row["verdict"]) for row in rows.values()} == {("delivered", "needs_review")}
    assert all(f"there is no folder {folder}" in row["detail"] for row in rows.values())
    assert all("likeness" in dict(row["quality"]) for look, row in rows.items() if look != "blank")
    assert all("likeness_model" not in dict(row["versions"]) for row in rows.values())


def test_weights_that_do_not_load_ask_for_a_look(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "wrong"))
    change_config(folder, hidden_size=48)
    project = project_of(tmp_path, quality=checks(folder))
    project.render()
    rows = rows_of(project)
    assert {(row["status"], row["verdict"]) for row in rows.values()} == {("delivered", "needs_review")}
    assert all("the likeness model cannot be loaded" in row["detail"] for row in rows.values())


def test_a_folder_is_relative_to_the_campaign(tmp_path: Path) -> None:
    project = Project.of(tmp_path, quality={"likeness_model": "models/dino"})
    quality = load_campaign(project.path).quality
    assert quality is not None
    assert quality.likeness_model == str((tmp_path / "models/dino").resolve())


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        ({"likeness_model": "s3://bucket/model"}, "is no folder of this machine"),
        ({"likeness_model": ""}, "quality.likeness_model"),
        ({"likeness_model": True}, "quality.likeness_model"),
        ({"review": {"embedding": 0.5}}, "is missing, and a limit is set"),
        ({"shots": {"hero": {"reject": {"embedding": 0.5}}}}, "is missing, and a limit is set"),
        ({"likeness_model": "m", "review": {"embedding": 2}}, "quality.review.embedding"),
    ],
)
def test_a_key_that_cannot_be_meant(quality: dict[str, Any], said: str, tmp_path: Path) -> None:
    project = Project.of(tmp_path, quality=quality)
    with pytest.raises(CampaignError) as raised:
        load_campaign(project.path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_size_that_the_model_does_not_take_is_said_before_a_run(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    change_config(folder, image_size=224)
    with pytest.raises(ModelError, match=r"makes pictures of 56x56, and its config\.json wants 224x224"):
        project_of(tmp_path, quality=checks(folder))
    prepare(folder, {"size": 10**9, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]})
    with pytest.raises(ModelError, match="is no number of pixels"):
        project_of(tmp_path, quality=checks(folder))


def test_without_the_libraries_the_campaign_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.likeness_model, "can_load", lambda: False)
    with pytest.raises(OptionError, match=r"pip install 'packshot\[diffusers\]'"):
        project_of(tmp_path, quality=checks(model))


def test_proofs_need_no_model(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=2, quality={"likeness_model": "nowhere"})
    project.render()
    assert {row["verdict"] for row in project.view().values()} == {None}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", ["plan", "render"])
def test_a_folder_that_is_missing_costs_one_line_and_nothing_else(
    packshot: Packshot, command: str, tmp_path: Path
) -> None:
    project = Project.of(tmp_path, products=2, model="tiny", quality={"likeness_model": "models/dino"})
    told = packshot(command, project.path)
    assert told.code == 2
    assert "quality.likeness_model" in told.err
    assert "there is no folder" in told.err
    assert len(told.err.strip().splitlines()) == 1, told.err
    assert not (tmp_path / "output").exists() or not [
        path for path in (tmp_path / "output").rglob("*") if path.is_file()
    ]
