from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from catalogs.requests import Reason
from inference.finishing.white import BackgroundNotWhite, made_white, refuse_off_white
from tests.drawn_packshots import drawn_packshot

GROUNDS = [(255, 255, 255), (250, 249, 246), (240, 238, 233), (222, 224, 228), (200, 200, 200)]


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("grain", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("falloff", [0.0, 0.08])
def test_all_around_is_white_and_the_product_as_it_was(
    ground: tuple[int, int, int], grain: float, falloff: float
) -> None:
    drawn = drawn_packshot(ground=ground, grain=grain, falloff=falloff)
    white = made_white(drawn.picture)
    assert refuse_off_white(white).off_white == 0
    before, after = np.asarray(drawn.picture, np.int16), np.asarray(white, np.int16)
    inner = np.asarray(Image.fromarray(drawn.product).resize((640, 640)))
    changed = np.abs(after - before)[inner].max(axis=-1)
    assert np.percentile(changed, 99) <= 2, "pixels of the product have changed"
    assert (after[drawn.hole].min(axis=-1) >= 250).mean() > 0.9, "the hole is not white"


def test_the_shadow_keeps_its_depth_and_has_no_edge() -> None:
    drawn = drawn_packshot(grain=0, shadow=0.35)
    before = np.asarray(drawn.picture, np.float64)
    after = np.asarray(made_white(drawn.picture), np.float64)
    below = after[524:600, 320, 1]  # down from the product's foot, through the shadow to the ground
    assert below[0] < 235
    assert below[-1] == 255
    assert (np.diff(below) >= -1).all(), "it fades in one direction"
    shade = np.diff(before[524:600, 320, 1]).max()
    assert np.diff(below).max() <= 2.5 * shade + 4, "a step where white begins"


def test_outlines_have_no_halo() -> None:
    """Beside the product, two pixels out, nothing of the grey ground is left."""
    drawn = drawn_packshot(ground=(225, 225, 225), grain=0.5, shadow=0, falloff=0)
    left, top, right, bottom = drawn.box
    after = np.asarray(made_white(drawn.picture))
    beside = after[(top + bottom) // 2 + 40 : bottom - 30, [left - 3, right + 2]]
    assert (beside >= 250).mean() > 0.99


@pytest.mark.parametrize(
    ("ground", "why"), [((150, 150, 150), "too dark"), ((30, 30, 30), "too dark"), ((250, 240, 200), "too coloured")]
)
def test_other_grounds_are_refused(ground: tuple[int, int, int], why: str) -> None:
    with pytest.raises(BackgroundNotWhite, match=why) as caught:
        made_white(drawn_packshot(ground=ground, falloff=0).picture)
    assert caught.value.reason is Reason.BACKGROUND_NOT_WHITE


def test_a_scene_and_an_empty_picture_are_refused() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    scene = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    with pytest.raises(BackgroundNotWhite, match="not even"):
        made_white(scene)
    with pytest.raises(BackgroundNotWhite, match="nothing stands"):
        made_white(Image.new("RGB", (300, 300), (250, 250, 250)))


def test_what_touches_the_edge_is_told_by_the_measurement() -> None:
    drawn = drawn_packshot(box=(200, 300, 400, 660), shadow=0)
    with pytest.raises(BackgroundNotWhite, match=r"of the edge are not white, the darkest \d+"):
        refuse_off_white(made_white(drawn.picture))
