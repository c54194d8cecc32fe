"""How a picture is set, told on drawn packshots whose numbers are known; and what stands apart."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.quality.outliers import LEAST_SET, NUMBERS, TRAITS, outliers
from inference.quality.staging import STAGING, measure_staging
from inference.quality.subject import Subject, find_subject
from tests.drawn_packshots import drawn_packshot

SIZE = (512, 512)


def staged(picture: Image.Image) -> dict[str, float]:
    subject = find_subject(picture)
    assert isinstance(subject, Subject)
    return measure_staging(picture, subject)


def drawn(across: float = 0.6, down: float = 0.5, colour: tuple[int, int, int] = (60, 110, 150)) -> Image.Image:
    """A product of a share of the picture's width and height, in its middle, without a shadow."""
    left, top = round(SIZE[0] * (1 - across) / 2), round(SIZE[1] * (1 - down) / 2)
    box = (left, top, SIZE[0] - left, SIZE[1] - top)
    return drawn_packshot(SIZE, colour=colour, box=box, shadow=0).picture


def lit(picture: Image.Image, x: float = 0.0, y: float = 0.0) -> Image.Image:
    """The picture with light from a side, in levels of 255 from the middle to the edge; its ground stays even."""
    values = np.asarray(picture, np.float32)
    down, across = np.mgrid[-1 : 1 : SIZE[1] * 1j, -1 : 1 : SIZE[0] * 1j].astype(np.float32)
    light = (across * x + down * y)[..., None] * (values.min(axis=2, keepdims=True) < 200)
    return Image.fromarray(np.clip(values + light, 0, 255).astype(np.uint8))


def tinted(picture: Image.Image, *levels: int) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(picture, np.int16) + levels, 0, 255).astype(np.uint8))


def test_numbers_are_those_of_what_is_drawn() -> None:
    numbers = staged(drawn(0.6, 0.5))
    assert set(numbers) == set(STAGING)
    assert numbers["scale"] == pytest.approx(0.6, abs=0.03)
    assert 90 < numbers["ground"] <= 100
    assert abs(numbers["cast_a"]) + abs(numbers["cast_b"]) < 3
    assert staged(drawn(0.3, 0.45))["scale"] == pytest.approx(0.45, abs=0.03)
    assert staged(tinted(drawn(), -60, -60, -60))["ground"] < 80
    assert staged(tinted(drawn(), 0, -10, -40))["cast_b"] > 8
    right, below = staged(lit(drawn(), x=60)), staged(lit(drawn(), y=60))
    assert right["light_x"] - numbers["light_x"] > 8
    assert below["light_y"] - numbers["light_y"] > 8


def test_paint_is_no_light() -> None:
    values = np.asarray(drawn(), np.float32)
    right = (np.arange(SIZE[0]) >= SIZE[0] // 2)[None, :, None] & (values.min(axis=2, keepdims=True) < 200)
    painted = Image.fromarray(np.clip(values + right * 60, 0, 255).astype(np.uint8))
    plain = staged(drawn())["light_x"]
    assert staged(painted)["light_x"] == pytest.approx(plain, abs=2)
    assert staged(lit(painted, x=60))["light_x"] - plain > 8


FAULTS: dict[str, Any] = {
    "scale": lambda chance: drawn(0.3, 0.25),
    "ground": lambda chance: tinted(drawn(), -25, -25, -25),
    "cast": lambda chance: tinted(drawn(), 0, -6, -24),
    "light": lambda chance: lit(drawn(), x=-140),
}


def ordinary(chance: random.Random) -> Image.Image:
    """Another product of the same set."""
    colour = tuple(chance.randrange(40, 150) for _ in range(3))
    picture = drawn(chance.uniform(0.58, 0.64), chance.uniform(0.45, 0.55), colour)  # type: ignore[arg-type]
    return lit(tinted(picture, *[chance.randrange(-3, 1)] * 3), x=chance.uniform(-4, 4), y=chance.uniform(-4, 4))


def as_table(pictures: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    numbers = [[picture.get(name, math.nan) for name in NUMBERS] for picture in pictures]
    return np.array(numbers, np.float64).reshape(-1, len(NUMBERS))


@pytest.mark.parametrize("trait", FAULTS)
def test_what_stands_apart_is_found_and_nothing_else(trait: str) -> None:
    chance = random.Random(3)
    pictures = [staged(ordinary(chance)) for _ in range(15)] + [staged(FAULTS[trait](chance))]
    found = list(outliers(as_table(pictures)))
    assert (15, trait) in {(one.place, one.trait) for one in found}
    assert {one.place for one in found} <= {15}, "no ordinary picture stands apart"
    assert str(found[0]).startswith(trait)


def test_small_sets_and_numbers_that_are_missing_say_nothing() -> None:
    names = [*STAGING, "sharpness"]
    same = [dict.fromkeys(names, 50.0)] * (LEAST_SET - 1)
    assert not list(outliers(as_table([*same[1:], dict.fromkeys(names, 5.0)])))
    assert {one.trait for one in outliers(as_table([*same, dict.fromkeys(names, 5.0)]))} == set(TRAITS)
    above = {one.trait for one in outliers(as_table([*same, dict.fromkeys(names, 90.0)]))}
    assert above == set(TRAITS) - {"sharpness"}, "nobody minds the sharpest of a set"
    assert not list(outliers(as_table([*same, {}, {}, {}])))
    assert not list(outliers(as_table([])))


def test_a_trait_of_two_numbers_stands_apart_as_rarely_as_one_of_one() -> None:
    pictures = np.random.default_rng(5).normal(0, 10, (200_000, len(NUMBERS)))
    found = Counter(one.trait for one in outliers(pictures))
    usual = len(pictures) / 2149
    assert [found[trait] for trait in ("scale", "ground", "cast", "light")] == [pytest.approx(usual, rel=0.3)] * 4


def test_a_set_on_one_white_tells_a_ground_that_is_darker_by_ten_levels() -> None:
    ground, cast = (np.zeros((12, len(NUMBERS))) for _ in range(2))
    ground[:, NUMBERS.index("ground")] = [100.0] * 11 + [96.5]
    assert [(one.place, one.trait) for one in outliers(ground)] == [(11, "ground")]
    cast[11, NUMBERS.index("cast_a")], cast[11, NUMBERS.index("cast_b")] = 2.4, -3.2
    assert [(one.place, one.trait) for one in outliers(cast)] == [(11, "cast")]
    assert not list(outliers(cast * 0.5))
