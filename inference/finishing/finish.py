"""From a master's pixels to a delivered file: crop, background, overlay, watermark, encode, sign, hash, in this order.

Metadata is written by the one encoding of each file, because a second save by any tool drops it, and
signing must come after it, because any later change makes the credential read as tampered.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from catalogs.campaigns.channels import FORMATS, Channel
from catalogs.campaigns.drawn_overlay import DrawnText, read_overlay
from inference.engine import Pixels
from inference.finishing.crop import ProductOf, cropped, cropped_to_subject, no_product
from inference.finishing.encode import encode_within_limit
from inference.finishing.encode_best import encode_best
from inference.finishing.metadata import AssetMetadata, embedded
from inference.finishing.overlay import Load, paint
from inference.finishing.pixels import as_image, pixel_sha256
from inference.finishing.sign import Edit, Sign, crop_edits, signed_within_limit
from inference.finishing.watermark import FileMarker
from inference.finishing.white import made_white, refuse_off_white
from inference.quality.background import white_edge


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be known of a delivered file.

    Attributes:
        what: one of a few texts, so that they can be counted.
        detail: of this one.
    """

    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Finished:
    """A delivered file: its bytes and what the asset catalog records of them.

    Attributes:
        sha256: of the bytes, after signing.
        pixel_sha256: of the finished pixels before encoding; equal for equal pictures in any format.
        quality: the one that kept the byte limit, None for PNG.
        remarks: what its channel would have otherwise.
        measures: what was measured of it on the way, by name.
        picture: the finished pixels, for a thumbnail without decoding the file again.
    """

    data: bytes
    sha256: str
    pixel_sha256: str
    format: str
    width: int
    height: int
    quality: int | None
    remarks: tuple[Remark, ...]
    measures: dict[str, float]
    picture: Image.Image = field(repr=False, compare=False)

    @property
    def extension(self) -> str:
        return FORMATS[self.format].extension

    @property
    def mime(self) -> str:
        return FORMATS[self.format].mime


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is drawn on a file.

    Attributes:
        elements: as `catalogs.campaigns.drawn_overlay.written` gives them.
        load: the bytes of fonts and logos.
    """

    elements: str
    load: Load


def finish(
    pixels: Pixels | Image.Image,
    channel: Channel,
    metadata: AssetMetadata,
    sign: Sign | None = None,
    overlay: Overlay | None = None,
    marker: FileMarker | None = None,
    product: ProductOf = no_product,
) -> Finished:
    """Finish one master for one channel. The same input and library versions give the same bytes, where nobody signs.

    Of a proof nothing is asked but size, format, overlay and bytes.

    Args:
        sign: makes a signed file of an encoded one, see `inference.finishing.sign`.
        marker: what puts a watermark into the pixels, see `inference.finishing.watermark`; never into a proof.
        product: of the reference photo, for a channel that is cropped to it; what it raises goes to the caller.

    Raises:
        OverByteLimit: the file cannot be made small enough at quality 40 or more, or is a PNG; or looks too bad so.
        TextDoesNotFit, MissingGlyph, OverlayFileError: the overlay cannot be drawn.
        BackgroundNotWhite: a white background was asked for and cannot be made, or the watermark made it grey.
        WatermarkFailed: the plug-in failed.
        FinishingError: the codec refused the picture, or the file could not be signed.
    """
    shaped = _shaped(as_image(pixels), channel, metadata.proof, product)
    measures: dict[str, float] = {}
    if overlay is not None:
        _paint(shaped, overlay, measures)
    if marker is not None and not metadata.proof:
        marked, edits = marker.marked(shaped.picture), [*shaped.edits, marker.edit]
        shaped = replace(shaped, picture=marked, edits=edits)
    encode = partial(_encoded, shaped.picture, embedded(metadata, channel.format), measures)
    data, quality = signed_within_limit(encode, channel, sign, shaped.edits) if sign else encode(channel)
    if channel.makes_white and not metadata.proof:
        measures["fill"] = refuse_off_white(_decoded(data)).fill
    return Finished(
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256(np.asarray(shaped.picture)),
        format=channel.format,
        width=channel.width,
        height=channel.height,
        quality=quality,
        remarks=tuple(shaped.remarks),
        measures=measures,
        picture=shaped.picture,
    )


@dataclass(frozen=True, slots=True)
class _Shaped:
    """A picture of the channel's size, with the background it asks for, and what was done to it."""

    picture: Image.Image
    edits: list[Edit]
    remarks: list[Remark]


def _shaped(image: Image.Image, channel: Channel, proof: bool, product: ProductOf) -> _Shaped:
    if proof:
        picture = cropped(image, channel.width, channel.height)
        return _Shaped(picture, crop_edits(image.size, None, picture.size), [])
    shaped = _cropped(image, channel, product)
    if channel.makes_white:
        edits = [*shaped.edits, Edit("background", {"make": "white"})]
        return _Shaped(made_white(shaped.picture), edits, shaped.remarks)
    if channel.ground == "white" and (edge := white_edge(np.asarray(shaped.picture))).off_white:
        what = f"the background is not white as {channel.name} wants it (`background: {{make: white}}` makes it)"
        shaped.remarks.append(Remark(what, f"{edge.off_white:.1%} of the edge are not, the darkest {edge.darkest}"))
    return shaped


def _cropped(image: Image.Image, channel: Channel, product: ProductOf) -> _Shaped:
    size = (channel.width, channel.height)
    if channel.crop == "centre":
        return _Shaped(cropped(image, *size), crop_edits(image.size, None, size), [])
    crop = cropped_to_subject(image, *size, channel.fill, product)
    remarks = [Remark(f"cropped to the centre for {channel.name}", crop.problem)] if crop.problem else []
    return _Shaped(crop.picture, crop_edits(image.size, crop.part, size), remarks)


def _paint(shaped: _Shaped, overlay: Overlay, measures: dict[str, float]) -> None:
    painted = paint(shaped.picture, overlay.elements, overlay.load)
    if painted.contrast is not None:
        measures["text_contrast"] = painted.contrast
    shaped.remarks.extend(Remark(*remark) for remark in painted.remarks)
    drawn = read_overlay(overlay.elements)
    texts = sum(isinstance(element, DrawnText) for element in drawn)
    shaped.edits.append(Edit("overlay", {"texts": texts, "logos": len(drawn) - texts}))


def _encoded(
    picture: Image.Image, options: dict[str, Any], measures: dict[str, float], channel: Channel
) -> tuple[bytes, int | None]:
    """Bytes and quality; what was measured of them goes into `measures`."""
    if not channel.encodes_best:
        return encode_within_limit(picture, channel, options)
    data, quality, measures["ssim"] = encode_best(picture, channel, options)
    return data, quality


def _decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")
