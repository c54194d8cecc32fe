"""Checks of a campaign's pictures, from the file to record, run and gallery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalogs.plans.file import PlanFile
from tests.drawn_packshots import drawn_packshot
from tests.flows.commands import Packshot
from tests.flows.projects import Project
from tests.flows.stored_pictures import store_pictures

GOOD = {"colour": (170, 51, 68)}  # what the catalog calls red
FAULTS: dict[str, dict[str, Any]] = {
    "good": GOOD,
    "blue": {"colour": (40, 80, 190)},
    "cut": GOOD | {"box": (-90, 200, 260, 560)},
    "other": GOOD | {"box": (60, 300, 580, 380)},
    "blank": {"blank": True},
}


def drawn(size: tuple[int, int], **rest: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if rest.pop("blank", False):
        return np.full((size[1], size[0], 3), 240, np.uint8)
    return np.asarray(drawn_packshot(size, **({"shadow": 0} | rest)).picture)


def project_of(tmp_path: Path, **campaign: Any) -> Project:
    """A product a fault, whose picture is there as a start leaves it that dies before its commit."""
    project = Project.of(tmp_path, products=len(FAULTS), **({"model": "tiny", "quality": True} | campaign))
    for product, name in zip(project.products, FAULTS, strict=True):
        product["product_id"] = name
    del project.campaign["shots"]["scene"]
    project.campaign["shots"]["hero"] = {
        "size": "640x640",
        "references": ["product.hero"],
        "prompt": {"scene": "{{ product.colors[0] | bind('bag') }}"},
    }
    Image.fromarray(drawn((640, 640), **GOOD)).save(project.folder / "photo.png")
    project.write()
    store_pictures(project, lambda row, _: drawn((640, 640), **FAULTS[row["look"]]))
    return project


def test_each_fault_is_told_by_its_number(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    reports = project.render()
    rows = {row["look"]: row for row in project.view().values() if row["channel"] == "square"}
    verdicts = {look: row["verdict"] for look, row in rows.items()}
    assert verdicts == {look: "accepted" if look == "good" else "needs_review" for look in FAULTS}
    assert {row["status"] for row in rows.values()} == {"delivered"}, "no check rejects a picture"
    details = {look: row["detail"] or "" for look, row in rows.items()}
    assert details["good"] == ""
    for look, check in (("blue", "colours"), ("cut", "cut_off"), ("other", "likeness"), ("blank", "contrast")):
        assert check in details[look], details
    numbers = dict(rows["good"]["quality"])
    assert {"colours", "likeness", "cut_off", "contrast", "coherence", "banding", "sharpness"} <= set(numbers)
    assert "cut_off" not in dict(rows["blank"]["quality"]), "what cannot be told is not told"
    assert reports[0].remarks["to be looked at for colours"] >= 2


def test_limits_are_the_campaigns_and_the_shots_own(tmp_path: Path) -> None:
    quality = {
        "review": {"colours": 1000, "cut_off": False},
        "shots": {"hero": {"review": {"likeness": 0, "contrast": 0}}},
    }
    project = project_of(tmp_path, quality=quality)
    project.render()
    assert {row["verdict"] for row in project.view().values()} == {"accepted"}


def test_without_the_key_nothing_is_measured_and_no_plan_says_of_it(tmp_path: Path) -> None:
    project = project_of(tmp_path, quality=False)
    prepared = project.plan()
    assert "quality" not in json.loads(PlanFile(prepared.store, prepared.plan_key).header.encode()[b"packshot"])
    project.render()
    assert {(row["verdict"], len(row["quality"])) for row in project.view().values()} == {(None, 0)}


def test_a_changed_limit_judges_nothing_anew(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    project.render()
    project.campaign["quality"] = {"review": {"colours": 0}}
    project.write()
    assert not project.plan().has_work


def test_proofs_are_not_checked(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=2, quality=True)
    project.render()
    assert {row["verdict"] for row in project.view().values()} == {None}


@pytest.mark.timeout(120)
def test_the_run_says_what_is_to_be_looked_at(packshot: Packshot, tmp_path: Path) -> None:
    told = packshot("render", project_of(tmp_path).path)
    assert told.code == 0, told.err
    assert "delivered, but to be looked at for likeness" in told.out
