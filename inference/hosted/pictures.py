"""Pictures on their way: references as they are sent, downloads as pixels."""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PIL import Image

from catalogs.requests import Reason, Reference, RenderRequest
from inference.engine import Failed, LoadReference, Rendered
from inference.models.limits import HOSTED_INPUT_PIXELS

PNG_LIMIT = 4 * 2**20
REFERENCE_CACHE = 64


class EncodedReferences:
    """References as base64; the last few are kept, as shots of a product share theirs."""

    def __init__(self, load: LoadReference) -> None:
        self._load, self._known, self._lock = load, OrderedDict[str, str](), threading.Lock()

    def get(self, reference: Reference) -> str:
        """One reference; threads may ask side by side.

        Raises:
            ReferenceImageError: it cannot be loaded.
        """
        known = self._known.get(reference.sha256)
        if known is None:
            known = base64.b64encode(encode_reference(self._load(reference))).decode()
            with self._lock:
                self._known[reference.sha256] = known
                if len(self._known) > REFERENCE_CACHE:
                    self._known.popitem(last=False)
        return known


def encode_reference(image: Image.Image) -> bytes:
    """A reference as it is sent: at most what the API keeps of it, lossless while that stays small."""
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


@dataclass
class Picture:
    """A downloaded picture and what is known of its making."""

    request: RenderRequest
    data: bytes
    prompt: str
    seed: int
    cost: float
    seconds: float


def decode(picture: Picture) -> Rendered | Failed:
    """Pixels of a download, of the size that was asked for."""
    request = picture.request
    try:
        with Image.open(io.BytesIO(picture.data)) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Failed(request, Reason.NOT_READY, f"the picture cannot be read ({type(error).__name__})", final=False)
    height, width = pixels.shape[:2]
    if (width, height) != (request.width, request.height):
        detail = f"the API answered {width}x{height} pixels instead of {request.width}x{request.height}"
        return Failed(request, Reason.ENGINE_ERROR, detail, final=True, cost=picture.cost)
    prompt = "" if picture.prompt == request.prompt else picture.prompt
    return Rendered(request, pixels, picture.seconds, 1, prompt, picture.cost, picture.seed)
