from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from inference.quality.background import white_edge
from inference.quality.colours import lab
from inference.quality.similarity import structural_similarity
from tests.drawn_packshots import drawn_packshot


# From colour-science's calculator and Lindbloom's, D65.
@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((128, 128, 128), (53.59, 0, 0)),
    ],
)
def test_cielab_of_known_colours(rgb: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    assert lab(np.array(rgb, np.uint8)) == pytest.approx(expected, abs=0.05)


def test_similarity_is_one_of_the_same_and_falls_with_quality() -> None:
    picture = drawn_packshot(grain=1.5).picture
    pixels = np.asarray(picture)
    assert structural_similarity(pixels, pixels) == pytest.approx(1)
    seen = []
    for quality in (90, 60, 30, 10, 3):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        seen.append(structural_similarity(pixels, np.asarray(Image.open(buffer).convert("RGB"))))
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.95 > 0.7 > seen[-1]


def test_similarity_of_strangers_is_low_and_of_small_pictures_defined() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert abs(structural_similarity(noise[0], noise[1])) < 0.1
    assert structural_similarity(noise[0, :16, :16], noise[0, :16, :16]) == pytest.approx(1)


def test_the_edge_is_eight_pixels_deep_on_all_sides() -> None:
    for place in [(0, 0), (7, 30), (30, 7), (63, 40), (56, 20), (20, 56)]:
        pixels = np.full((64, 64, 3), 255, np.uint8)
        pixels[place][1] = 254
        edge = white_edge(pixels)
        assert (edge.darkest, edge.off_white > 0) == (254, True), place
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[8:56, 8:56] = 0
    assert white_edge(pixels) == (255, 0.0)
