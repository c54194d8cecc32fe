from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from catalogs.campaigns.channel_rules import builtin_rules
from catalogs.campaigns.channels import resolve_channels
from inference.finishing.crop import cropped, cropped_to_subject, cut_by_centre
from inference.finishing.finish import finish
from inference.finishing.metadata import AssetMetadata
from inference.quality.box import Box
from inference.quality.channel_audit import audit
from inference.quality.facts import facts_of
from inference.quality.placement import product_of
from inference.quality.subject import Subject, find_subject
from tests.drawn_packshots import drawn_packshot, drawn_scene

SHAPES = [(800, 800), (800, 1000), (1200, 628), (720, 1280), (1801, 2600), (300, 300)]


def subject_of(picture: Image.Image) -> Subject:
    found = find_subject(picture)
    assert isinstance(found, Subject), found
    return found


def fill_of(picture: Image.Image) -> float:
    box = subject_of(picture).box
    return max(box.width / picture.width, box.height / picture.height)


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("box", [(40, 160, 600, 520), (260, 20, 380, 620), (30, 30, 200, 240), (420, 380, 620, 610)])
def test_the_product_is_whole_in_every_shape(width: int, height: int, box: tuple[int, int, int, int]) -> None:
    drawn = drawn_packshot(box=box, shadow=0)
    crop = cropped_to_subject(drawn.picture, width, height, None)
    assert (crop.picture.size, crop.problem) == ((width, height), "")
    mask = subject_of(crop.picture).mask
    assert not any(side.any() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])), "cut off"


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("fill", [(0.85, 1.0), (0.75, 0.9), (0.5, 0.6)])
@pytest.mark.parametrize("box", [(150, 120, 490, 520), (40, 20, 600, 620), (220, 200, 400, 430)])
def test_the_product_takes_its_share(
    width: int, height: int, fill: tuple[float, float], box: tuple[int, int, int, int]
) -> None:
    drawn = drawn_packshot(box=box, shadow=0)
    crop = cropped_to_subject(drawn.picture, width, height, fill)
    assert (crop.picture.size, crop.problem) == ((width, height), "")
    small = max((box[2] - box[0]) / 640 * max(1, height / width), (box[3] - box[1]) / 640 * max(1, width / height))
    least = min(fill[0], 2 * small)  # no more than twice as large as the centre crop would show it
    assert least - 0.02 <= fill_of(crop.picture) <= fill[1] + 0.02


def test_the_ground_is_carried_on_without_a_seam() -> None:
    drawn = drawn_packshot(box=(40, 160, 600, 520), shadow=0, grain=0, falloff=0.1)
    crop = cropped_to_subject(drawn.picture, 1280, 640, (0.5, 0.6)).picture
    values = np.asarray(crop, np.int16)
    steps = np.abs(np.diff(values[:20], axis=1)).max(), np.abs(np.diff(values[:, :20], axis=0)).max()
    assert max(steps) <= 3, "a step in the ground shows where the picture ended"


def test_a_share_that_the_centre_has_leaves_whole_pixels_alone() -> None:
    drawn = drawn_packshot(size=(640, 800), box=(80, 300, 560, 700), shadow=0)
    crop = cropped_to_subject(drawn.picture, 640, 640, (0.7, 0.8)).picture
    rows = [i for i in range(161) if crop.getpixel((10, 10)) == drawn.picture.getpixel((10, 10 + i))]
    assert any(crop.tobytes() == drawn.picture.crop((0, i, 640, i + 640)).tobytes() for i in rows)


@pytest.mark.parametrize(("edge", "box"), [("left", (-5, 200, 400, 400)), ("lower", (200, 300, 400, 660))])
def test_a_subject_that_is_cut_off_is_not_set_free(edge: str, box: tuple[int, int, int, int]) -> None:
    drawn = drawn_packshot(box=box, shadow=0)
    size = (300, 900) if edge in ("upper", "lower") else (900, 300)
    crop = cropped_to_subject(drawn.picture, *size, (0.2, 0.3))
    assert crop.problem == f"the subject touches the {edge} edge"
    assert crop.picture.tobytes() == cropped(drawn.picture, *size).tobytes()


