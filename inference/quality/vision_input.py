"""A picture as a vision model takes it: what transformers' image processors do, with Pillow and numpy alone.

Those of transformers want torchvision where they are quick, and differ between versions where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE = 1024
"""Pixels of a side that a model is given at most: attention costs by the fourth power of it."""

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to a picture.

    Attributes:
        size: (height, width) in pixels it is resized to, or the shorter side of it; None leaves it.
        crop: (height, width) in pixels that are cut from its middle; None takes all.
        resample: Pillow's number of the filter.
        scale: by which 8-bit values are multiplied.
        mean: of each channel, taken off then; and `std`, divided by.
    """

    size: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of what comes out, whatever goes in."""
        assert self.crop is not None or isinstance(self.size, tuple)
        return self.crop or self.size  # type: ignore[return-value]


def preparation_of(config: Mapping[str, Any], is_square: bool) -> Preparation:
    """Read a `preprocessor_config.json`.

    Args:
        is_square: a size of one number is that of both sides (SigLIP), else of the shorter one (CLIP, DINOv2).

    Raises:
        ValueError: in a few words what it says that is not done here.
    """
    resizes, crops, scales, normalizes = (
        config.get(key) is not False for key in ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
    )
    size = _size(config.get("size"), is_square) if resizes else None
    crop = _sides(config.get("crop_size"), "crop_size") if crops and config.get("crop_size") is not None else None
    if crop is None and not isinstance(size, tuple):
        raise ValueError("it makes pictures of no one size")
    resample = config.get("resample", Image.Resampling.BICUBIC)
    if isinstance(resample, bool) or resample not in list(Image.Resampling):
        raise ValueError(f"its resample {_short(resample)} is no filter of Pillow")
    return Preparation(
        size=size,
        crop=crop,
        resample=int(resample),
        scale=_positive(config.get("rescale_factor", 1 / 255), "rescale_factor") if scales else 1.0,
        mean=_channels(config.get("image_mean"), "image_mean") if normalizes else (0.0,) * 3,
        std=_channels(config.get("image_std"), "image_std", _positive) if normalizes else (1.0,) * 3,
    )


def model_input(picture: Image.Image, preparation: Preparation) -> Values:
    """An RGB picture as float32 of shape (3, height, width)."""
    resized = picture
    if preparation.size is not None:
        resized = picture.resize(_target(picture, preparation.size), Image.Resampling(preparation.resample))
    pixels = np.asarray(resized)
    if preparation.crop is not None:
        pixels = _middle(pixels, preparation.crop)
    # In these types and this order transformers does it, which decides the last bits.
    values = (pixels.astype(np.float64) * preparation.scale).astype(np.float32)
    mean, std = (np.array(each, np.float32) for each in (preparation.mean, preparation.std))
    normal: Values = (values - mean) / std
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def _target(picture: Image.Image, size: tuple[int, int] | int) -> tuple[int, int]:
    """(width, height) after resizing."""
    if isinstance(size, tuple):
        return size[1], size[0]
    longer = int(size * max(picture.size) / min(picture.size))
    return (size, longer) if picture.width <= picture.height else (longer, size)


def _middle(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of (height, width, 3) pixels, with black around it where it is larger than they are."""
    short = [max(0, wanted - there) for wanted, there in zip(size, pixels.shape, strict=False)]
    around = [(math.ceil(missing / 2), missing // 2) for missing in short]
    padded = np.pad(pixels, (*around, (0, 0)))
    top, left = ((there - wanted) // 2 for wanted, there in zip(size, padded.shape, strict=False))
    return padded[top : top + size[0], left : left + size[1]]


def _size(value: object, is_square: bool) -> tuple[int, int] | int:
    if isinstance(value, Mapping) and set(value) == {"shortest_edge"}:
        return _side(value["shortest_edge"], "size")
    if isinstance(value, Mapping) or is_square:
        return _sides(value, "size")
    return _side(value, "size")


def _sides(value: object, name: str) -> tuple[int, int]:
    if not isinstance(value, Mapping):
        return _side(value, name), _side(value, name)
    if set(value) != {"height", "width"}:
        raise ValueError(f"its {name} {_short(dict(value))} is not understood")
    return _side(value["height"], name), _side(value["width"], name)


def _side(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIDE:
        raise ValueError(f"its {name} {_short(value)} is no number of pixels from 1 to {MAX_SIDE}")
    return value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"its {name} {_short(value)} is no number")
    return float(value)


def _positive(value: object, name: str) -> float:
    number = _number(value, name)
    if number <= 0:
        raise ValueError(f"its {name} {_short(value)} is not over 0")
    return number


def _channels(value: object, name: str, read: Any = _number) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"its {name} is no list of three numbers")
    return tuple(read(one, name) for one in value)


def _short(value: object) -> str:
    return repr(value)[:60]
