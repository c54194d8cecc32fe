"""How far the colours that a prompt asks for are from those of the subject."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.engine import Pixels
from inference.quality.colours import ciede2000, lab, rgb_of
from inference.quality.subject import Subject

_CODE = re.compile(r"#[0-9A-Fa-f]{6}(?![0-9A-Za-z])")
_CLUSTERS = 12
_LEAST_SHARE = 0.02  # of the subject: less is a reflection, not a part
_LIKE_GROUND = 4.0  # CIELAB
_MOSTLY = 0.3  # a white product on white is its ground's colour
_LOOKED_AT = 128  # the longer side, in pixels


def codes_of(prompt: str) -> tuple[str, ...]:
    """The colours that a prompt names, each once, as "#RRGGBB"."""
    return tuple(dict.fromkeys(code.upper() for code in _CODE.findall(prompt)))


def colour_differences(picture: Image.Image, subject: Subject | None, codes: Sequence[str]) -> dict[str, float]:
    """Of each colour the CIEDE2000 to the nearest of the subject's main colours.

    Args:
        picture: RGB.
        subject: what is looked at; None looks at all of the picture.
        codes: as "#RRGGBB".
    """
    if not codes:
        return {}
    mains = main_colours(picture, subject)
    asked = lab(np.stack([rgb_of(code) for code in codes]))
    nearest = ciede2000(asked[:, None], mains[None]).min(axis=1)
    return dict(zip(codes, map(float, nearest), strict=True))


def main_colours(picture: Image.Image, subject: Subject | None) -> NDArray[np.float32]:
    """CIELAB of the colours that take a fair share of the subject, of shape (count, 3)."""
    small = picture.copy()
    small.thumbnail((_LOOKED_AT, _LOOKED_AT), Image.Resampling.BOX)
    pixels = np.asarray(small).reshape(-1, 3)
    if subject is not None:
        pixels = pixels[_inside(np.asarray(small), subject).ravel()]
    row = Image.fromarray(np.ascontiguousarray(pixels[None]))
    clusters = row.quantize(_CLUSTERS, Image.Quantize.MAXCOVERAGE, kmeans=3)
    counts = np.bincount(np.asarray(clusters).ravel(), minlength=_CLUSTERS)
    palette = np.array(clusters.getpalette() or [], np.uint8).reshape(-1, 3)
    kept = np.flatnonzero(counts >= max(1, _LEAST_SHARE * counts.sum()))
    return lab(palette[kept[kept < len(palette)]])


def _inside(small: Pixels, subject: Subject) -> NDArray[np.bool_]:
    """Pixels that are subject and nothing else; through its holes the ground is seen, which is none of it."""
    size = (small.shape[1], small.shape[0])
    mask = np.asarray(Image.fromarray(subject.mask).convert("L").resize(size, Image.Resampling.BOX))
    inside = mask > 250 if (mask > 250).sum() >= _CLUSTERS else mask > 0
    differs = ((lab(small) - lab(subject.ground_of(size))) ** 2).sum(axis=-1) > _LIKE_GROUND**2
    own = inside & differs
    return own if own.sum() >= _MOSTLY * inside.sum() else inside
