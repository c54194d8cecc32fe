"""A light and even ground made white: 255 all around, with the subject, its shadow and its glass as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from catalogs.requests import Reason
from inference.finishing.encode import FinishingError
from inference.quality.background import Ground, measure_ground
from inference.quality.colours import lab
from inference.quality.subject import Subject, enlarged, find_subject

LIGHT_FROM = 70.0
"""L* of the darkest part of a ground that can be made white; a studio's light grey has 80 to 95."""

NEUTRAL_TO = 12.0
"""CIELAB chroma of the most coloured part of a ground that can be made white."""

_SURELY_SUBJECT = 32.0  # of 255: what differs from the ground by more stays as it is
_GRAIN = 4.0  # of 255, at least: noise and compression of the ground, which becomes white too
_IN_HOLE = 2.0  # CIELAB: a hole in the subject that differs less from the ground shows it

_SNAPPED = np.interp(np.arange(256), [0, 232, 248, 255], [0, 232, 255, 255]).round().astype(np.float32)
"""What becomes of a value beside the subject: near-white is white, with no step where that begins."""

Floats = NDArray[np.float32]


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
    seen = np.asarray(picture, np.float32)
    ground = found.ground_of(picture.size)
    grain = _grain(seen, ground, found, picture.size)
    white = _SNAPPED[np.minimum(seen * (255.0 / (ground - grain)), 255.0).astype(np.uint8)]
    kept = _kept(seen, ground, grain, found)[..., None]
    return Image.fromarray(np.rint(white + (seen - white) * kept).astype(np.uint8))


def refuse_off_white(picture: Image.Image) -> Ground:
    """Measure the edge of a delivered picture.

    Raises:
        BackgroundNotWhite: a pixel along the edge is not 255.
    """
    ground = measure_ground(np.asarray(picture))
    if ground.off_white:
        raise BackgroundNotWhite(f"{ground.off_white:.1%} of the edge are not white, the darkest {ground.darkest}")
    return ground


def _refuse_dark(found: Subject) -> None:
    colours = lab(found.ground)
    darkest, chroma = float(colours[..., 0].min()), float(np.hypot(colours[..., 1], colours[..., 2]).max())
    if darkest < LIGHT_FROM or chroma > NEUTRAL_TO:
        what = f"L* {darkest:.0f}, from {LIGHT_FROM:.0f} on it can" if darkest < LIGHT_FROM else f"chroma {chroma:.0f}"
        raise BackgroundNotWhite(f"the ground is too {'dark' if darkest < LIGHT_FROM else 'coloured'} ({what})")


def _grain(seen: Floats, ground: Floats, found: Subject, size: tuple[int, int]) -> float:
    """By how much the ground's own pixels lie below it, in 255ths: what is not darker becomes white."""
    outside = enlarged((~found.mask).astype(np.float32), size) > 0.99
    outside[1::2] = outside[:, 1::2] = False  # a quarter tells as much
    if not outside.any():
        return _GRAIN
    below = (ground[outside] - seen[outside]).max(axis=-1)
    return float(max(_GRAIN, min(np.percentile(below, 99.5), 3 * _GRAIN)))


def _kept(seen: Floats, ground: Floats, grain: float, found: Subject) -> Floats:
    """How much of a pixel stays as it is, in [0, 1] of shape (height, width)."""
    size = (seen.shape[1], seen.shape[0])
    mask = found.mask & ~_holes(seen, found, size)
    inside = Image.fromarray(mask.astype(np.uint8) * 255)
    core = np.clip(_blurred(inside.filter(ImageFilter.MinFilter(5)), size), 0, 1)
    near = np.clip(_blurred(inside.filter(ImageFilter.MaxFilter(5)), size), 0, 1)
    differs = np.clip((np.abs(seen - ground).max(axis=-1) - grain) / (_SURELY_SUBJECT - grain), 0, 1)
    kept: Floats = np.maximum(core, differs * near)
    return kept


def _blurred(mask: Image.Image, size: tuple[int, int]) -> Floats:
    return enlarged(np.asarray(mask.filter(ImageFilter.GaussianBlur(0.8)), np.float32) / np.float32(255), size)


def _holes(seen: Floats, found: Subject, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Parts of the mask through which the ground is seen, as between a bag and its handle."""
    rows, columns = found.mask.shape
    small = Image.fromarray(seen.astype(np.uint8)).resize((columns, rows), Image.Resampling.BOX)
    distance = np.sqrt(((lab(np.asarray(small)) - lab(found.ground)) ** 2).sum(axis=-1))
    alike = Image.fromarray((found.mask & (distance < _IN_HOLE)).astype(np.uint8) * 255)
    # No specks: a white highlight of a few pixels is no hole.
    opened = alike.filter(ImageFilter.MinFilter(5)).filter(ImageFilter.MaxFilter(5))
    return (np.asarray(opened) > 127) & found.mask
