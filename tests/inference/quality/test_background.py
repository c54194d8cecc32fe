"""The ground of a picture, measured on pixels of which all is known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference.engine import Pixels
from inference.quality.background import EDGE, measure_ground, strips
from inference.quality.box import Box
from tests.inference.quality.drawn import BLUE, WHITE, box_of, encoded, packshot


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def test_a_packshot() -> None:
    ground = measure_ground(pixels(packshot(400, 300, 0.5)))
    assert ground.colour == WHITE
    assert (ground.darkest, ground.off_white, ground.even, ground.fill) == (255, 0.0, 1.0, 0.5)
    assert ground.subject == Box(*box_of(400, 300, 0.5))
    assert ground.is_even


def test_fill_is_that_of_the_side_that_fills_more() -> None:
    image = Image.new("RGB", (400, 300), WHITE)
    image.paste(BLUE, (190, 30, 210, 270))
    ground = measure_ground(pixels(image))
    assert ground.fill == pytest.approx(0.8)
    assert ground.subject == Box(190, 30, 210, 270)
    assert (ground.subject.width, ground.subject.height) == (20, 240)


def test_nothing_stands_before_one_colour() -> None:
    for colour in (WHITE, (0, 0, 0), (120, 7, 255)):
        ground = measure_ground(pixels(Image.new("RGB", (64, 48), colour)))
        assert (ground.subject, ground.fill, ground.colour) == (None, 0.0, colour)


@pytest.mark.parametrize("place", [(0, 0), (63, 0), (0, 47), (63, 47), (7, 20), (56, 20), (30, 7), (30, 40)])
def test_one_grey_pixel_on_the_edge_is_counted(place: tuple[int, int]) -> None:
    image = packshot(64, 48, 0.5)
    image.putpixel(place, (255, 254, 255))
    ground = measure_ground(pixels(image))
    on_edge = 64 * 48 - (64 - 2 * EDGE) * (48 - 2 * EDGE)
    assert (ground.off_white * on_edge, ground.darkest) == (pytest.approx(1), 254)


@pytest.mark.parametrize("place", [(8, 20), (55, 20), (30, 8), (30, 39)])
def test_a_grey_pixel_inside_is_not(place: tuple[int, int]) -> None:
    image = packshot(64, 48, 0.2)
    image.putpixel(place, (0, 0, 0))
    assert measure_ground(pixels(image)).off_white == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (8, 8), (15, 16), (16, 16), (17, 17), (33, 2)])
def test_each_pixel_of_the_edge_counts_once(size: tuple[int, int]) -> None:
    width, height = size
    image = np.full((height, width, 3), 255, np.uint8)
    deep = np.zeros((height, width), bool)
    deep[:EDGE] = deep[-EDGE:] = deep[:, :EDGE] = deep[:, -EDGE:] = True
    image[0, 0] = 0
    assert measure_ground(image).off_white == pytest.approx(1 / deep.sum())


def test_a_scene_has_no_ground_to_tell_a_subject_from() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    ground = measure_ground(noise)
    assert not ground.is_even
    assert (ground.subject, ground.fill) == (None, 0.0)


def test_a_subject_that_leaves_the_picture_at_one_side() -> None:
    image = Image.new("RGB", (1000, 1000), WHITE)
    image.paste(BLUE, (400, 500, 600, 1000))
    ground = measure_ground(pixels(image))
    assert ground.is_even
    assert ground.subject == Box(400, 500, 600, 1000)
    assert ground.off_white > 0


def test_dust_is_no_subject() -> None:
    image = packshot(1000, 1000, 0.5)
    for place in ((20, 20), (980, 30), (970, 970)):
        image.putpixel(place, (0, 0, 0))
    assert measure_ground(pixels(image)).subject == Box(*box_of(1000, 1000, 0.5))


def test_shades_within_five_levels_are_ground() -> None:
    assert measure_ground(pixels(packshot(100, 100, 0.5, (240, 240, 240), (235, 245, 240)))).subject is None
    assert measure_ground(pixels(packshot(100, 100, 0.5, (240, 240, 240), (234, 240, 240)))).subject is not None
    assert measure_ground(pixels(packshot(100, 100, 0.5, (2, 2, 2), (255, 255, 255)))).fill == 0.5


@pytest.mark.parametrize("quality", [85, 90, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_keeps_the_edge_white_and_the_box_nearly(quality: int, subsampling: int) -> None:
    image = Image.new("RGB", (1000, 1000), WHITE)
    ImageDraw.Draw(image).ellipse((75, 75, 924, 924), fill=(200, 30, 40))
    image.paste(Image.effect_noise((400, 400), 80).convert("RGB"), (300, 300))
    data = encoded(image, quality=quality, subsampling=subsampling)
    ground = measure_ground(pixels(Image.open(io.BytesIO(data))))
    assert ground.off_white == 0
    assert 0.84 <= ground.fill <= 0.85 + 2 * 15 / 1000


def test_strips_cover_a_picture_of_any_shape() -> None:
    for width, height in ((1, 1), (1, 3_000_000), (65_535, 100), (2_000_000, 3), (1000, 5000)):
        parts = list(strips(width, height))
        assert [top for top, _ in parts] == [0, *(below for _, below in parts[:-1])]
        assert parts[-1][1] == height
    assert len(list(strips(1000, 5000))) == 5


def test_a_tall_picture_is_measured_in_parts_as_it_is_whole() -> None:
    image = packshot(1200, 3000, 0.6)
    assert len(list(strips(1200, 3000))) > 3
    assert measure_ground(pixels(image)).subject == Box(*box_of(1200, 3000, 0.6))
