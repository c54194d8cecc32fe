"""From a master's pixels to a delivered file: crop, overlay, encode, sign, hash, in this order.

Metadata is written by the one encoding of each file, because a second save by any tool drops it, and
signing must come after it, because any later change makes the credential read as tampered.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, PngImagePlugin

from catalogs.campaigns.channels import FORMATS, Channel
from catalogs.errors import StorageError, WorkError
from catalogs.requests import Reason

Pixels = npt.NDArray[np.uint8]

QUALITY_FLOOR = 40
"""Below it JPEG and WebP show blocks and banding: a smaller file is refused instead."""

FULL_CHROMA_FROM = 90
"""JPEG quality from which colour is not subsampled: coloured edges of products and type stay sharp."""

THUMBNAIL_SIDE = 320
SOFTWARE = "packshot"
PROOF_TITLE = "PROOF - not a render"
TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MAX_METADATA_TEXT = 500


class FinishingError(WorkError):
    """One asset could not be finished; `reason` is its entry of the closed list."""

    reason = Reason.ENCODE_ERROR


class OverByteLimit(FinishingError):
    """No encoding that is good enough keeps the channel's byte limit."""

    reason = Reason.OVER_BYTE_LIMIT


@dataclass(frozen=True, slots=True)
class AssetMetadata:
    """What a delivered file says of itself.

    Attributes:
        fingerprint: the asset's fingerprint.
        brand: name of the brand.
        product: name of the product or look, for people.
        proof: True for a layout proof, which makes no claim to be a generated picture.
        model: what made the pixels, "" when unknown.
        model_revision: its pinned revision.
        rights: the brand's legal line.
    """

    fingerprint: str
    brand: str
    product: str
    proof: bool = False
    model: str = ""
    model_revision: str = ""
    rights: str = ""


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


def finish(pixels: Pixels | Image.Image, channel: Channel, metadata: AssetMetadata) -> Finished:
    """Finish one master for one channel. The same input and library versions give the same bytes.

    Raises:
        OverByteLimit: the file cannot be made small enough at quality 40 or more, or is a PNG.
        FinishingError: the codec refused the picture.
    """
    picture = _cropped(_as_image(pixels), channel.width, channel.height)
    # Overlays (logo, legal line) belong here, on the final size and before the one encoding.
    data, quality = _encode_within_limit(picture, channel, _embedded(metadata, channel.format))
    # Content credentials belong here: they sign these bytes, and the hash names what is stored.
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


