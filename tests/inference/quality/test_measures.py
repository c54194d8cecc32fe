from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from inference.quality.background import white_edge
from inference.quality.bound_colours import codes_of, colour_differences
from inference.quality.colours import ciede2000, lab
from inference.quality.duplicates import distance, mark_of, nearest
from inference.quality.likeness import Framed, framed, likeness
from inference.quality.similarity import structural_similarity
from inference.quality.structure import measure_structure
from inference.quality.subject import Subject, find_subject
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


# Sharma, Wu and Dalal, 2005, table 1.
PAIRS = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 2.8361, -74.0200), (50.0, 0.0, -82.7485), 3.4412),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, -0.0010, 2.4900), (50.0, 0.0009, -2.4900), 4.8045),
    ((50.0, 2.5000, 0.0), (50.0, 0.0, -2.5000), 4.3065),
    ((50.0, 2.5000, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5000, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((50.0, 2.5000, 0.0), (56.0, -27.0, -3.0), 31.9030),
    ((50.0, 2.5000, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((50.0, 2.5000, 0.0), (50.0, 3.1736, 0.5854), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((61.2901, 3.7196, -5.3901), (61.4292, 2.2480, -4.9620), 1.8731),
    ((35.0831, -44.1164, 3.7933), (35.0232, -40.0716, 1.5901), 1.8645),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((36.4612, 47.8580, 18.3852), (36.2715, 50.5065, 21.2231), 1.4146),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def test_ciede2000_of_the_published_pairs() -> None:
    one, other, expected = (np.array(column) for column in zip(*PAIRS, strict=True))
    assert ciede2000(one, other) == pytest.approx(expected, abs=1e-4)
    assert ciede2000(other, one) == pytest.approx(expected, abs=1e-4)


def test_the_colours_of_a_prompt_are_found_in_the_subject() -> None:
    drawn = drawn_packshot(colour=(60, 90, 150), shadow=0)
    subject = find_subject(drawn.picture)
    assert isinstance(subject, Subject)
    codes = codes_of('{"subjects": "bag in color #3c5a96 blue", "color_palette": ["#3C5A96", "#C02020"]}')
    assert codes == ("#3C5A96", "#C02020")
    found = colour_differences(drawn.picture, subject, codes)
    assert found["#3C5A96"] < 3
    assert found["#C02020"] > 25
    assert colour_differences(drawn.picture, subject, ["#F0EEE9"])["#F0EEE9"] > 10, "the ground is no subject"
    assert colour_differences(drawn.picture, None, ["#F0EEE9"])["#F0EEE9"] < 3
    assert colour_differences(drawn.picture, None, []) == {}


def test_blank_noise_bands_and_blur_have_numbers_of_their_own() -> None:
    picture = drawn_packshot(grain=0.5, falloff=0.2).picture
    whole = measure_structure(picture, None)
    assert whole.contrast > 20
    assert whole.coherence > 0.85
    assert whole.banding < 1e-4
    assert measure_structure(Image.new("RGB", (300, 300), "#808080"), None).contrast == 0
    for grain in (64, 640):
        rough = np.random.default_rng(0).integers(0, 256, (grain, grain, 3), dtype=np.uint8)
        noise = Image.fromarray(rough).resize((640, 640), Image.Resampling.BICUBIC)
        assert measure_structure(noise, None).coherence < 0.6
    clean = np.asarray(drawn_packshot(grain=0, falloff=0.2).picture)
    bands = Image.fromarray(clean // 6 * 6)
    assert measure_structure(bands, None).banding > 20 * max(whole.banding, 1e-4)
    sharp = [
        measure_structure(picture.filter(ImageFilter.GaussianBlur(sigma)), None).sharpness for sigma in (0, 1, 2, 4)
    ]
    assert sharp == sorted(sharp, reverse=True)


@pytest.mark.parametrize("size", [(16, 16), (3, 3), (1, 40), (40, 1), (9, 2000)])
def test_small_pictures_have_numbers_too(size: tuple[int, int]) -> None:
    picture = Image.effect_noise(size, 60).convert("RGB")
    numbers = measure_structure(picture, None)
    assert np.isfinite([numbers.contrast, numbers.coherence, numbers.banding, numbers.sharpness]).all()
    mark_of(picture)


def test_a_product_is_like_itself_elsewhere_and_unlike_another() -> None:
    def shown(**rest: object) -> Framed:
        picture = drawn_packshot(**({"shadow": 0} | rest)).picture  # type: ignore[arg-type]
        subject = find_subject(picture)
        assert isinstance(subject, Subject)
        return framed(picture, subject)

    reference = shown()
    moved = likeness(shown(size=(800, 600), box=(300, 100, 540, 460), ground=(255, 255, 255), seed=3), reference)
    recoloured = likeness(shown(colour=(180, 60, 40)), reference)
    flat = likeness(shown(box=(60, 250, 580, 420)), reference)
    assert moved.outline > 0.93
    assert moved.edges > 0.9
    assert moved.colours < 4
    assert recoloured.colours > 25 > 4 > moved.colours
    assert flat.outline < 0.6


def test_near_duplicates_are_near_in_shape_and_colour() -> None:
    picture = drawn_packshot().picture
    again = mark_of(picture.resize((400, 400)).rotate(0.4, fillcolor=(240, 238, 233)))
    near = distance(mark_of(picture), again)
    assert near < 5
    red = mark_of(drawn_packshot(colour=(190, 50, 50)).picture)
    assert distance(mark_of(picture), red) > 8, "shapes alone take another colour for the same"
    assert nearest(mark_of(picture), [red, again]) == near
    assert nearest(red, []) is None
