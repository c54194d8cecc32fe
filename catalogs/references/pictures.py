"""Bytes of a photo into checked, upright, opaque sRGB pixels. The one seam for what Pillow raises."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from catalogs.references.memory import PIXELS

MAX_PIXELS = 100_000_000
# Pillow only warns, on stderr, of what is a little over its limit; ours is asked of every picture before it is decoded.
Image.MAX_IMAGE_PIXELS = None
# Broken metadata of a photo that can be used is nobody's business, and its warning names no file.
warnings.filterwarnings("ignore", module=r"PIL\.")
# What it logs on its way to an error would stand on stderr beside ours, where nobody has set logging up.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Pillow's names of what is read; what they are called for people.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
_READABLE = "use JPEG, PNG, WebP, AVIF, TIFF or BMP"
# A phone's JPEG often carries a second picture for depth or a preview; the first is the photo.
_FIRST_OF_SEVERAL = frozenset({"MPO"})
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_SRGB = ImageCms.createProfile("sRGB")
_COLOUR_SPACE = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
_GREY = frozenset({"1", "L", "LA", "La"})
_DEEP_GREY = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_ONE_BYTE = frozenset({"1", "L", "P"})
# Their decoders keep the picture several times: bytes a pixel, measured at 25 megapixels.
_DECODED_WHOLE = {"WEBP": 17, "AVIF": 12}
_MODES = _GREY | _DEEP_GREY | {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}


_STRIP = 512  # rows
_SAMPLE = 256  # a side, of the grid of pixels that tells blank pictures
_BLANK = 8  # of 255: what noise and compression make of one colour
_CLEAR = 8  # of 255
_JPEG_SCALE = 8
_LONGEST_NAME = 80


class Measures(NamedTuple):
    """What is known of a picture.

    Attributes:
        width: pixels, after EXIF transposition.
        height: pixels, after EXIF transposition.
        format: "JPEG", "PNG", ...
        mode: Pillow's name of the pixel layout as stored, e.g. "RGB", "RGBA", "CMYK".
        is_clear: nothing of it can be seen.
        is_blank: one colour almost everywhere.
    """

    width: int
    height: int
    format: str
    mode: str
    is_clear: bool = False
    is_blank: bool = False


class Header(NamedTuple):
    """What a file says of its picture, before any pixel is decoded.

    Attributes:
        width: pixels as stored, before EXIF transposition.
        height: pixels as stored.
        format: "JPEG", "PNG", ...
        mode: Pillow's name of the pixel layout as stored, e.g. "RGB", "P", "CMYK"; "RGB" also for 16 bits a colour.
        bits: a colour or grey value takes in the file, 0 where that is not known (AVIF).
        frames: of an animation, or pages; a JPEG's previews are none.
        profile: name of the embedded ICC profile, "" without one, "unreadable" where it is broken.
        has_alpha: whether there is transparency, be it of no effect.
    """

    width: int
    height: int
    format: str
    mode: str
    bits: int
    frames: int
    profile: str
    has_alpha: bool


class BadPicture(Exception):
    """Bytes that are no usable picture: what is wrong, and what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; {fix}")


