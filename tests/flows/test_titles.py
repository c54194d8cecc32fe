"""Titles where a plan, a status and the sheet of a run speak of products, and proofs that are drawn anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from catalogs.assets.history import read_current
from catalogs.inputs.reject_file import read_rejects
from flows.artifacts import contact_sheet
from inference.models import lookup
from inference.proofs.engine import PROOF_CHANGES, PROOF_REVISION
from tasks.gallery import make_gallery
from tests.flows.commands import run
from tests.flows.projects import SQUARE, Project, make, plan_rows

HERO = {"hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}}
MARKED = "Tasche | <b>fett</b> [x](y)"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Four products with titles; the photo of the third is gone, that of the fourth is no photo."""
    project = Project.of(tmp_path, 4, shots=HERO, channels=SQUARE)
    for product, title in zip(project.products, ("Rucksack für Überflieger", "東京 🎒", "Été", MARKED), strict=True):
        product["title"] = title
    project.products[2]["reference_images"] = [{"uri": "gone.png", "role": "hero"}]
    project.write()
    return project


def revise(monkeypatch: pytest.MonkeyPatch, revision: str) -> None:
    """Let proofs be of another revision."""
    known = {**lookup.MODELS, "proof": replace(lookup.MODELS["proof"], revision=revision)}
    monkeypatch.setattr(lookup, "MODELS", known)


def test_status_names_what_was_left_out_and_what_failed(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = project.plan()
    [reject] = read_rejects(project.folder / "output" / prepared.summary["rejects_key"])
    assert (reject.product_id, reject.title) == ("p002", "Été")
    (project.folder / "photo.png").write_bytes(b"no photo")
    make(prepared)
    capsys.readouterr()
    assert run(monkeypatch, "status", project.path) == 0
    said = capsys.readouterr().out
    assert "Rucksack für Überflieger (p000), hero for square: " in said
    assert "東京 🎒 (p001), hero for square: " in said
    assert "Été (p002)" in said
    assert run(monkeypatch, "status", project.path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {failure["title"] for failure in found["failures"]} >= {"Rucksack für Überflieger", "東京 🎒"}
    assert [left["title"] for left in found["left_out"]] == ["Été"]


def test_the_sheet_and_the_gallery_show_titles(project: Project) -> None:
    project.render()
    rows = read_current(project.store, "spring").to_pylist()
    run_id = rows[0]["run_id"]
    page = make_gallery(project.store, "spring", run_id)
    sheet = contact_sheet(project.store, rows)
    assert "Rucksack für Überflieger \\(p000\\) hero square" in sheet
    assert "<b>" not in sheet
    assert "\n" not in sheet.split("fett")[0].rsplit("|", 1)[-1]
    data = (Path(page).parent / "data-0001.js").read_text()
    assert json.dumps("Rucksack für Überflieger") in data
    assert "<" not in data
    left_out = (Path(page).parent / "left-out.js").read_text()
    assert json.dumps("Été") in left_out
    assert "reference_missing" in left_out


def test_a_gallery_takes_the_titles_of_today(project: Project) -> None:
    project.render()
    project.products[0]["title"] = "Ein neuer Name"
    project.campaign["shots"]["hero"]["prompt"] = {"scene": "a bag"}
    project.write()
    prepared = project.plan()
    page = make_gallery(project.store, "spring", prepared.summary["run_id"])
    data = (Path(page).parent / "data-0001.js").read_text()
    assert "Ein neuer Name" in data
    assert "berflieger" not in data


@pytest.mark.parametrize(("count", "line"), [(1, "a proof is"), (3, "3 proofs are")])
def test_proofs_of_an_older_drawing_are_told_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, line: str
) -> None:
    project = Project.of(tmp_path, count, shots=HERO, channels=SQUARE)
    with monkeypatch.context() as before:
        revise(before, "1")
        project.render()
        assert not told(project)
    [said] = told(project)
    assert said == f"{line} drawn anew, because proofs are drawn otherwise by this version: {PROOF_CHANGES}"
    assert [row["action"] for row in plan_rows(project.plan())] == ["changed"] * count
    project.render()
    assert told(project) == []
    assert {row["model_revision"] for row in project.view().values()} == {PROOF_REVISION}


def test_another_prompt_or_a_new_product_is_no_older_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.of(tmp_path, 3, shots=HERO, channels=SQUARE)
    with monkeypatch.context() as before:
        revise(before, "1")
        project.render(limit=2)
    project.render(only=["p000"])
    project.products[0]["title"] = "Another"
    project.write()
    [said] = told(project)
    assert said.startswith("a proof is drawn anew"), "p000 has another prompt, p001 is of before, p002 is new"


def told(project: Project) -> list[str]:
    return [line for line in project.plan().summary["warnings"] if "drawn anew" in line]
