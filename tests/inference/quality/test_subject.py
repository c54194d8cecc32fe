from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inference.quality.subject import Subject, find_subject, spread
from tests.drawn_packshots import drawn_packshot


def found(picture: Image.Image) -> Subject:
    subject = find_subject(picture)
    assert isinstance(subject, Subject), subject
    return subject


@pytest.mark.parametrize("size", [(640, 640), (1000, 400), (400, 1000), (256, 256), (3000, 2000)])
def test_the_box_is_the_product(size: tuple[int, int]) -> None:
    width, height = size
    box = (width * 3 // 10, height // 4, width * 7 // 10, height * 3 // 4)
    drawn = drawn_packshot(size, box, shadow=0)
    box_found = found(drawn.picture).box
    fine = max(size) / 256 * 2 + 1
    sides = (box_found.left, box_found.top, box_found.right, box_found.bottom)
    assert sides == pytest.approx(box, abs=fine)


@pytest.mark.parametrize("ground", [(255, 255, 255), (240, 238, 233), (120, 140, 120), (20, 20, 24)])
@pytest.mark.parametrize("grain", [0.0, 1.0, 3.0])
def test_any_even_ground_will_do(ground: tuple[int, int, int], grain: float) -> None:
    drawn = drawn_packshot(ground=ground, colour=(190, 60, 60), grain=grain, shadow=0)
    box = found(drawn.picture).box
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx(drawn.box, abs=7)


def test_white_on_white_is_told_by_its_outline() -> None:
    values = np.full((512, 512, 3), 250, np.float64)
    values[150:400, 120:380] = 246
    values[150:154, 120:380] = values[396:400, 120:380] = values[150:400, 120:124] = values[150:400, 376:380] = 225
    box = found(Image.fromarray(values.astype(np.uint8))).box
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((120, 150, 380, 400), abs=7)


def test_the_ground_is_known_behind_the_subject_too() -> None:
    drawn = drawn_packshot(falloff=0.1, grain=0)
    empty = drawn_packshot(falloff=0.1, grain=0, shadow=0, box=(0, 0, 1, 1)).picture.resize((256, 256))
    apart = np.abs(found(drawn.picture).ground - np.asarray(empty, np.float32))
    assert apart[4:, 4:].max() < 4


def test_dust_is_no_subject() -> None:
    picture = drawn_packshot(shadow=0).picture
    picture.putpixel((20, 20), (0, 0, 0))
    picture.putpixel((620, 600), (0, 0, 0))
    assert found(picture).box.left > 150


@pytest.mark.parametrize("seed", range(5))
def test_a_scene_has_no_ground(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
        (512, 512), Image.Resampling.BICUBIC
    )
    assert "not even" in str(find_subject(rough))


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (90, 120, 130)])
def test_an_empty_picture_has_no_subject(colour: tuple[int, int, int]) -> None:
    assert find_subject(Image.new("RGB", (300, 200), colour)) == "nothing stands before the ground"


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (1, 500), (10_000, 16), (17, 9)])
def test_odd_sizes_end_in_words_or_a_box(size: tuple[int, int]) -> None:
    picture = Image.effect_noise(size, 80).convert("RGB")
    assert isinstance(find_subject(picture), str | Subject)


def test_spread_follows_a_winding_way_and_no_diagonal() -> None:
    free = np.array([[1, 0, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 0, 1], [0, 0, 0, 1, 0]], bool)
    start = np.zeros_like(free)
    start[0, 0] = True
    reached = free.copy()
    reached[3, 3] = False
    assert (spread(start, free) == reached).all()
