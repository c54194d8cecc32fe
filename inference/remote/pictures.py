"""Pictures on their way: references as they are sent, answers as pixels."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

import numpy as np
from PIL import Image, ImageOps

from catalogs.requests import Reference
from inference.engine import LoadReference, Pixels
from inference.models.limits import HOSTED_INPUT_PIXELS

PNG_LIMIT = 4 * 2**20
REFERENCE_CACHE = 64
_FORMATS = ("PNG", "JPEG", "WEBP")
SAME_SHAPE = 0.03
"""How far the ratio of a picture of another size may be off for it to be cropped and resized."""


class EncodedReferences:
    """References as they are sent; the last few are kept, as shots of a product share theirs."""

    def __init__(self, load: LoadReference) -> None:
        self._load, self._known, self._lock = load, OrderedDict[str, bytes](), threading.Lock()

    def get(self, reference: Reference) -> bytes:
        """One reference; threads may ask side by side.

        Raises:
            ReferenceImageError: it cannot be loaded.
        """
        known = self._known.get(reference.sha256)
        if known is None:
            known = encode_reference(self._load(reference))
            with self._lock:
                self._known[reference.sha256] = known
                if len(self._known) > REFERENCE_CACHE:
                    self._known.popitem(last=False)
        return known


def encode_reference(image: Image.Image) -> bytes:
    """A reference as it is sent: at most what a model keeps of it, lossless while that stays small."""
    image = image.convert("RGB")
    pixels = image.width * image.height
    if pixels > HOSTED_INPUT_PIXELS:
        scale = (HOSTED_INPUT_PIXELS / pixels) ** 0.5
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    if buffer.tell() > PNG_LIMIT:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


class OtherPicture(Exception):
    """What was downloaded is not what was asked for."""


def pixels_of(data: bytes, width: int, height: int) -> tuple[Pixels, str]:
    """Pixels of an answer in the size that was asked for, and a note where they had to be brought to it.

    Raises:
        OtherPicture: it cannot be read, or has another shape.
    """
    picture = _read(data)
    if picture.size == (width, height):
        return np.array(picture), ""
    text = _other_size(picture, width, height)
    if abs(picture.width * height / (picture.height * width) - 1) > SAME_SHAPE:
        raise OtherPicture(text)
    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    return np.array(fitted), f"{text}; cropped and resized"


def exact_pixels(data: bytes, width: int, height: int) -> tuple[Pixels, str]:
    """Pixels of an answer that has the size that was asked for, and a note where it came with losses.

    Raises:
        OtherPicture: it cannot be read, or has another size.
    """
    picture = _read(data)
    if picture.size != (width, height):
        raise OtherPicture(_other_size(picture, width, height))
    return np.array(picture), "" if data.startswith(b"\x89PNG") else "the server answered no PNG, with losses perhaps"


def _read(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OtherPicture(f"the picture cannot be read ({type(error).__name__})") from None


def _other_size(picture: Image.Image, width: int, height: int) -> str:
    return f"the API answered {picture.width}x{picture.height} pixels instead of {width}x{height}"
