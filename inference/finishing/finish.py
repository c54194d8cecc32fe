"""From a master's pixels to a delivered file: crop, overlay, encode, sign, hash, in this order.

Metadata is written by the one encoding of each file, because a second save by any tool drops it, and
signing must come after it, because any later change makes the credential read as tampered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from catalogs.campaigns.channels import FORMATS, Channel
from inference.engine import Pixels
from inference.finishing.crop import cropped
from inference.finishing.encode import encode_within_limit
from inference.finishing.metadata import AssetMetadata, embedded
from inference.finishing.pixels import as_image, pixel_sha256
from inference.finishing.sign import Sign, crop_edits, signed_within_limit


@dataclass(frozen=True, slots=True)
class Finished:
    """A delivered file: its bytes and what the asset catalog records of them.

    Attributes:
        sha256: of the bytes, after signing.
        pixel_sha256: of the finished pixels before encoding; equal for equal pictures in any format.
        quality: the one that kept the byte limit, None for PNG.
        picture: the finished pixels, for a thumbnail without decoding the file again.
    """

    data: bytes
    sha256: str
    pixel_sha256: str
    format: str
    width: int
    height: int
    quality: int | None
    picture: Image.Image = field(repr=False, compare=False)

    @property
    def extension(self) -> str:
        return FORMATS[self.format].extension

    @property
    def mime(self) -> str:
        return FORMATS[self.format].mime


def finish(
    pixels: Pixels | Image.Image, channel: Channel, metadata: AssetMetadata, sign: Sign | None = None
) -> Finished:
    """Finish one master for one channel. The same input and library versions give the same bytes, where nobody signs.

    Args:
        sign: makes a signed file of an encoded one, see `inference.finishing.sign`.

    Raises:
        OverByteLimit: the file cannot be made small enough at quality 40 or more, or is a PNG.
        FinishingError: the codec refused the picture, or the file could not be signed.
    """
    master = as_image(pixels)
    picture = cropped(master, channel.width, channel.height)
    # Overlays (logo, legal line) belong here, on the final size and before the one encoding.
    told = embedded(metadata, channel.format)
    if sign is None:
        data, quality = encode_within_limit(picture, channel, told)
    else:
        data, quality = signed_within_limit(picture, channel, told, sign, crop_edits(master.size, picture.size))
    return Finished(
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256(np.asarray(picture)),
        format=channel.format,
        width=channel.width,
        height=channel.height,
        quality=quality,
        picture=picture,
    )