def measure(data: bytes, max_pixels: int = MAX_PIXELS) -> Measures:
    """What a picture is; reads all of it, to find what is cut short.

    Raises:
        BadPicture: no picture, damaged, animated, or of more than `max_pixels`.
    """
    with _opened(io.BytesIO(data), max_pixels) as picture:
        (width, height), mode = picture.size, picture.mode
        # A JPEG is read to its end in an eighth of its size as well, in a fraction of memory and time.
        picture.draft(None, (max(1, width // _JPEG_SCALE), max(1, height // _JPEG_SCALE)))
        with PIXELS.holding(_memory(picture, width * height)):
            _load(picture)
            clear, blank = _looks(picture)
        if _orientation(picture) >= 5:
            width, height = height, width
        return Measures(width, height, _format(picture), mode, clear, blank)


def header(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """What a file says of its picture; animations too. What is cut short after the header is not found.

    Raises:
        BadPicture: no picture, or of more than `max_pixels`.
    """
    with _opened(io.BytesIO(data), max_pixels, still=False) as picture:
        return Header(
            *picture.size,
            format=_format(picture),
            mode=picture.mode,
            bits=_bits(picture, data),
            frames=_frames(picture),
            profile=_profile_name(picture.info.get("icc_profile")),
            has_alpha=picture.has_transparency_data,
        )


def to_rgb(data: bytes, background: str = "#FFFFFF", max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Upright sRGB pixels, mode "RGB", transparency laid on `background` ("#RRGGBB").

    Raises:
        BadPicture: as `measure`.
    """
    file = io.BytesIO(data)
    del data
    with _opened(file, max_pixels) as picture, PIXELS.holding(2 * _memory(picture, picture.width * picture.height)):
        _load(picture)
        method = _UPRIGHT.get(_orientation(picture))
        file.close()  # frees its bytes, which may be as many as the pixels
        opaque = _opaque(picture, background)
        upright = opaque.transpose(method) if method is not None else opaque
        upright.info.clear()
        with suppress(Exception):  # as in `_orientation`
            upright.getexif().clear()
        return upright


def to_rgba(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Upright sRGB pixels with their transparency, mode "RGBA".

    Raises:
        BadPicture: as `measure`.
    """
    with _opened(io.BytesIO(data), max_pixels) as picture, PIXELS.holding(4 * _memory(picture, 0)):
        _load(picture)
        colours, alpha = _split(_eight_bit(picture))
        whole = _to_srgb(colours, picture.info.get("icc_profile"))
        whole.putalpha(alpha if alpha is not None else Image.new("L", whole.size, 255))
        method = _UPRIGHT.get(_orientation(picture))
        return whole.transpose(method) if method is not None else whole


def _opaque(picture: Image.Image, background: str) -> Image.Image:
    """A picture in sRGB on its background, strip by strip: whole, its steps would be in memory several times."""
    profile = picture.info.get("icc_profile")
    if picture.mode == "RGB" and not picture.has_transparency_data and _profile(profile, "RGB") is None:
        return picture
    opaque = Image.new("RGB", picture.size)
    for top in range(0, picture.height, _STRIP):
        strip = picture.crop((0, top, picture.width, min(top + _STRIP, picture.height)))
        strip.info.update(picture.info)
        colours, alpha = _split(_eight_bit(strip))
        colours = _to_srgb(colours, profile)
        if alpha is not None:
            colours = Image.composite(colours, Image.new("RGB", colours.size, background), alpha)
        opaque.paste(colours, (0, top))
    return opaque


@contextmanager
def _opened(file: io.BytesIO, max_pixels: int, still: bool = True) -> Iterator[Image.Image]:
    """A picture that may be decoded; whatever a decoder raises in the block becomes BadPicture."""
    try:
        if not file.read(1):
            raise BadPicture("the file is empty", "save it again")
        with _recognised(file) as picture:
            _refuse_size(picture, max_pixels)
            if still:
                _refuse_frames(picture)
            yield picture
    except (BadPicture, MemoryError):
        raise
    except Exception as error:
        # Decoders answer hostile bytes with SyntaxError, struct.error, KeyError, zlib.error and more.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadPicture(f"the image is cut short or damaged ({reason})", "save it again") from error


def _recognised(file: io.BytesIO) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        if b"<svg" in file.read(4096).lower():
            raise BadPicture("is an SVG drawing, not a photo", "export it as PNG") from None
        raise BadPicture("is not an image that can be read", _READABLE) from None


def _load(picture: Image.Image) -> None:
    picture.load()
    _refuse_depth(picture)


def _memory(picture: Image.Image, pixels: int) -> int:
    """Bytes that decoding takes, about: pixels as Pillow holds them, and what the decoder keeps beside them."""
    held = picture.width * picture.height * (1 if picture.mode in _ONE_BYTE else 4)
    if picture.info.get("progressive"):
        return held + pixels * 6  # two bytes of coefficients a colour, at full size
    return pixels * _DECODED_WHOLE[picture.format] if picture.format in _DECODED_WHOLE else held


def _looks(picture: Image.Image) -> tuple[bool, bool]:
    """Whether nothing of a picture can be seen, and whether it is one colour, by a grid of its pixels."""
    sample = picture.resize((min(_SAMPLE, picture.width), min(_SAMPLE, picture.height)), Image.Resampling.NEAREST)
    sample.info.update(picture.info)
    colours, alpha = _split(_eight_bit(sample))
    if alpha is not None and np.asarray(alpha).max() < _CLEAR:
        return True, False
    seen = np.asarray(colours.convert("RGB")).reshape(-1, 3)
    if alpha is not None:
        seen = np.concatenate([seen, np.asarray(alpha).reshape(-1, 1)], axis=1)
    return False, bool((np.ptp(seen, axis=0) <= _BLANK).all())


def _refuse_size(picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise too_large(f"{width} x {height} pixels", max_pixels)
    if picture.format in _DECODED_WHOLE and width * height > max_pixels // 2:
        problem = f"{width} x {height} pixels, over the limit of {max_pixels / 2e6:g} million for {picture.format}"
        raise BadPicture(problem, "save it as PNG or JPEG, or scale it down")


def _refuse_frames(picture: Image.Image) -> None:
    frames = _frames(picture)
    if frames > 1:
        what = "pages" if picture.format == "TIFF" else "frames, an animation"
        raise BadPicture(f"has {frames} {what}", "save the one that counts as PNG or JPEG")


def _frames(picture: Image.Image) -> int:
    return 1 if picture.format in _FIRST_OF_SEVERAL else getattr(picture, "n_frames", 1)


def _bits(picture: Image.Image, data: bytes) -> int:
    """Bits a colour takes; Pillow's mode is RGB also where there are 16."""
    if picture.format == "PNG":
        return data[24] if data[12:16] == b"IHDR" else 0
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return int(max(picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))))
    return 0 if picture.format == "AVIF" else 8


def _refuse_depth(picture: Image.Image) -> None:
    if picture.mode not in _MODES:
        raise BadPicture(f"holds {picture.mode} pixels", "save it as RGB with 8 or 16 bits a channel")
    if picture.mode == "I" and np.asarray(picture).max() > 0xFFFF:
        raise BadPicture("holds more than 16 bits a pixel", "save it with 8 or 16 bits a channel")


def too_large(size: str, max_pixels: int) -> BadPicture:
    """What is wrong with a picture of so many pixels."""
    return BadPicture(f"{size}, over the limit of {max_pixels / 1e6:g} million", "scale it down")


def _format(picture: Image.Image) -> str:
    return "JPEG" if picture.format in _FIRST_OF_SEVERAL else str(picture.format)


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken metadata is no reason to refuse good pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Grey pictures of more than 8 bits scaled to 8; Pillow's own conversion would clip them."""
    if picture.mode not in _DEEP_GREY:
        return picture
    values = np.asarray(picture).astype(np.int64).clip(0)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _split(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours in a mode that a profile can describe, and the alpha channel where there is any."""
    if picture.has_transparency_data:
        both = picture.convert("LA" if picture.mode in _GREY else "RGBA")
        return both.convert("L" if both.mode == "LA" else "RGB"), both.getchannel("A")
    if picture.mode in _COLOUR_SPACE:
        return picture, None
    return picture.convert("L" if picture.mode == "1" else "RGB"), None


def _to_srgb(colours: Image.Image, icc: bytes | None) -> Image.Image:
    """Through the embedded profile where there is a usable one, else by Pillow's plain conversion."""
    profile = _profile(icc, colours.mode)
    if profile is not None:
        try:
            converted = ImageCms.profileToProfile(
                colours,
                profile,
                _SRGB,
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, ValueError, OSError):
            converted = None
        if converted is not None:
            return converted
    return colours.convert("RGB")


def _profile_name(icc: bytes | None) -> str:
    if not icc:
        return ""
    try:
        named = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
        return named.strip()[:_LONGEST_NAME] or "without a name"
    except (ImageCms.PyCMSError, ValueError, OSError, TypeError):
        return "unreadable"


def _profile(icc: bytes | None, mode: str) -> ImageCms.ImageCmsProfile | None:
    """The embedded profile, unless it is broken, of another colour model, or sRGB already."""
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        fits = profile.profile.xcolor_space.strip() == _COLOUR_SPACE.get(mode)
        named = ImageCms.getProfileDescription(profile)
    except (ImageCms.PyCMSError, ValueError, OSError, TypeError):
        return None
    # Through the tables and back, sRGB pixels would change by one here and there.
    return profile if fits and not named.startswith("sRGB") else None
