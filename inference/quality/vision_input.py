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

MAX_LONGER = 1536
"""Pixels of the longer side, where a model takes a picture in its own shape: object detectors do, and less closely."""

Values = NDArray[np.float32]

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_EDGES = {"size": {"shortest_edge": 800, "longest_edge": 1333}}
_DETECTORS: dict[str, dict[str, Any]] = {
    "RTDetr": {"size": {"height": 640, "width": 640}, "do_normalize": False},
    "Yolos": _EDGES,
    "Detr": _EDGES,
}
"""What transformers' image processors of these names do where a file does not say it."""

_YOLOS_MULTIPLE = 16


@dataclass(frozen=True, slots=True)
class Edges:
    """A size that leaves a picture its shape.

    Attributes:
        shortest: pixels of the shorter side, unless the longer one came to more than `longest`.
        multiple: both sides are cut down to one of it.
    """

    shortest: int
    longest: int
    multiple: int = 1

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) that a picture is resized to; rounded as transformers does, a strip at least one pixel."""
        short, long = min(width, height), max(width, height)
        exact: float = self.shortest
        if long / short * self.shortest > self.longest:
            exact = self.longest * short / long
        shorter = round(exact)
        stays = shorter == short and (self.multiple == 1 or width >= height)
        longer = long if stays else int(exact * long / short)
        shorter, longer = (max(side - side % self.multiple, self.multiple) for side in (shorter, longer))
        return (shorter, longer) if width <= height else (longer, shorter)


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to a picture.

    Attributes:
        size: (height, width) in pixels it is resized to, or the shorter side of it, or both edges; None leaves it.
        crop: (height, width) in pixels that are cut from its middle; None takes all.
        resample: Pillow's number of the filter.
        scale: by which 8-bit values are multiplied.
        mean: of each channel, taken off then; and `std`, divided by.
    """

    size: tuple[int, int] | int | Edges | None
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
    resizes, crops, normalizes = (
        config.get(key) is not False for key in ("do_resize", "do_center_crop", "do_normalize")
    )
    size = _size(config.get("size"), is_square) if resizes else None
    crop = _sides(config.get("crop_size"), "crop_size") if crops and config.get("crop_size") is not None else None
    if crop is None and not isinstance(size, tuple):
        raise ValueError("it makes pictures of no one size")
    return Preparation(
        size=size,
        crop=crop,
        resample=_resample(config, Image.Resampling.BICUBIC),
        scale=_scale(config),
        mean=_channels(config.get("image_mean"), "image_mean") if normalizes else (0.0,) * 3,
        std=_channels(config.get("image_std"), "image_std", _positive) if normalizes else (1.0,) * 3,
    )


def detector_preparation_of(config: Mapping[str, Any], model_type: str) -> Preparation:
    """Read a `preprocessor_config.json` of an object detector.

    One picture is no batch, so what pads a batch to its largest picture does nothing here.

    Args:
        model_type: of its `config.json`, which tells the image processor where this does not name one.

    Raises:
        ValueError: in a few words what it says that is not done here.
    """
    kind = _processor(config, model_type)
    told = {**_IMAGENET, **_DETECTORS[kind], **{key: value for key, value in config.items() if value is not None}}
    if told.get("do_resize") is False:
        raise ValueError("it leaves pictures as large as they are")
    if told.get("do_pad") is not False and "pad_size" in told:
        raise ValueError("its pad_size is not done here")
    normalizes = told.get("do_normalize") is not False
    return Preparation(
        size=_sides(told["size"], "size") if kind == "RTDetr" else _detector_size(told, kind),
        crop=None,
        resample=_resample(told, Image.Resampling.BILINEAR),
        scale=_scale(told),
        mean=_channels(told["image_mean"], "image_mean") if normalizes else (0.0,) * 3,
        std=_channels(told["image_std"], "image_std", _positive) if normalizes else (1.0,) * 3,
    )


def _processor(config: Mapping[str, Any], model_type: str) -> str:
    named = config.get("image_processor_type") or config.get("feature_extractor_type")
    if named is None:
        return {"yolos": "Yolos", "detr": "Detr"}.get(model_type, "RTDetr")
    found = next((kind for kind in _DETECTORS if str(named).startswith(kind)), None)
    if found is None:
        raise ValueError(f"its image processor {_short(named)} is none of RT-DETR, YOLOS or DETR")
    return found


def _detector_size(told: Mapping[str, Any], kind: str) -> tuple[int, int] | Edges:
    size = told["size"]
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return _sides(size, "size")
    if not isinstance(size, Mapping):  # as older files have it
        size = {"shortest_edge": size, "longest_edge": told.get("max_size", 1333)}
    if set(size) != {"shortest_edge", "longest_edge"}:
        raise ValueError(f"its size {_short(dict(size))} is not understood")
    shortest, longest = _side(size["shortest_edge"], "size"), _side(size["longest_edge"], "size", MAX_LONGER)
    return Edges(shortest, longest, _YOLOS_MULTIPLE if kind == "Yolos" else 1)


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


def _target(picture: Image.Image, size: tuple[int, int] | int | Edges) -> tuple[int, int]:
    """(width, height) after resizing."""
    if isinstance(size, Edges):
        return size.of(*picture.size)
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


def _side(value: object, name: str, most: int = MAX_SIDE) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"its {name} {_short(value)} is no number of pixels from 1 to {most}")
    return value


def _resample(config: Mapping[str, Any], otherwise: int) -> int:
    resample = config.get("resample", otherwise)
    if isinstance(resample, bool) or resample not in list(Image.Resampling):
        raise ValueError(f"its resample {_short(resample)} is no filter of Pillow")
    return int(resample)


def _scale(config: Mapping[str, Any]) -> float:
    scales = config.get("do_rescale") is not False
    return _positive(config.get("rescale_factor", 1 / 255), "rescale_factor") if scales else 1.0


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
