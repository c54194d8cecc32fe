"""A finished picture as the bytes of a file, within its channel's byte limit."""

from __future__ import annotations

import io
import zlib
from typing import Any

from PIL import Image

from catalogs.campaigns.channels import FORMATS, Channel
from catalogs.errors import WorkError
from catalogs.requests import Reason

QUALITY_FLOOR = 40
"""Below it JPEG and WebP show blocks and banding: a smaller file is refused instead."""

FULL_CHROMA_FROM = 90
"""JPEG quality from which colour is not subsampled: coloured edges of products and type stay sharp."""


class FinishingError(WorkError):
    """One asset could not be finished; `reason` is its entry of the closed list.

    Attributes:
        final: it would only come again until the asset's inputs change.
    """

    reason = Reason.ENCODE_ERROR
    final = True


class OverByteLimit(FinishingError):
    """No encoding that is good enough keeps the channel's byte limit.

    Args:
        needed: the least limit that can be kept.
        other: what helps too, after "or".
    """

    reason = Reason.OVER_BYTE_LIMIT

    def __init__(self, problem: str, needed: int, other: str = "") -> None:
        super().__init__(f"{problem}; set max_bytes to {needed} or more{f', or {other}' if other else ''}")
        self.problem, self.needed, self.other = problem, needed, other


def encode_within_limit(picture: Image.Image, channel: Channel, embedded: dict[str, Any]) -> tuple[bytes, int | None]:
    """Bytes and quality: the highest quality up to the channel's that keeps its limit, by bisection."""
    limit = channel.max_bytes
    lossless = channel.format == "png"
    data = _encode(picture, channel.format, channel.quality, embedded)
    if limit is None or len(data) <= limit:
        return data, None if lossless else channel.quality
    if lossless:
        data = _encode(picture, channel.format, channel.quality, embedded | _SMALLEST_PNG)
        if len(data) <= limit:
            return data, None
        problem = f"the PNG has {len(data):,} bytes, over {channel.name}'s {limit:,}"
        raise OverByteLimit(problem, len(data), "use jpeg or webp")
    smallest = _encode(picture, channel.format, QUALITY_FLOOR, embedded)
    if len(smallest) > limit:
        problem = f"{len(smallest):,} bytes even at quality {QUALITY_FLOOR}, over {channel.name}'s {limit:,}"
        raise OverByteLimit(problem, len(smallest))
    best, fits, fails = smallest, QUALITY_FLOOR, channel.quality
    while fails - fits > 1:
        middle = (fits + fails) // 2
        data = _encode(picture, channel.format, middle, embedded)
        if len(data) <= limit:
            best, fits = data, middle
        else:
            fails = middle
    return best, fits


def _encode(picture: Image.Image, format: str, quality: int, embedded: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    try:
        picture.save(buffer, FORMATS[format].pillow, **{**_codec(format, quality), **embedded})
    except (OSError, ValueError) as error:
        raise FinishingError(f"{format} encoding failed: {one_line(error)}") from error
    return buffer.getvalue()


# Photos and packshots come out no larger than at zlib's default level, in a quarter of the time; only flat graphics
# gain by the search, which is made where a byte limit asks for it.
FAST_PNG: dict[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}
_SMALLEST_PNG: dict[str, Any] = {"compress_level": 9, "compress_type": zlib.Z_DEFAULT_STRATEGY}


def _codec(format: str, quality: int) -> dict[str, Any]:
    if format == "png":
        return FAST_PNG
    if format == "webp":
        return {"quality": quality, "method": 4}
    if format == "avif":
        # One thread: the threads behind the engine are several already.
        chroma = "4:4:4" if quality >= FULL_CHROMA_FROM else "4:2:0"
        return {"quality": quality, "subsampling": chroma, "speed": 6, "max_threads": 1}
    # Neither optimised nor progressive: Pillow gives libjpeg one buffer for the whole file then, too
    # small for a noisy picture, and the save fails.
    return {"quality": quality, "subsampling": "4:4:4" if quality >= FULL_CHROMA_FROM else "4:2:0"}


def one_line(error: BaseException) -> str:
    """What a codec says of its failure."""
    return " ".join(str(error).split()) or type(error).__name__
