from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inference.finishing.crop import cropped, cropped_to_subject
from inference.quality.subject import Subject, find_subject
from tests.drawn_packshots import drawn_packshot

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
