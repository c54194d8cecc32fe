from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference.quality.box import Box
from inference.quality.placement import place, product_of
from inference.quality.subject import find_subject
from tests.drawn_packshots import drawn_packshot, drawn_scene

BOXES = [(200, 160, 440, 520), (20, 30, 180, 270), (380, 60, 620, 420), (60, 20, 460, 620)]


def photo_of_a_bag() -> Image.Image:
    return drawn_packshot(seed=5, shadow=0).picture


def photo_of_a_ball() -> Image.Image:
    photo = Image.new("RGB", (640, 640), "white")
    draw = ImageDraw.Draw(photo)
    draw.ellipse((120, 120, 520, 520), fill="#C03020")
    draw.ellipse((180, 180, 300, 300), fill="#F0E0D0")
    return photo


def is_about(box: Box, wanted: tuple[int, int, int, int]) -> bool:
    """Whether the product is whole in a box, and the box is not much larger."""
    left, top, right, bottom = wanted
    room = 0.12 * max(right - left, bottom - top) + 12
    inside = box.left <= left and box.top <= top and box.right >= right and box.bottom >= bottom
    return inside and max(left - box.left, top - box.top, box.right - right, box.bottom - bottom) <= room


@pytest.mark.parametrize("size", [(640, 640), (640, 960), (960, 640)])
@pytest.mark.parametrize("box", BOXES)
def test_a_product_is_found_in_a_scene(box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    product = product_of(photo_of_a_bag())
    assert product is not None
    for seed in range(3):
        scene = drawn_scene(size, box, seed)
        assert isinstance(find_subject(scene), str), "a scene whose ground tells the product shows nothing here"
        placed = place(scene, product)
        assert placed is not None
        assert placed.fits
        assert is_about(placed.box, box), placed.box


def test_what_the_scene_does_not_show_does_not_fit() -> None:
    ball = product_of(photo_of_a_ball())
    assert ball is not None
    for seed, box in enumerate(BOXES):
        placed = place(drawn_scene((640, 640), box, seed), ball)
        assert placed is None or not placed.fits


def test_the_same_shape_in_another_colour_does_not_fit() -> None:
    orange = product_of(drawn_packshot(colour=(235, 140, 20)).picture)
    assert orange is not None
    placed = place(drawn_scene((640, 640), BOXES[0]), orange)
    assert placed is None or not placed.fits


def test_a_photo_without_a_ground_has_no_product() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert product_of(Image.fromarray(noise).resize((640, 640))) is None


@pytest.mark.parametrize("size", [(8, 8), (3, 900), (900, 3), (64, 48)])
def test_pictures_of_any_size_are_looked_at(size: tuple[int, int]) -> None:
    product = product_of(photo_of_a_bag())
    assert product is not None
    placed = place(drawn_scene((640, 640), BOXES[0]).resize(size), product)
    if placed is not None:
        assert 0 <= placed.box.left < placed.box.right <= size[0]
        assert 0 <= placed.box.top < placed.box.bottom <= size[1]
