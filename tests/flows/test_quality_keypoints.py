"""The check of keypoints, from the campaign to the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import inference.quality.checks
import tasks.quality
from inference.quality.keypoints import can_find_keypoints
from tests.flows.commands import Packshot
from tests.flows.projects import Project
from tests.flows.stored_pictures import store_pictures
from tests.printed_product import packshot as drawn
from tests.printed_product import printed
from tests.servers import missing

OTHERS = ("colours", "likeness", "cut_off", "contrast", "coherence", "banding")
LIMIT = {"review": dict.fromkeys(OTHERS, False) | {"keypoints": 0.3}}
PICTURES = {"good": printed(), "runs": printed(runs=True)}


def project_of(tmp_path: Path, quality: Any) -> Project:
    """A print that holds and one that runs, whose pictures are there as a start leaves them that dies."""
    project = Project.of(tmp_path, products=len(PICTURES), model="tiny", quality=quality)
    for product, name in zip(project.products, PICTURES, strict=True):
        product["product_id"] = name
    shot = {"size": "640x640", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}
    project.campaign["shots"] = {"hero": shot}
    drawn(printed()).save(project.folder / "photo.png")
    project.write()
    store_pictures(project, lambda row, _: drawn(PICTURES[row["look"]]))
    return project


def rows_of(project: Project) -> dict[str, dict[str, Any]]:
    return {row["look"]: row for row in project.view().values() if row["channel"] == "square"}


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tasks.quality, inference.quality.checks):
        monkeypatch.setattr(module, "can_find_keypoints", lambda: False)


def test_a_print_that_runs_is_to_be_looked_at(tmp_path: Path) -> None:
    if not can_find_keypoints():
        missing("nothing here finds keypoints: pip install 'packshot[keypoints]'")
    project = project_of(tmp_path, LIMIT)
    reports = project.render()
    rows = rows_of(project)
    assert {look: row["verdict"] for look, row in rows.items()} == {"good": "accepted", "runs": "needs_review"}
    assert "keypoints" in rows["runs"]["detail"]
    assert reports[0].remarks["to be looked at for keypoints"] == 2, "the assets of one picture"


def test_where_nothing_finds_them_a_campaign_that_asks_is_refused(
    packshot: Packshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of(tmp_path, True)
    uninstall(monkeypatch)
    project.campaign["quality"] = LIMIT
    project.write()
    told = packshot("render", project.path)
    assert (told.code, len(told.err.strip().splitlines())) == (2, 1)
    assert "pip install 'packshot[keypoints]'" in told.err


def test_others_are_made_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(monkeypatch)
    project = project_of(tmp_path, True)
    reports = project.render()
    assert not any("keypoints" in remark for remark in reports[0].remarks)
    assert not any("keypoints" in dict(row["quality"]) for row in rows_of(project).values())
