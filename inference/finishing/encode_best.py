"""A finished picture at the highest quality within its channel's byte limit, and never worse than a floor."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from catalogs.campaigns.channels import FORMATS, Channel
from inference.finishing.encode import FULL_CHROMA_FROM, FinishingError, OverByteLimit, one_line
from inference.quality.similarity import structural_similarity

LEAST_SIMILARITY = 0.9
"""SSIM with the picture before. Six product photos as JPEG had 0.82 or more at quality 30, 0.87 at 50, 0.92 at 75."""

LEAST_QUALITY = 10
HIGHEST_QUALITY: Mapping[str, int] = MappingProxyType({"jpeg": 95, "webp": 95, "avif": 90})
"""From which on files grow and pictures no longer gain: SSIM is over 0.99."""


def encode_best(picture: Image.Image, channel: Channel, embedded: Mapping[str, Any]) -> tuple[bytes, int, float]:
    """Bytes, quality and SSIM: the highest quality up to the format's best that keeps the limit, by bisection.

    Raises:
        OverByteLimit: what keeps the limit has an SSIM under `LEAST_SIMILARITY`, or nothing keeps it.
        FinishingError: the codec refused the picture.
    """
    limit, highest = channel.max_bytes, HIGHEST_QUALITY[channel.format]
    encoded = partial(_encoded, picture, channel.format, embedded)
    quality, data = highest, encoded(highest)
    if limit is not None and len(data) > limit:
        quality, data = _within(limit, highest, encoded)
    similarity = structural_similarity(np.asarray(picture), _decoded(data))
    if limit is not None and (len(data) > limit or (quality < highest and similarity < LEAST_SIMILARITY)):
        told = f"{len(data):,} bytes at quality {quality} look like {similarity:.3f} of the picture (SSIM)"
        problem = f"{told}, and {channel.name} takes {limit:,} bytes and packshot {LEAST_SIMILARITY} or more"
        needed = _least_bytes(picture, highest, encoded)
        raise OverByteLimit(problem, max(needed, limit + 1), "make the picture smaller")
    return data, quality, similarity


def _within(limit: int, fails: int, encoded: Callable[[int], bytes]) -> tuple[int, bytes]:
    """The highest quality that keeps a limit, else the lowest there is."""
    fits, best = LEAST_QUALITY, encoded(LEAST_QUALITY)
    if len(best) > limit:
        return fits, best
    while fails - fits > 1:
        middle = (fits + fails) // 2
        data = encoded(middle)
        if len(data) <= limit:
            fits, best = middle, data
        else:
            fails = middle
    return fits, best


def _least_bytes(picture: Image.Image, highest: int, encoded: Callable[[int], bytes]) -> int:
    """Bytes of the lowest quality that looks well enough, of the highest there is where none does."""
    pixels, poor, data = np.asarray(picture), LEAST_QUALITY - 1, encoded(highest)
    while highest - poor > 1:
        middle = (poor + highest) // 2
        tried = encoded(middle)
        if structural_similarity(pixels, _decoded(tried)) < LEAST_SIMILARITY:
            poor = middle
        else:
            highest, data = middle, tried
    return len(data)


def _encoded(picture: Image.Image, format: str, embedded: Mapping[str, Any], quality: int) -> bytes:
    """Progressive JPEG where libjpeg takes it: its one buffer can be too small for a noisy picture."""
    try:
        return _saved(picture, format, {**embedded, **_codec(format, quality)})
    except (OSError, ValueError) as error:
        if format == "jpeg":
            try:
                return _saved(picture, format, {**embedded, **_codec(format, quality), "progressive": False})
            except (OSError, ValueError):
                pass
        raise FinishingError(f"{format} encoding failed: {one_line(error)}") from error


def _saved(picture: Image.Image, format: str, options: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, FORMATS[format].pillow, **options)
    return buffer.getvalue()


def _codec(format: str, quality: int) -> dict[str, Any]:
    full = quality >= FULL_CHROMA_FROM
    if format == "webp":
        return {"quality": quality, "method": 5}
    if format == "avif":
        # One thread: the threads behind the engine are several already.
        return {"quality": quality, "subsampling": "4:4:4" if full else "4:2:0", "speed": 6, "max_threads": 1}
    return {"quality": quality, "subsampling": "4:4:4" if full else "4:2:0", "progressive": True}


def _decoded(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
