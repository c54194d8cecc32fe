"""`packshot outliers`, from measured pictures to another take of what stands apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from tasks.gallery import make_gallery
from tests.catalogs.gallery.test_gallery import data_of
from tests.drawn_packshots import drawn_packshot
from tests.flows.commands import Packshot
from tests.flows.projects import SQUARE, Project
from tests.flows.stored_pictures import store_pictures

SIDE = 256
WIDE: list[Any] = [{"name": "wide", "width": 64, "height": 32, "format": "png"}]
HERO = {"size": f"{SIDE}x{SIDE}", "prompt": {"scene": "{{ product.title }}"}}


def project_of(folder: Path, products: int = 10, **campaign: Any) -> Project:
    """Pictures as a start leaves them that dies before its commit: that of the last product is small and far off."""
    chosen = {"model": "tiny", "quality": True, "shots": {"hero": HERO}, "channels": [*SQUARE, *WIDE], **campaign}
    project = Project.of(folder, products, **chosen)
    for product in project.products:
        product["brand_id"] = "acme"
    project.write()
    store_pictures(project, lambda row, _: _drawn(int(row["look"][1:]), products))
    project.render()
    return project


def _drawn(number: int, products: int) -> Image.Image:
    edge = 90 if number == products - 1 else 40 + number % 3
    return drawn_packshot((SIDE, SIDE), box=(edge, edge, SIDE - edge, SIDE - edge), shadow=0).picture


def test_what_stands_apart_is_listed_and_taken_again(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path)
    told = packshot("outliers", project.path)
    assert told.code == 0, told.err
    assert "acme, hero for square: 1 of 10 apart" in told.out
    assert "Mug 9 (p009): scale 0.305 (the set: 0.688)" in told.out
    assert "1 picture stands apart from its set, of 2 sets" in told.out
    assert not project.plan().has_work, "to look changes nothing"

    make_gallery(project.store, "spring", "r1")
    shown = data_of(project.store, "data-0001")
    marks, looks = (shown["coded"]["in_set"], shown["look"])
    apart = [place for place, code in enumerate(marks["codes"]) if marks["values"][code] == "apart"]
    assert [looks["values"][looks["codes"][place]][1] for place in apart] == ["p009", "p009"]
    said = data_of(project.store, "details-0001")
    assert [said[place]["why_apart"].startswith("scale 0.305") for place in apart] == [True, True]
    assert sum(row["why_apart"] is not None for row in said) == 2

    again = packshot("outliers", project.path, "--retake", "--json").answer
    assert (again["apart"], again["rejected"]) == (1, 2)
    rejected = [row for row in project.view().values() if row["verdict"] == "rejected"]
    assert {(row["look"], row["judged_by"], row["status"]) for row in rejected} == {("p009", "person", "delivered")}
    assert "apart from its set: scale 0.305" in rejected[0]["detail"]
    assert "2 assets are rejected: look at them" in packshot("status", project.path).out
    assert packshot("outliers", project.path, "--json").answer["apart"] == 0, "what is rejected is in no set"

    assert project.plan().summary["renders"] == 1
    project.render()
    taken = {row["channel"]: row for row in project.view().values() if row["look"] == "p009"}
    assert {(row["take"], row["judged_by"]) for row in taken.values()} == {(1, None)}
    assert not project.plan().has_work


def test_what_cannot_be_judged_is_said(packshot: Packshot, tmp_path: Path) -> None:
    told = packshot("outliers", project_of(tmp_path / "small", products=3).path)
    assert "2 sets have too few pictures to tell" in told.out
    told = packshot("outliers", project_of(tmp_path / "off", products=9, quality=False).path)
    assert "18 assets have no numbers" in told.out
    empty = Project.of(tmp_path / "empty")
    assert packshot("outliers", empty.path).code == 0
    assert packshot("outliers", str(tmp_path / "none.yaml")).code == 2


def test_variations_that_are_the_same_are_told(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path, products=2, variations=3, channels=SQUARE)
    told = packshot("outliers", project.path)
    assert "pictures that are nearly the same as another variation:" in told.out
    assert "Mug 0 (p000): variation 2 is nearly the same as 0" in told.out
    again = packshot("outliers", project.path, "--retake", "--json").answer
    assert (len(again["alike"]), again["rejected"]) == (4, 4), "the first of each stays"
    assert project.plan().summary["renders"] == 4
