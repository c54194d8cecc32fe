"""Fonts and logos of overlays: found and checked when a plan is made, loaded by content when a file is finished."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from PIL import Image

from catalogs.references import fonts
from catalogs.references.book import ReferenceBook, read_bytes, reference_bytes
from catalogs.references.fonts import BadFont, FontFile, read_font
from catalogs.references.pictures import BadPicture, to_rgba
from catalogs.references.places import Places
from catalogs.references.problems import InvalidReference
from catalogs.references.svg import drawn_svg, is_svg
from catalogs.requests import Reference
from catalogs.storage.store import Store
from catalogs.storage.web_urls import is_web

MAX_LOGO_BYTES = 32 * 2**20
MAX_LOGO_PIXELS = 25_000_000
_TRIED = 128  # pixels, at which a drawing is tried


@dataclass(frozen=True)
class CheckedFile:
    """A font or logo that can be used.

    Attributes:
        uri: absolute.
        sha256: of its bytes.
        font: None for a logo.
    """

    uri: str
    sha256: str
    font: FontFile | None = None


class OverlayFiles:
    """Checks the fonts and logos of one plan, each once."""

    def __init__(self, book: ReferenceBook, places: Places) -> None:
        self._book, self._places = book, places
        self._known: dict[tuple[str, str, str], CheckedFile | InvalidReference] = {}

    def font(self, base_uri: str, uri: str) -> CheckedFile:
        """The font `uri` as written in the file `base_uri`.

        Raises:
            ReferenceImageError: missing, no font, or where no file may come from.
            StorageError: the store failed.
        """
        return self._once("font", base_uri, uri)

    def logo(self, base_uri: str, uri: str) -> CheckedFile:
        """The logo `uri` as written in the file `base_uri`.

        Raises:
            ReferenceImageError: missing, no picture, or where no file may come from.
            StorageError: the store failed.
        """
        return self._once("logo", base_uri, uri)

    def _once(self, kind: str, base_uri: str, uri: str) -> CheckedFile:
        key = (kind, base_uri, uri)
        if key not in self._known:
            try:
                self._known[key] = self._font(base_uri, uri) if kind == "font" else self._logo(base_uri, uri)
            except InvalidReference as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, InvalidReference):
            raise InvalidReference(found.source, found.where, found.problem, found.fix)
        return found

    def _font(self, base_uri: str, uri: str) -> CheckedFile:
        _refuse_web(uri, "fonts")
        absolute, data = read_bytes(base_uri, uri, fonts.MAX_BYTES, self._places)
        return CheckedFile(absolute, _sha256(data), _font_of(absolute, data))

    def _logo(self, base_uri: str, uri: str) -> CheckedFile:
        if not is_web(uri):
            absolute, data = read_bytes(base_uri, uri, MAX_LOGO_BYTES, self._places)
            logo_of(data, absolute, _TRIED)
            return CheckedFile(absolute, _sha256(data))
        if urlsplit(uri).path.lower().endswith((".svg", ".svgz")):
            _refuse_web(uri, "drawings (SVG)")
        probe = self._book.probe(base_uri, uri)
        if probe.width * probe.height > MAX_LOGO_PIXELS:
            problem = f"has {probe.width} x {probe.height} pixels, over the limit of {MAX_LOGO_PIXELS / 1e6:g} million"
            raise InvalidReference(probe.uri, "", problem, "scale it down")
        return CheckedFile(probe.uri, probe.sha256)


def _refuse_web(uri: str, what: str) -> None:
    if is_web(uri):
        raise InvalidReference(uri, "", f"{what} are not fetched from web servers", "download it, and name the file")


def load_overlay_file(uri: str, sha256: str, places: Places, output: Store) -> bytes:
    """The bytes of a font or logo as it was planned with.

    Args:
        output: where what came from web servers is kept.

    Raises:
        ReferenceImageError: it is gone, was changed, or lies where no file may come from.
        StorageError: the store failed.
    """
    return reference_bytes(Reference(uri, sha256, "overlay", 0, 0), MAX_LOGO_PIXELS, places, output)


def logo_of(data: bytes, uri: str, side: int) -> Image.Image:
    """The pixels of a logo, mode "RGBA", without the empty edges around it.

    Args:
        side: how many pixels the longer side of a drawing gets; pictures have their own.

    Raises:
        InvalidReference: it is no picture, or nothing of it can be seen.
    """
    try:
        logo = to_rgba(drawn_svg(data, side) if is_svg(data) else data, MAX_LOGO_PIXELS)
    except BadPicture as bad:
        raise InvalidReference(uri, "", bad.problem, bad.fix) from None
    box = logo.getchannel("A").point(lambda value: 255 if value > 2 else 0).getbbox()
    if box is None:
        raise InvalidReference(uri, "", "is fully transparent", "give the logo itself")
    return logo.crop(box)


def _font_of(uri: str, data: bytes) -> FontFile:
    try:
        return read_font(data)
    except BadFont as bad:
        raise InvalidReference(uri, "", bad.problem, bad.fix) from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
