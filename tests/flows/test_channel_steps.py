"""What channels ask of a picture beyond its size, from the campaign file to the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from catalogs.columns import Row
from inference.quality.background import Ground, measure_ground
from inference.quality.placement import place, product_of
from inference.quality.subject import Subject, find_subject
from tests.drawn_packshots import drawn_packshot, drawn_scene
from tests.flows.commands import Packshot
from tests.flows.projects import Project, make
from tests.flows.stored_pictures import store_pictures

WHITE = {"name": "white", "width": 400, "height": 400, "background": {"make": "white"}}
ASKED = {"name": "asked", "width": 400, "height": 400, "background": "white"}
WHOLE = {"name": "whole", "width": 600, "height": 300, "crop": "subject", "fill": [0.6, 0.8]}
BEST = {"name": "best", "width": 400, "height": 400, "format": "avif", "encode": "best", "max_bytes": "100kB"}


NOT_WHITE = "the background is not white as asked wants it (`background: {make: white}` makes it)"


def project_of(tmp_path: Path, *channels: dict[str, Any]) -> Project:
    project = Project.of(tmp_path, products=2, model="tiny")
    project.campaign["channels"] = list(channels)
    del project.campaign["shots"]["scene"]
    project.write()
    return project


def remarks(reports: list[Any]) -> Counter[str]:
    return sum((Counter(report.remarks) for report in reports), Counter[str]())


def test_what_the_engine_draws_is_no_packshot_and_that_is_said(tmp_path: Path) -> None:
    """A small random model draws noise: no ground, no subject."""
    project = project_of(tmp_path, WHITE, ASKED, WHOLE, BEST)
    reports = project.render()
    rows = {(row["look"], row["channel"]): row for row in project.view().values()}
    for look in ("p000", "p001"):
        failed = rows[look, "white"]
        assert (failed["status"], failed["reason"], failed["final"]) == ("failed", "background_not_white", True)
        assert failed["detail"].startswith("the ground ")
        assert failed["render_key"], "the picture is kept"
        assert rows[look, "asked"]["status"] == rows[look, "whole"]["status"] == "delivered"
        assert rows[look, "asked"]["detail"].startswith("the background is not white as asked wants it")
        assert rows[look, "whole"]["detail"].startswith("cropped to the centre for whole: ")
        assert dict(rows[look, "best"]["quality"])["ssim"] > 0.9
    assert sorted(remarks(reports).values()) == [2, 2]


def studio(size: tuple[int, int], seed: int) -> Image.Image:
    return drawn_packshot(size, seed=seed).picture


def scene(size: tuple[int, int], seed: int) -> Image.Image:
    return drawn_scene(size, (370, 290, 570, 590), seed)


def with_packshots(project: Project, draw: Callable[[tuple[int, int], int], Image.Image] = studio) -> Project:
    """Drawn pictures in the place of masters, as a start leaves them that dies before its commit."""
    project.campaign["shots"]["hero"]["size"] = "640x640"
    project.write()
    store_pictures(project, lambda row, seed: draw((row["master_width"], row["master_height"]), seed))
    return project


def picture_of(project: Project, row: Row) -> Image.Image:
    with Image.open(project.folder / "output" / row["asset_key"]) as picture:
        return picture.convert("RGB")


def ground_of(project: Project, row: Row) -> Ground:
    return measure_ground(np.asarray(picture_of(project, row)))


def subject_of(project: Project, row: Row) -> Subject:
    found = find_subject(picture_of(project, row))
    assert isinstance(found, Subject), found
    return found


def test_a_packshot_is_finished_as_its_channels_ask(tmp_path: Path) -> None:
    project = with_packshots(project_of(tmp_path, WHITE, ASKED, WHOLE, BEST))
    reports = project.render()
    assert sum(report.adopted for report in reports) == 2
    assert remarks(reports) == {NOT_WHITE: 2}
    rows = list(project.view().values())
    assert {row["status"] for row in rows} == {"delivered"}
    for row in rows:
        ground, measured = ground_of(project, row), dict(row["quality"])
        if row["channel"] == "white":
            assert ground.off_white == 0
            assert measured["fill"] == ground.fill
        elif row["channel"] == "whole":
            assert row["detail"] is None
            box = subject_of(project, row).box
            assert 0.58 <= box.height / 300 <= 0.85  # with its shadow
    assert not project.plan().has_work


def test_in_a_scene_a_crop_goes_by_the_photo(tmp_path: Path) -> None:
    project = project_of(tmp_path, WHOLE | {"width": 450, "fill": None})
    photo = tmp_path / "photo.png"
    drawn_packshot(shadow=0).picture.save(photo)
    prepared = with_packshots(project, scene).plan()

    photo.rename(tmp_path / "away.png")
    make(prepared)
    for row in project.view().values():
        assert (row["status"], row["reason"], row["final"]) == ("failed", "reference_missing", False), row["detail"]
        assert row["render_key"], "the picture is kept"

    (tmp_path / "away.png").rename(photo)
    reports = project.render()
    assert sum(report.rendered for report in reports) == 0
    assert not remarks(reports)
    for row in project.view().values():
        assert (row["status"], row["detail"]) == ("delivered", None)
        picture = picture_of(project, row)
        product = product_of(drawn_packshot(shadow=0).picture)
        assert product is not None
        placed = place(picture, product)
        assert placed is not None
        assert placed.fits, "the centre shows half of it"
        assert placed.box.height / picture.height >= 0.7


def test_of_a_proof_nothing_is_asked(tmp_path: Path) -> None:
    project = project_of(tmp_path, WHITE, ASKED, WHOLE)
    project.campaign["model"] = "proof"
    project.write()
    reports = project.render()
    assert not remarks(reports)
    assert {(row["status"], row["detail"]) for row in project.view().values()} == {("delivered", None)}


def test_a_step_finishes_anew_and_renders_nothing(tmp_path: Path) -> None:
    project = with_packshots(project_of(tmp_path, ASKED))
    project.render()
    project.campaign["channels"] = [ASKED | {"background": {"make": "white"}}]
    project.write()
    assert project.plan().summary["work"]["finish"] == 2
    assert sum(report.rendered for report in project.render()) == 0
    assert all(ground_of(project, row).off_white == 0 for row in project.view().values())


def test_the_run_says_how_many_and_what_to_do(packshot: Packshot, tmp_path: Path) -> None:
    project = with_packshots(project_of(tmp_path, ASKED))
    told = packshot("render", project.path)
    assert told.code == 0, told.err
    assert f"  2 delivered, but {NOT_WHITE}" in told.out


def test_a_subject_that_is_too_small_for_its_channel_is_failed_where_a_crop_was_asked_for(tmp_path: Path) -> None:
    def small(size: tuple[int, int], seed: int) -> Image.Image:
        return drawn_packshot(size, box=(280, 260, 360, 380), seed=seed).picture

    filled = {"name": "filled", "width": 400, "height": 400, "fill": [0.85, 1.0], "background": {"make": "white"}}
    project = with_packshots(project_of(tmp_path, {**filled, "crop": "subject"}, {**filled, "name": "plain"}), small)
    reports = project.render()
    rows = {row["channel"]: row for row in project.view().values()}
    assert (rows["filled"]["status"], rows["filled"]["reason"], rows["filled"]["final"]) == (
        "failed",
        "subject_too_small",
        True,
    )
    assert "and filled wants 85% or more; ask for a closer view" in rows["filled"]["detail"]
    assert rows["plain"]["status"] == "delivered"
    smaller = "the subject is smaller than plain wants it (`crop: subject` makes it larger)"
    assert remarks(reports)[smaller] == 2


def test_a_subject_that_the_centre_cuts_off_is_told(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"name": "wide", "width": 800, "height": 400}, WHOLE)
    project.campaign["quality"] = True
    reports = with_packshots(project).render()
    rows = {row["channel"]: dict(row["quality"]) for row in project.view().values()}
    assert rows["wide"]["cut_by_crop"] > 0.05
    assert "cut_by_crop" not in rows["whole"]
    assert 0.6 <= rows["whole"]["fill"] <= 0.8
    cut = "its subject is cut off by the crop to the centre (`crop: subject` keeps it whole)"
    assert remarks(reports)[cut] == 2