def pixel_sha256(pixels: Pixels) -> str:
    """SHA-256 of "WIDTHxHEIGHTx3" and the raw uint8 pixels of shape (height, width, 3)."""
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{width}x{height}x{channels}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def encode_master(pixels: Pixels) -> bytes:
    """Lossless PNG of uint8 pixels of shape (height, width, 3), for speed before size."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **_FAST_PNG)
    return buffer.getvalue()


def decode_master(data: bytes) -> Pixels:
    """The pixels of a stored master, uint8 of shape (height, width, 3).

    Raises:
        StorageError: the bytes are no whole picture.
    """
    return np.array(_decoded(data, "a stored master"))


def thumbnail(image: Pixels | Image.Image) -> bytes:
    """A small WebP of at most 320 px, about 10 kB or less, for galleries."""
    small = _as_image(image)
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, FORMATS["webp"].pillow, quality=70, method=4)
    return buffer.getvalue()


def thumbnail_of(data: bytes) -> bytes:
    """The thumbnail of a delivered file.

    Raises:
        StorageError: the bytes are no whole picture.
    """
    return thumbnail(_decoded(data, "a delivered file"))


def _decoded(data: bytes, what: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise StorageError(f"{what} cannot be decoded: {_one_line(error)}") from error


def _as_image(pixels: Pixels | Image.Image) -> Image.Image:
    """A picture of our own in RGB."""
    if isinstance(pixels, Image.Image):
        return pixels.convert("RGB") if pixels.mode != "RGB" else pixels.copy()
    return Image.fromarray(pixels)


def _cropped(image: Image.Image, width: int, height: int) -> Image.Image:
    """The largest centre part of the target's ratio, at exactly the target's size."""
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    across, down = width * scale, height * scale
    left, top = (image.width - across) / 2, (image.height - down) / 2
    if scale == 1:
        # Whole pixels are kept as they are: resampling by half a pixel would only blur.
        left, top = int(left), int(top)
        return image.crop((left, top, left + width, top + height))
    # Float sums can pass the edge by an ulp, which resize refuses.
    box = (max(left, 0), max(top, 0), min(left + across, image.width), min(top + down, image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _encode_within_limit(picture: Image.Image, channel: Channel, embedded: dict[str, Any]) -> tuple[bytes, int | None]:
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
        raise OverByteLimit(f"the PNG has {len(data):,} bytes, over {channel.name}'s {limit:,}; use jpeg or webp")
    smallest = _encode(picture, channel.format, QUALITY_FLOOR, embedded)
    if len(smallest) > limit:
        problem = f"{len(smallest):,} bytes even at quality {QUALITY_FLOOR}, over {channel.name}'s {limit:,}"
        raise OverByteLimit(problem)
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
        raise FinishingError(f"{format} encoding failed: {_one_line(error)}") from error
    return buffer.getvalue()


# Photos and packshots come out no larger than at zlib's default level, in a quarter of the time; only flat graphics
# gain by the search, which is made where a byte limit asks for it.
_FAST_PNG: dict[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}
_SMALLEST_PNG: dict[str, Any] = {"compress_level": 9, "compress_type": zlib.Z_DEFAULT_STRATEGY}


def _codec(format: str, quality: int) -> dict[str, Any]:
    if format == "png":
        return _FAST_PNG
    if format == "webp":
        return {"quality": quality, "method": 4}
    # Neither optimised nor progressive: Pillow gives libjpeg one buffer for the whole file then, too
    # small for a noisy picture, and the save fails.
    return {"quality": quality, "subsampling": "4:4:4" if quality >= FULL_CHROMA_FROM else "4:2:0"}


def _embedded(metadata: AssetMetadata, format: str) -> dict[str, Any]:
    """Pillow's save options that carry profile, EXIF and XMP."""
    xmp = xmp_packet(metadata)
    exif = Image.Exif()
    exif[0x0131] = SOFTWARE
    exif[0x010E] = _description(metadata).encode()
    if metadata.rights:
        exif[0x8298] = _text(metadata.rights).encode()
    options: dict[str, Any] = {"icc_profile": _srgb_profile(), "exif": exif.tobytes()}
    if format == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return options | {"pnginfo": info}
    return options | {"xmp": xmp}


@cache
def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # The header holds the moment of creation; a fixed one keeps the bytes of a file reproducible.
    profile[24:36] = bytes.fromhex("07d000010001000000000000")
    return bytes(profile)


def xmp_packet(metadata: AssetMetadata) -> bytes:
    """The XMP packet of one asset, UTF-8. Properties as in the IPTC Photo Metadata Standard 2025.1."""
    title = PROOF_TITLE if metadata.proof else _text(metadata.product)
    simple = {
        "xmp:CreatorTool": SOFTWARE,
        "dc:identifier": metadata.fingerprint,
        "photoshop:Credit": metadata.brand,
    }
    if not metadata.proof:
        simple["Iptc4xmpExt:DigitalSourceType"] = TRAINED_ALGORITHMIC_MEDIA
        simple["Iptc4xmpExt:AISystemUsed"] = metadata.model
        simple["Iptc4xmpExt:AISystemVersionUsed"] = metadata.model_revision
    lines = [f"   <{name}>{escape(_text(value))}</{name}>" for name, value in simple.items() if value]
    texts = {"dc:title": title, "dc:description": _description(metadata), "dc:rights": _text(metadata.rights)}
    lines += [_alternatives(name, text) for name, text in texts.items() if text]
    return (_XMP_HEAD + "\n".join(lines) + _XMP_TAIL).encode()


_XMP_HEAD = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
"""
_XMP_TAIL = """
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def _alternatives(name: str, text: str) -> str:
    item = f'<rdf:li xml:lang="x-default">{escape(text)}</rdf:li>'
    return f"   <{name}><rdf:Alt>{item}</rdf:Alt></{name}>"


def _description(metadata: AssetMetadata) -> str:
    what = f"{metadata.product} by {metadata.brand}" if metadata.brand else metadata.product
    return _text(f"{PROOF_TITLE}: {what}" if metadata.proof else what)


def _text(value: str) -> str:
    """Cut, and without the characters that XML 1.0 cannot hold in any spelling."""
    kept = re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", value)
    return kept[:MAX_METADATA_TEXT]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
