"""What a campaign says of overlays: texts and logos that finishing draws on a file, by shot and by channel."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from catalogs.campaigns.section import Section

OVERLAY_RECIPE = 2
"""Enters the fingerprints of assets that have an overlay, and of no other: raise it when one is drawn otherwise."""

BRAND = "brand"
HEX = re.compile("#[0-9A-Fa-f]{6}")
LOGO_WIDTH = 20.0
"""Of a logo that says no width, in % of the frame's."""

Anchor = Literal[
    "top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right"
]  # fmt: skip
Align = Literal["start", "left", "centre", "right", "end"]
Percent = Annotated[float, Field(ge=0, le=100)]

_OF_TEXT = ("font", "size", "min_size", "colour", "lines", "align", "badge", "scrim")
_OF_PLACE = ("margin", "width")
_ROUNDING = 1e-6


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class Badge(Section):
    """A filled rectangle behind a text, always drawn; a price tag, say.

    Attributes:
        colour: as #RRGGBB, or a name or role of the brand's palette.
        opacity: in %.
        radius: of its corners, in % of its height; 50 makes the ends round.
        padding: between text and edge, in % of the text's size; at its left and right half as much again.
    """

    colour: str
    opacity: float = Field(default=100, gt=0, le=100)
    radius: float = Field(default=15, ge=0, le=50)
    padding: float = Field(default=45, ge=0, le=300)


class OverlayElement(Section):
    """A text or a logo on a picture. Lengths are in % of the frame, which is the delivered file.

    Attributes:
        text: what stands there; a template as in prompts, which also reads `copy`. Line breaks stay, and a text that
            comes out empty is left out.
        logo: `brand` for the brand's, or a PNG with transparency or an SVG.
        font: `brand` for the brand's, or a TrueType or OpenType file; of several the first that has every character.
        size: of the text, in % of the frame's shorter side.
        min_size: how small it may become to fit; half of its size when left out.
        colour: of the text, as #RRGGBB or a name or role of the brand's palette; of several the first that stands out
            from what lies beneath (4.5 : 1).
        lines: at most.
        align: of its lines; start is left, and right in scripts that are read from there. The anchor's side when left
            out.
        box: left, top, width and height of the room it has, in % of the frame's width and height.
        anchor: where it stands in its room; without a box that is the safe zone less the margin.
        margin: between the safe zone and an element without a box, in % of the frame's shorter side.
        width: of an element without a box, in % of the frame's width; a text has all there is, a logo 20.
        badge: a filled rectangle behind the text.
        scrim: auto darkens or lightens what lies beneath where no colour stands out, never leaves it.
    """

    text: str | None = None
    logo: str | None = None
    font: Texts = (BRAND,)
    size: float = Field(default=6, gt=0, le=100)
    min_size: float | None = Field(default=None, gt=0, le=100)
    colour: Texts = ("#FFFFFF", "#111111")
    lines: int = Field(default=2, ge=1, le=20)
    align: Align | None = None
    box: tuple[Percent, Percent, Percent, Percent] | None = None
    anchor: Anchor | None = None
    margin: float = Field(default=4, ge=0, lt=50)
    width: float | None = Field(default=None, gt=0, le=100)
    badge: Badge | None = None
    scrim: Literal["auto", "never"] = "auto"

    @field_validator("box")
    @classmethod
    def _inside(cls, box: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if box is None:
            return box
        left, top, width, height = box
        if not width or not height:
            raise ValueError("a box is [left, top, width, height] in % of the frame, and has a width and a height")
        if left + width > 100 + _ROUNDING or top + height > 100 + _ROUNDING:
            over = f"it ends at {left + width:g} and {top + height:g} %"
            raise ValueError(f"a box is [left, top, width, height] in % of the frame, and this leaves it: {over}")
        return box

    @model_validator(mode="after")
    def _whole(self) -> OverlayElement:
        if (self.text is None) == (self.logo is None):
            raise ValueError("an element is either a text or a logo: write `text:` or `logo:`")
        given = self.model_fields_set
        if self.logo is not None and (wrong := [key for key in _OF_TEXT if key in given]):
            raise ValueError(f"a logo has no `{wrong[0]}`; it is a key of texts")
        if self.box is None and self.anchor is None:
            raise ValueError("say where it stands: `anchor: bottom-left`, for example, or `box:`")
        if self.box is not None and (wrong := [key for key in _OF_PLACE if key in given]):
            raise ValueError(f"has both `box` and `{wrong[0]}`; the box says it all, drop the other")
        if self.min_size is not None and self.min_size > self.size:
            raise ValueError(f"min_size ({self.min_size:g}) is more than size ({self.size:g})")
        return self

    @property
    def least_size(self) -> float:
        """How small the text may become, in % of the frame's shorter side."""
        return self.size / 2 if self.min_size is None else self.min_size


Insets = tuple[Percent, Percent, Percent, Percent]


def checked_insets(value: Any) -> Any:
    """A safe zone that leaves some room.

    Raises:
        ValueError: it leaves none.
    """
    if value is not None:
        top, right, bottom, left = value
        if top + bottom >= 100 or left + right >= 100:
            raise ValueError("a safe zone is [top, right, bottom, left] in % that stay free, and this leaves no room")
    return value
