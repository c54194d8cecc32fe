"""Texts and logos on a picture of its channel's size, as a plan says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFilter

from catalogs.campaigns.drawn_overlay import DrawnBadge, DrawnFile, DrawnLogo, DrawnText, read_overlay
from catalogs.campaigns.overlay_places import Room
from catalogs.errors import ReferenceImageError
from catalogs.references.overlay_files import logo_of
from catalogs.requests import Reason
from inference.finishing.contrast import LEAST, luminance, luminances_beneath, ratio, worst_ratio
from inference.finishing.encode import FinishingError
from inference.finishing.typesetting import SetText, set_text
from inference.quality.box import Box

Load = Callable[[DrawnFile], bytes]
"""The bytes of a font or logo by content; raises ReferenceImageError."""

MOST_ENLARGED = 1.25
"""Times the pixels of a logo: beyond it is blurred, which is said."""

_SCRIM_PADDING, _SCRIM_BLUR = 1.2, 0.7  # in sizes of the text
_SCRIM_OPACITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_BADGE_BESIDE = 1.5  # of the padding above, at the sides of a text
_DRAWING_SIDES = (512, 1024, 2048, 4096)  # pixels that an SVG is drawn at
_TRIMMED = 1.5  # as its empty edges are cut off
_SAMPLES = 4  # a pixel's side, of smooth corners


class OverlayFileError(FinishingError):
    """A font or logo of an overlay cannot be had."""

    def __init__(self, error: ReferenceImageError) -> None:
        self.reason = getattr(error, "reason", Reason.REFERENCE_INVALID)
        self.final = self.reason == Reason.REFERENCE_INVALID
        super().__init__(str(error))


@dataclass
class Painted:
    """What is to be known of an overlay that was drawn.

    Attributes:
        contrast: the least of its texts', None without texts.
        remarks: (what, detail) of what is not as one would wish.
    """

    contrast: float | None = None
    remarks: list[tuple[str, str]] = field(default_factory=list)

    def note_contrast(self, text: str, found: float) -> None:
        self.contrast = found if self.contrast is None else min(self.contrast, found)
        if found < LEAST:
            what = f"a text has a contrast under {LEAST} : 1 with what lies beneath"
            self.remarks.append((what, f"{found:.1f} : 1, {text[:60]!r}"))


def paint(picture: Image.Image, overlay: str, load: Load) -> Painted:
    """Draw an overlay onto an RGB picture.

    Args:
        overlay: as `catalogs.campaigns.drawn_overlay.written` gives it.

    Raises:
        TextDoesNotFit: a text is too long for its room.
        MissingGlyph: a font lacks a character of its text.
        OverlayFileError: a font or logo is gone, was changed, or cannot be used.
        NoShaping: this machine cannot shape letters.
    """
    painted = Painted()
    for element in read_overlay(overlay):
        try:
            if isinstance(element, DrawnText):
                _paint_text(picture, element, load, painted)
            else:
                _paint_logo(picture, element, load, painted)
        except ReferenceImageError as error:
            raise OverlayFileError(error) from None
    return painted


def _room(room: Room, size: tuple[int, int]) -> Box:
    left, top, width, height = room
    across, down = size[0] / 100, size[1] / 100
    return Box(left * across, top * down, (left + width) * across, (top + height) * down)


def _paint_text(picture: Image.Image, element: DrawnText, load: Load, painted: Painted) -> None:
    above = element.badge.padding / 100 if element.badge else 0.0
    room = _room(element.room, picture.size)
    text = set_text(element, load(element.font), picture.size, room, (_BADGE_BESIDE * above, above))
    if element.badge:
        _paint_badge(picture, text, element.badge)
    colour, found = _colour(picture, text, element)
    if found < LEAST and not element.badge and element.scrim == "auto":
        found = _paint_scrim(picture, text, colour)
    painted.note_contrast(element.text, found)
    text.draw(picture, colour)


def _colour(picture: Image.Image, text: SetText, element: DrawnText) -> tuple[str, float]:
    """The first colour that stands out, else the one that does most, and its contrast."""
    beneath = luminances_beneath(picture, (line.ink for line in text.lines), text.size)
    ratios = [(colour, worst_ratio(colour, beneath)) for colour in element.colours]
    return next((each for each in ratios if each[1] >= LEAST), max(ratios, key=lambda each: each[1]))


def _paint_scrim(picture: Image.Image, text: SetText, colour: str) -> float:
    """Darken or lighten what lies beneath, as little as makes a colour stand out; its contrast then."""
    own = luminance(colour)
    ground = "#000000" if ratio(own, 0.0) > ratio(own, 1.0) else "#FFFFFF"
    left, top, right, bottom = _scrim_part(picture.size, text)
    lines = [Box(i.left - left, i.top - top, i.right - left, i.bottom - top) for i in (line.ink for line in text.lines)]
    before = picture.crop((left, top, right, bottom))
    mask = _scrim_mask(before.size, lines, text.size)
    found, patch = 0.0, before
    for opacity in _SCRIM_OPACITIES:
        patch = before.copy()
        patch.paste(ground, (0, 0), mask.point([round(value * opacity) for value in range(256)]))
        found = worst_ratio(colour, luminances_beneath(patch, lines, text.size))
        if found >= LEAST:
            break
    picture.paste(patch, (left, top))
    return found


def _scrim_part(size: tuple[int, int], text: SetText) -> tuple[int, int, int, int]:
    """The part of a picture that a scrim can reach, in whole pixels."""
    reach = (_SCRIM_PADDING + 3 * _SCRIM_BLUR) * text.size
    inks = [line.ink for line in text.lines]
    left, top = min(ink.left for ink in inks) - reach, min(ink.top for ink in inks) - reach
    right, bottom = max(ink.right for ink in inks) + reach, max(ink.bottom for ink in inks) + reach
    return max(0, int(left)), max(0, int(top)), min(size[0], int(right) + 1), min(size[1], int(bottom) + 1)


def _scrim_mask(size: tuple[int, int], lines: list[Box], of_text: float) -> Image.Image:
    """A soft patch around every line, mode "L"; `of_text` is the text's size."""
    mask, padding = Image.new("L", size, 0), _SCRIM_PADDING * of_text
    canvas = ImageDraw.Draw(mask)
    for ink in lines:
        corners = (ink.left - padding, ink.top - padding, ink.right + padding, ink.bottom + padding)
        canvas.rounded_rectangle(corners, padding, fill=255)
    # Whole where the text is, also near its ends.
    soft = mask.filter(ImageFilter.GaussianBlur(_SCRIM_BLUR * of_text))
    return soft.point([min(255, round(value * 1.12)) for value in range(256)])


