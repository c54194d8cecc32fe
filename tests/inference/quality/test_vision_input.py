"""A picture as a vision model takes it, beside what transformers makes of it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.quality.subject import find_subject
from inference.quality.subject_crop import LONGEST, subject_crop
from inference.quality.vision_input import MAX_SIDE, model_input, preparation_of
from tests.drawn_packshots import drawn_packshot
from tests.vision_folders import PREPARES, SIDE

PROCESSORS = {"dinov2": ("bit", "Bit"), "clip": ("clip", "CLIP"), "siglip": ("siglip", "Siglip")}


def stock(kind: str, config: dict[str, Any]) -> Any:
    """transformers' own, of the kind that needs no torchvision."""
    folder, name = PROCESSORS[kind]
    try:
        module = import_module(f"transformers.models.{folder}.image_processing_pil_{folder}")
    except ImportError:
        pytest.skip("this transformers has no image processors without torchvision")
    return getattr(module, f"{name}ImageProcessorPil")(**config)


@pytest.mark.parametrize("size", [(640, 640), (641, 333), (200, 777), (31, 90), (SIDE, SIDE)])
@pytest.mark.parametrize("changes", [{}, {"resample": 2}, {"do_resize": False}, {"do_rescale": False}])
@pytest.mark.parametrize("kind", PREPARES)
def test_it_is_what_transformers_makes_to_the_bit(kind: str, changes: dict[str, Any], size: tuple[int, int]) -> None:
    if kind == "siglip" and "do_resize" in changes:
        pytest.skip("it cuts nothing, so it must resize")
    config = PREPARES[kind] | changes
    noise = np.random.default_rng(3).integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 3), np.uint8)
    picture = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    made = model_input(picture, preparation_of(config, kind == "siglip"))
    wanted = np.asarray(stock(kind, config)(picture, return_tensors="np")["pixel_values"][0])
    assert made.dtype == np.float32
    assert made.shape == (3, SIDE, SIDE)
    np.testing.assert_array_equal(made, wanted)


def test_steps_that_are_left_out_are_not_done() -> None:
    config = PREPARES["siglip"] | {"do_rescale": False, "do_normalize": False}
    made = model_input(Image.new("RGB", (90, 40), (10, 20, 30)), preparation_of(config, True))
    assert [float(channel.max()) for channel in made] == [10, 20, 30]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": {"longest_edge": 64}}, "no number|not understood"),
        ({"size": {"shortest_edge": 64, "longest_edge": 90}}, "not understood"),
        ({"size": "large"}, "no number of pixels"),
        ({"size": {"shortest_edge": True}}, "no number of pixels"),
        ({"size": {"shortest_edge": 10**9}}, f"from 1 to {MAX_SIDE}"),
        ({"crop_size": {"height": 0, "width": 8}}, "no number of pixels"),
        ({"do_center_crop": False}, "no one size"),
        ({"resample": 17}, "no filter"),
        ({"resample": [3]}, "no filter"),
        ({"rescale_factor": -1}, "not over 0"),
        ({"rescale_factor": float("nan")}, "no number"),
        ({"image_mean": None}, "list of three"),
        ({"image_mean": [0.5]}, "list of three"),
        ({"image_std": [0.5, 0, 0.5]}, "not over 0"),
        ({"image_std": ["a", "b", "c"]}, "no number"),
    ],
)
def test_what_is_not_understood_is_said_in_a_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        preparation_of(PREPARES["dinov2"] | changes, is_square=False)
    assert len(str(raised.value)) < 200


def test_a_subject_stands_alone_on_white_whatever_it_stood_before() -> None:
    crops = []
    for ground in ((240, 238, 233), (205, 215, 220)):
        picture = drawn_packshot(ground=ground, shadow=0, grain=0).picture
        crops.append(subject_crop(picture, find_subject(picture)))
    assert all(abs(crop.width - 362) <= 8 and crop.width == crop.height for crop in crops)
    assert crops[0].getpixel((3, 180)) == (255, 255, 255)
    small = [np.asarray(crop.resize((32, 32)), np.float32) for crop in crops]
    assert np.abs(small[0] - small[1]).mean() < 3


def test_a_picture_without_a_subject_is_taken_whole() -> None:
    assert subject_crop(Image.new("RGB", (90, 40)), "none").size == (90, 40)
    assert subject_crop(Image.new("RGB", (9000, 4)), "none").size == (4 * LONGEST, 4), "a strip would take the memory"
