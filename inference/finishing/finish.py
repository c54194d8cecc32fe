"""From a master's pixels to a delivered file: crop, background, overlay, encode, sign, hash, in this order.

Metadata is written by the one encoding of each file, because a second save by any tool drops it, and
signing must come after it, because any later change makes the credential read as tampered.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from catalogs.campaigns.channels import FORMATS, Channel
from inference.engine import Pixels
from inference.finishing.crop import cropped, cropped_to_subject
from inference.finishing.encode import encode_within_limit
from inference.finishing.encode_best import encode_best
from inference.finishing.metadata import AssetMetadata, embedded
from inference.finishing.overlay import Load, paint
from inference.finishing.pixels import as_image, pixel_sha256
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
    pixels: Pixels | Image.Image, channel: Channel, metadata: AssetMetadata, overlay: Overlay | None = None
) -> Finished:
    """Finish one master for one channel. The same input and library versions give the same bytes.

    Of a proof nothing is asked but size, format, overlay and bytes.

    Raises:
        OverByteLimit: the file cannot be made small enough at quality 40 or more, or is a PNG; or looks too bad so.
        TextDoesNotFit, MissingGlyph, OverlayFileError: the overlay cannot be drawn.
        BackgroundNotWhite: a white background was asked for and cannot be made.
        FinishingError: the codec refused the picture.
    """
    picture, remarks = _shaped(as_image(pixels), channel, metadata.proof)
    measures: dict[str, float] = {}
    if overlay is not None:
        remarks += _painted(picture, overlay, measures)
    data, quality = _encoded(picture, channel, metadata, measures)
    # Content credentials belong here: they sign these bytes, and the hash names what is stored.
    if channel.makes_white and not metadata.proof:
        measures["fill"] = refuse_off_white(_decoded(data)).fill
    return Finished(
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256(np.asarray(picture)),
        format=channel.format,
        width=channel.width,
        height=channel.height,
        quality=quality,
        remarks=tuple(remarks),
        measures=measures,
        picture=picture,
    )


def _shaped(image: Image.Image, channel: Channel, proof: bool) -> tuple[Image.Image, list[Remark]]:
    """A picture of the channel's size, with the background it asks for."""
    remarks: list[Remark] = []
    if channel.crop == "subject" and not proof:
        crop = cropped_to_subject(image, channel.width, channel.height, channel.fill)
        picture = crop.picture
        if crop.problem:
            remarks.append(Remark(f"cropped to the centre for {channel.name}", crop.problem))
    else:
        picture = cropped(image, channel.width, channel.height)
    if proof:
        return picture, remarks
    if channel.makes_white:
        return made_white(picture), remarks
    if channel.ground == "white" and (edge := white_edge(np.asarray(picture))).off_white:
        what = f"the background is not white as {channel.name} wants it (`background: {{make: white}}` makes it)"
        remarks.append(Remark(what, f"{edge.off_white:.1%} of the edge are not, the darkest {edge.darkest}"))
    return picture, remarks


def _painted(picture: Image.Image, overlay: Overlay, measures: dict[str, float]) -> list[Remark]:
    painted = paint(picture, overlay.elements, overlay.load)
    if painted.contrast is not None:
        measures["contrast"] = painted.contrast
    return [Remark(*remark) for remark in painted.remarks]


def _encoded(
    picture: Image.Image, channel: Channel, metadata: AssetMetadata, measures: dict[str, float]
) -> tuple[bytes, int | None]:
    """Bytes and quality; what was measured of them goes into `measures`."""
    options = embedded(metadata, channel.format)
    if not channel.encodes_best:
        return encode_within_limit(picture, channel, options)
    data, quality, measures["ssim"] = encode_best(picture, channel, options)
    return data, quality


def _decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")