def _paint_badge(picture: Image.Image, text: SetText, badge: DrawnBadge) -> None:
    above = badge.padding / 100 * text.size
    beside = _BADGE_BESIDE * above
    box = text.box
    left, top = round(box.left - beside), round(box.top - above)
    size = (round(box.right + beside) - left, round(box.bottom + above) - top)
    large = Image.new("L", (size[0] * _SAMPLES, size[1] * _SAMPLES), 0)
    radius = badge.radius / 100 * large.height
    ImageDraw.Draw(large).rounded_rectangle((0, 0, large.width - 1, large.height - 1), radius, fill=255)
    mask = large.resize(size, Image.Resampling.BOX)
    opacity = badge.opacity / 100
    picture.paste(badge.colour, (left, top), mask.point([round(value * opacity) for value in range(256)]))


def _paint_logo(picture: Image.Image, element: DrawnLogo, load: Load, painted: Painted) -> None:
    room = _room(element.room, picture.size)
    logo = _logo(element.logo, max(room.width, room.height), load)
    scale = min(room.width / logo.width, room.height / logo.height)
    size = (max(1, round(logo.width * scale)), max(1, round(logo.height * scale)))
    if scale > MOST_ENLARGED:
        detail = f"{logo.width} x {logo.height} to {size[0]} x {size[1]} pixels"
        painted.remarks.append(("a logo has too few pixels and is enlarged", detail))
    small = logo if size == logo.size else logo.resize(size, Image.Resampling.LANCZOS)
    spare = (room.width - size[0], room.height - size[1])
    left = room.left + {"left": 0.0, "right": spare[0]}.get(element.side, spare[0] / 2)
    top = room.top + {"top": 0.0, "bottom": spare[1]}.get(element.level, spare[1] / 2)
    picture.paste(small.convert("RGB"), (round(left), round(top)), small.getchannel("A"))


def _logo(file: DrawnFile, side: float, load: Load) -> Image.Image:
    wanted = next((each for each in _DRAWING_SIDES if each >= _TRIMMED * side), _DRAWING_SIDES[-1])
    found = _LOGOS.get((file.sha256, wanted))
    if found is None:
        found = logo_of(load(file), file.uri, wanted)
        if len(_LOGOS) >= _KEPT:
            _LOGOS.clear()
        _LOGOS[file.sha256, wanted] = found
    return found


_KEPT = 8
_LOGOS: dict[tuple[str, int], Image.Image] = {}
"""Logos of this process, by content and the side that a drawing is drawn at."""
