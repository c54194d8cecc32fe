"""A picture as an object detector takes it, beside what transformers makes of it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.quality.vision_input import MAX_LONGER, Edges, detector_preparation_of, model_input
from tests.detector_folders import KINDS, PREPARES

_RT_DETR = ("rt_detr", "RTDetrImageProcessorPil")
PROCESSORS = {
    "rt_detr": _RT_DETR,
    "rt_detr_v2": _RT_DETR,
    "d_fine": _RT_DETR,
    "yolos": ("yolos", "YolosImageProcessorPil"),
    "detr": ("detr", "DetrImageProcessorPil"),
}
SIZES = [(640, 640), (641, 333), (200, 777), (48, 90), (90, 48), (48, 48), (47, 91), (1000, 517)]


def stock(kind: str, **changes: Any) -> Any:
    """transformers' own, of the kind that needs no torchvision."""
    module, name = PROCESSORS[kind]
    try:
        found = import_module(f"transformers.models.{module}.image_processing_pil_{module}")
    except ImportError:
        pytest.skip("this transformers has no image processors without torchvision")
    named = ("image_processor_type", "feature_extractor_type")
    config = {key: value for key, value in (PREPARES[kind] | changes).items() if key not in named}
    return getattr(found, name)(**config)


def noise(size: tuple[int, int]) -> Image.Image:
    small = np.random.default_rng(3).integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("changes", [{}, {"resample": 3}, {"do_rescale": False}, {"do_normalize": True}])
@pytest.mark.parametrize("kind", ["rt_detr", "yolos", "detr"])
def test_it_is_what_transformers_makes_to_the_bit(kind: str, changes: dict[str, Any], size: tuple[int, int]) -> None:
    picture = noise(size)
    made = model_input(picture, detector_preparation_of(PREPARES[kind] | changes, kind))
    wanted = np.asarray(stock(kind, **changes)(picture, return_tensors="np")["pixel_values"][0])
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize("kind", ["rt_detr", "yolos", "detr"])
def test_what_a_file_does_not_say_is_as_transformers_has_it(kind: str) -> None:
    module, name = PROCESSORS[kind]
    processor = getattr(import_module(f"transformers.models.{module}.image_processing_pil_{module}"), name)()
    picture = noise((500, 300))
    made = model_input(picture, detector_preparation_of({}, kind))
    np.testing.assert_array_equal(made, np.asarray(processor(picture, return_tensors="np")["pixel_values"][0]))


@pytest.mark.parametrize(("kind", "multiple"), [("yolos", 16), ("detr", 1)])
def test_every_shape_comes_to_the_size_that_transformers_gives_it(kind: str, multiple: int) -> None:
    if kind == "yolos":
        from transformers.models.yolos.image_processing_pil_yolos import get_size_with_aspect_ratio_yolos as wanted
    else:
        from transformers.image_transforms import get_size_with_aspect_ratio as wanted
    drawn = np.random.default_rng(5)
    shapes = [tuple(map(int, drawn.integers(40, 1500, 2))) for _ in range(4000)]
    shapes += [(side, other) for side in (797, 799, 800, 801) for other in range(1200, 1500)]
    shapes += [(height, width) for width, height in shapes]
    for shortest, longest in ((800, 1333), (48, 90), (512, 864)):
        edges = Edges(shortest, longest, multiple)
        for height, width in shapes:
            made = edges.of(width, height)
            theirs = wanted((height, width), shortest, longest)
            assert (made[1], made[0]) == tuple(max(side, multiple) for side in theirs), (height, width, shortest)


def test_a_strip_has_a_side_left() -> None:
    assert Edges(48, 90, 16).of(9000, 4) == (80, 16)
    assert Edges(48, 90).of(4, 90_000) == (1, 90)
    assert model_input(Image.new("RGB", (9000, 4)), detector_preparation_of(PREPARES["yolos"], "yolos")).shape[1] == 16


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("yolos", {"size": {"shortest_edge": 64}}, "not understood"),
        ("yolos", {"size": {"max_height": 64, "max_width": 64}}, "not understood"),
        ("yolos", {"size": {"shortest_edge": 64, "longest_edge": 10**6}}, f"from 1 to {MAX_LONGER}"),
        ("yolos", {"size": {"shortest_edge": 0, "longest_edge": 90}}, "from 1 to"),
        ("detr", {"size": "large"}, "no number of pixels"),
        ("detr", {"max_size": [90]}, "no number of pixels"),
        ("detr", {"pad_size": {"height": 90, "width": 90}}, "pad_size"),
        ("rt_detr", {"size": {"shortest_edge": 64, "longest_edge": 90}}, "not understood"),
        ("rt_detr", {"size": {"height": 64, "width": 10**6}}, "from 1 to"),
        ("rt_detr", {"do_resize": False}, "as large as they are"),
        ("rt_detr", {"resample": 17}, "no filter"),
        ("rt_detr", {"image_processor_type": "OwlViTImageProcessor"}, "none of RT-DETR, YOLOS or DETR"),
        ("rt_detr", {"rescale_factor": 0}, "not over 0"),
        ("yolos", {"image_mean": [0.5]}, "list of three"),
    ],
)
def test_what_is_not_understood_is_said_in_a_line(kind: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        detector_preparation_of(PREPARES[kind] | changes, kind)
    assert len(str(raised.value)) < 200


def test_every_kind_has_its_processor() -> None:
    assert set(PROCESSORS) == set(KINDS)