def test_a_scene_is_cropped_to_its_centre() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    scene = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    crop = cropped_to_subject(scene, 300, 300, None)
    assert "not even" in crop.problem
    assert crop.picture.tobytes() == cropped(scene, 300, 300).tobytes()


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("fill", [None, (0.5, 0.9)])
def test_in_a_scene_the_product_of_the_photo_is_whole(
    width: int, height: int, fill: tuple[float, float] | None
) -> None:
    red = (255, 0, 0)
    box = (430, 375, 590, 615)
    scene = drawn_scene((640, 640), box, seed=4)
    marked = scene.copy()  # pixels that tell where the product went
    for corner in ((box[0], box[1]), (box[2] - 9, box[1]), (box[0], box[3] - 9), (box[2] - 9, box[3] - 9)):
        marked.paste(red, (*corner, corner[0] + 9, corner[1] + 9))
    crop = cropped_to_subject(marked, width, height, fill, lambda: product_of(drawn_packshot(seed=9, shadow=0).picture))
    assert crop.problem == ""
    assert crop.part is not None
    assert crop.part[0] / crop.part[1] == pytest.approx(width / height, rel=0.02)
    values = np.asarray(crop.picture, np.int16)
    shown = (values[..., 0] > 225) & (values[..., 1] < 45) & (values[..., 2] < 45)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    scale = width / crop.part[0]
    assert columns[-1] - columns[0] == pytest.approx(160 * scale, abs=6 * scale + 2)
    assert rows[-1] - rows[0] == pytest.approx(240 * scale, abs=6 * scale + 2)


def test_a_product_that_takes_more_of_a_scene_than_it_may_is_not_set_free() -> None:
    scene = drawn_scene((640, 640), (130, 20, 530, 620), seed=2)
    crop = cropped_to_subject(scene, 900, 300, (0.2, 0.3), lambda: product_of(drawn_packshot(shadow=0).picture))
    assert crop.problem == "the product takes more of the scene than it may, and a scene is not carried on"
    assert crop.picture.tobytes() == cropped(scene, 900, 300).tobytes()


def test_where_something_touches_an_edge_the_crop_goes_by_the_photo() -> None:
    picture = drawn_packshot(box=(400, 200, 560, 440), shadow=0).picture
    picture.paste("#705030", (0, 400, 90, 560))  # a shelf
    alone = cropped_to_subject(picture, 900, 300, (0.2, 0.3))
    assert alone.problem.startswith("the subject touches")
    crop = cropped_to_subject(picture, 640, 340, (0.2, 0.9), lambda: product_of(drawn_packshot(shadow=0).picture))
    assert (crop.problem, crop.part) == ("", (640, 340))
    assert crop.picture.tobytes() != cropped(picture, 640, 340).tobytes(), "it is not in the middle"


def test_a_photo_is_asked_for_in_a_scene_alone() -> None:
    def refuse() -> None:
        raise AssertionError

    crop = cropped_to_subject(drawn_packshot().picture, 300, 300, None, refuse)
    assert crop.problem == ""


def test_what_the_centre_cuts_off_is_told() -> None:
    box = Box(300, 50, 340, 450)
    assert cut_by_centre(box, (640, 640), 640, 640) == 0
    assert cut_by_centre(box, (640, 640), 1280, 640) == pytest.approx((160 - 50) / 400)
    assert cut_by_centre(Box(0, 100, 640, 200), (640, 640), 320, 640) == pytest.approx(0.5)
    assert cut_by_centre(Box(0, 0, 640, 640), (640, 640), 64, 64) == 0


@pytest.mark.parametrize("name", ["google-merchant", "amazon-main"])
@pytest.mark.parametrize("box", [(200, 160, 440, 520), (120, 220, 520, 420)])
def test_what_is_cropped_and_made_white_passes_the_audit_of_its_channel(
    name: str, box: tuple[int, int, int, int]
) -> None:
    made = {"crop": "subject", "background": {"make": "white"}}
    (channel,) = resolve_channels([{"base": name, **made}], "campaign.yaml")
    told = AssetMetadata("f" * 64, "Halden", "Bag", model="klein-4b", model_revision="r1")
    finished = finish(drawn_packshot(box=box).picture, channel, told)
    assert [str(found) for found in audit(facts_of(finished.data), builtin_rules()[name]).broken] == []
    assert not finished.remarks
