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
from catalogs.requests import Reason
from inference.engine import Pixels
from inference.finishing.crop import MOST_ENLARGED, Fill, ProductOf, cropped, cropped_to_subject, no_product
from inference.finishing.encode import FinishingError, encode_within_limit
from inference.finishing.encode_best import encode_best
from inference.finishing.metadata import AssetMetadata, embedded
from inference.finishing.overlay import Load, paint
from inference.finishing.pixels import as_image, pixel_sha256
from inference.finishing.sign import Edit, Sign, crop_edits, signed_within_limit
from inference.finishing.watermark import FileMarker
from inference.finishing.white import made_white, refuse_off_white
from inference.quality.background import measure_ground, white_edge

_ABOUT = 0.02  # of a side: a box is as fine as the pixels of the small picture that it is told from


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


class SubjectTooSmall(FinishingError):
    """A crop to the subject was asked for, and the subject is too small in its picture for what the channel wants."""

    reason = Reason.SUBJECT_TOO_SMALL


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
        SubjectTooSmall: cropped to it, the subject takes less of the file than the channel wants.
        BackgroundNotWhite: a white background was asked for and cannot be made, or the watermark made it grey.
        WatermarkFailed: the plug-in failed.
        FinishingError: the codec refused the picture, or the file could not be signed.
    """
    measures: dict[str, float] = {}
    shaped = _shaped(as_image(pixels), channel, metadata.proof, product, measures)
    if overlay is not None:
        _paint(shaped, overlay, measures)
    if marker is not None and not metadata.proof:
        marked, edits = marker.marked(shaped.picture), [*shaped.edits, marker.edit]
        shaped = replace(shaped, picture=marked, edits=edits)
    encode = partial(_encoded, shaped.picture, embedded(metadata, channel.format), measures)
    data, quality = signed_within_limit(encode, channel, sign, shaped.edits) if sign else encode(channel)
    if channel.makes_white and not metadata.proof:
        measures["fill"] = refuse_off_white(_decoded(data)).fill
        shaped.remarks.extend(_too_small(channel, measures["fill"]))
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
    """A picture of the channel's size, with the background it asks for, and what was done to it.

    Attributes:
        fill: share of it that the subject takes as it was cropped, None where that is the centre.
    """

    picture: Image.Image
    edits: list[Edit]
    remarks: list[Remark]
    fill: float | None = None


def _shaped(
    image: Image.Image, channel: Channel, proof: bool, product: ProductOf, measures: dict[str, float]
) -> _Shaped:
    if proof:
        picture = cropped(image, channel.width, channel.height)
        return _Shaped(picture, crop_edits(image.size, None, picture.size), [])
    shaped = _in_shape(image, channel, channel.fill, product)
    if shaped.fill is not None:
        shaped, measures["fill"] = _filled(image, channel, product, shaped)
        _refuse_too_small(channel, measures["fill"])
    if channel.ground == "white" and not channel.makes_white:
        shaped.remarks.extend(_off_white(channel, shaped.picture, measures))
    return shaped


def _off_white(channel: Channel, picture: Image.Image, measures: dict[str, float]) -> list[Remark]:
    edge = white_edge(np.asarray(picture))
    if not edge.off_white:
        return []
    measures["off_white"] = edge.off_white
    what = f"the background is not white as {channel.name} wants it (`background: {{make: white}}` makes it)"
    return [Remark(what, f"{edge.off_white:.1%} of the edge are not, the darkest {edge.darkest}")]


def _in_shape(image: Image.Image, channel: Channel, fill: Fill | None, product: ProductOf) -> _Shaped:
    """Of the channel's size, and white where it asks for that."""
    shaped = _cropped(image, channel, fill, product)
    if not channel.makes_white:
        return shaped
    edits = [*shaped.edits, Edit("background", {"make": "white"})]
    return replace(shaped, picture=made_white(shaped.picture), edits=edits)


def _cropped(image: Image.Image, channel: Channel, fill: Fill | None, product: ProductOf) -> _Shaped:
    size = (channel.width, channel.height)
    if channel.crop == "centre":
        return _Shaped(cropped(image, *size), crop_edits(image.size, None, size), [])
    crop = cropped_to_subject(image, *size, fill, product)
    remarks = [Remark(f"cropped to the centre for {channel.name}", crop.problem)] if crop.problem else []
    return _Shaped(crop.picture, crop_edits(image.size, crop.part, size), remarks, crop.fill)


def _filled(image: Image.Image, channel: Channel, product: ProductOf, shaped: _Shaped) -> tuple[_Shaped, float]:
    """Cropped again where a platform sees another share of the subject on white, or its shadow at the edge.

    Returns:
        It, and the share that is seen of it.
    """
    meant, fill = shaped.fill or 0.0, channel.fill
    if fill is None or not channel.makes_white:  # any other ground may differ from itself by as much as a shadow does
        return shaped, meant
    seen = _seen(shaped)
    if _lies_in(seen, fill) and _has_white_edge(shaped):
        return shaped, seen
    scale = meant / seen
    asked = (fill[0] * scale, min(1.0, fill[1] * scale)) if _has_white_edge(shaped) else (fill[0], fill[0] + _ABOUT)
    again = _in_shape(image, channel, asked, product)
    now = _seen(again)
    return (again, now) if _lies_in(now, fill) and _has_white_edge(again) else (shaped, seen)


def _has_white_edge(shaped: _Shaped) -> bool:
    return not white_edge(np.asarray(shaped.picture)).off_white


def _seen(shaped: _Shaped) -> float:
    return measure_ground(np.asarray(shaped.picture)).fill or shaped.fill or 1.0


def _lies_in(fill: float, span: Fill) -> bool:
    return span[0] <= fill and (fill <= span[1] or span[1] >= 1)


def _refuse_too_small(channel: Channel, fill: float) -> None:
    if channel.fill is None or fill >= channel.fill[0] - _ABOUT:
        return
    most = f"enlarged {MOST_ENLARGED:g} times, which is the most"
    wants = f"{channel.name} wants {channel.fill[0]:.0%} or more"
    fix = "ask for a closer view in the prompt, or set the channel's `fill`"
    raise SubjectTooSmall(f"the subject takes {fill:.0%} of the picture's side, {most}, and {wants}; {fix}")


def _too_small(channel: Channel, fill: float) -> list[Remark]:
    """What is said of a channel that is not cropped to its subject."""
    if channel.crop == "subject" or channel.fill is None or fill >= channel.fill[0] - _ABOUT:
        return []
    what = f"the subject is smaller than {channel.name} wants it (`crop: subject` makes it larger)"
    return [Remark(what, f"{fill:.0%} of the picture's side, and not {channel.fill[0]:.0%}")]


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
