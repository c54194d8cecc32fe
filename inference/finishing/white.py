"""A light and even ground made white: 255 all around, with the subject, its shadow and its glass as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from catalogs.requests import Reason
from inference.engine import Pixels
from inference.finishing.encode import FinishingError
from inference.quality.background import Ground, measure_ground
from inference.quality.colours import lab
from inference.quality.subject import Subject, find_subject

LIGHT_FROM = 70.0
"""L* of the darkest part of a ground that can be made white; a studio's light grey has 80 to 95."""

NEUTRAL_TO = 12.0
"""CIELAB chroma of the most coloured part of a ground that can be made white."""

_SURELY_SUBJECT = 32.0  # of 255: what differs from the ground by more stays as it is
_GRAIN = 4.0  # of 255, at least: noise and compression of the ground, which becomes white too
_IN_HOLE = 2.0  # CIELAB: a hole in the subject that differs less from the ground shows it

_SNAPPED = np.interp(np.arange(256), [0, 232, 248, 255], [0, 232, 255, 255]).round().astype(np.uint8)
"""What becomes of a value beside the subject: near-white is white, with no step where that begins."""

_STRIP = 128  # rows


class BackgroundNotWhite(FinishingError):
    """A white ground was asked for and cannot be made."""

    reason = Reason.BACKGROUND_NOT_WHITE


def made_white(picture: Image.Image) -> Image.Image:
    """An RGB picture with a white ground.

    Outside of the subject every pixel is divided by the ground behind it, so that shadows keep their depth; towards the
    subject's outline as much of a pixel is taken so as looks like ground.

    Raises:
        BackgroundNotWhite: no subject can be told from the ground, or it is too dark or coloured.
    """
    found = find_subject(picture)
    if isinstance(found, str):
        raise BackgroundNotWhite(f"the ground cannot be made white: {found}")
    _refuse_dark(found)
    seen, ground = np.asarray(picture), np.asarray(_rgb(found.ground).resize(picture.size, Image.Resampling.BICUBIC))
    grain = _grain(picture, found)
    core, near = _weights(picture, found)
    white = np.empty_like(seen)
    for top in range(0, len(seen), _STRIP):  # what a strip needs stays near the processor
        rows = slice(top, top + _STRIP)
        white[rows] = _strip(seen[rows], ground[rows], grain, core[rows], near[rows])
    return Image.fromarray(white)


def _strip(seen: Pixels, ground: Pixels, grain: float, core: Pixels, near: Pixels) -> Pixels:
    """Some rows made white.

    Args:
        core: 255 where a pixel is surely subject, of shape (rows, width).
        near: 255 where it may be some.
    """
    values, behind = seen.astype(np.float32), ground.astype(np.float32)
    white = np.minimum(values * (255.0 / (behind - grain)), 255.0)
    made: Pixels = _SNAPPED[white.astype(np.uint8)]
    columns = np.flatnonzero(near.any(axis=0))
    if not len(columns):
        return made
    part = slice(columns[0], columns[-1] + 1)
    values, behind, white = values[:, part], behind[:, part], made[:, part].astype(np.float32)
    differs = (np.abs(values - behind).max(axis=-1) - grain) * (1 / 255 / (_SURELY_SUBJECT - grain))
    kept = np.maximum(np.clip(differs, 0, 1 / 255) * near[:, part], core[:, part] * np.float32(1 / 255))[..., None]
    made[:, part] = np.rint(white + (values - white) * kept)
    return made


def refuse_off_white(picture: Image.Image) -> Ground:
    """Measure the edge of a delivered picture.

    Raises:
        BackgroundNotWhite: a pixel along the edge is not 255.
    """
    ground = measure_ground(np.asarray(picture))
    if ground.off_white:
        problem = f"{ground.off_white:.1%} of the edge are not white, the darkest {ground.darkest}"
        raise BackgroundNotWhite(f"{problem}: the subject, or its shadow, reaches it; ask for more room around it")
    return ground


def _refuse_dark(found: Subject) -> None:
    colours = lab(found.ground)
    darkest, chroma = float(colours[..., 0].min()), float(np.hypot(colours[..., 1], colours[..., 2]).max())
    if darkest < LIGHT_FROM or chroma > NEUTRAL_TO:
        what = f"L* {darkest:.0f}, from {LIGHT_FROM:.0f} on it can" if darkest < LIGHT_FROM else f"chroma {chroma:.0f}"
        raise BackgroundNotWhite(f"the ground is too {'dark' if darkest < LIGHT_FROM else 'coloured'} ({what})")


def _grain(picture: Image.Image, found: Subject) -> float:
    """By how much the ground's own pixels lie below it, in 255ths: what is not darker becomes white."""
    rows, columns = found.mask.shape
    seen = np.asarray(picture.resize((columns, rows), Image.Resampling.NEAREST), np.float32)  # grain and all
    outside = np.asarray(Image.fromarray(found.mask).convert("L").filter(ImageFilter.MaxFilter(3))) == 0
    if not outside.any():
        return _GRAIN
    below = (found.ground[outside] - seen[outside]).max(axis=-1)
    return float(max(_GRAIN, min(np.percentile(below, 99.5), 3 * _GRAIN)))


def _weights(picture: Image.Image, found: Subject) -> tuple[Pixels, Pixels]:
    """Of each pixel in 255ths: that it is surely subject, and that it may be some."""
    inside = Image.fromarray(found.mask & ~_holes(picture, found)).convert("L")
    core, near = (
        inside.filter(grown).filter(ImageFilter.GaussianBlur(0.8)).resize(picture.size, Image.Resampling.BICUBIC)
        for grown in (ImageFilter.MinFilter(5), ImageFilter.MaxFilter(5))
    )
    return np.asarray(core), np.asarray(near)


def _holes(picture: Image.Image, found: Subject) -> NDArray[np.bool_]:
    """Parts of the mask through which the ground is seen, as between a bag and its handle."""
    rows, columns = found.mask.shape
    small = np.asarray(picture.resize((columns, rows), Image.Resampling.BOX))
    distance = np.sqrt(((lab(small) - lab(found.ground)) ** 2).sum(axis=-1))
    alike = Image.fromarray(found.mask & (distance < _IN_HOLE)).convert("L")
    # No specks: a white highlight of a few pixels is no hole.
    opened = alike.filter(ImageFilter.MinFilter(5)).filter(ImageFilter.MaxFilter(5))
    return (np.asarray(opened) > 127) & found.mask


def _rgb(values: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(values).astype(np.uint8))
