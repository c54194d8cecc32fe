"""The colours of the thing a photo shows."""

from __future__ import annotations

from collections import deque
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from catalogs.vocabulary.colour_table import Colour, all_colours
from catalogs.vocabulary.colours import ColourFound
from catalogs.vocabulary.lab import Floats, hex_to_lab, lab_of, lab_to_hex

SIDE = 96
"""Pixels of the longer side that is looked at."""
BACKGROUND_DISTANCE = 9.0
"""CIELAB distance to a colour of the border, below which a pixel that joins the border is background."""
SAME_COLOUR = 14.0
"""CIELAB distance below which two clusters are one colour."""
LEAST_SHARE = 0.1
MOST_CONFIDENCE = 0.5

Mask = npt.NDArray[np.bool_]


def colours_of_photo(picture: Image.Image, most: int = 3) -> list[ColourFound]:
    """The main colours of a photo's product, the largest first, named by the table's basic names.

    What joins the border and looks like it is background, and so is what is transparent; the middle counts more than
    the rim, and skin less than the rest, but a person who wears the product is not told from it.

    Args:
        picture: any mode; RGBA's transparent pixels are left out.
        most: at most so many; [] where nothing is left to look at.
    """
    small = picture.convert("RGBA")
    small.thumbnail((SIDE, SIDE))
    pixels = np.asarray(small)
    seen = pixels[..., 3] >= 128
    lab = lab_of(pixels[..., :3])
    mask = seen & ~_background(lab, seen)
    if mask.sum() < 0.01 * mask.size:  # a white thing on white: what is background cannot be told
        mask = seen & _middle(seen.shape)
    if not mask.any():
        return []
    weights = _weights(mask)
    found: dict[str, ColourFound] = {}
    clusters = _clusters(lab[mask], weights[mask])
    shares = [(centre, share * (0.3 if _may_be_skin(centre) else 1)) for centre, share in clusters]
    total = sum(share for _, share in shares)
    for centre, part in sorted(shares, key=lambda pair: -pair[1]):
        share = part / total
        if share >= LEAST_SHARE:
            name = nearest_basic(centre).name
            confidence = round(MOST_CONFIDENCE * (0.4 + 0.6 * share), 3)
            found.setdefault(name, ColourFound(name, lab_to_hex(centre), "photo", confidence))
    return list(found.values())[:most]


def nearest_basic(lab: Floats) -> Colour:
    """The basic colour that a CIELAB value, shape (3,), comes nearest; greys only where there is next to no chroma."""
    colours, values = _basic()
    chroma = np.hypot(values[:, 1], values[:, 2])
    # Lightness and strength vary with the light on the thing, hue does not.
    strength = (chroma - np.hypot(lab[1], lab[2])) ** 2
    hue = np.maximum((values[:, 1] - lab[1]) ** 2 + (values[:, 2] - lab[2]) ** 2 - strength, 0)
    distance = 0.5 * (values[:, 0] - lab[0]) ** 2 + 0.3 * strength + 1.5 * hue
    if np.hypot(lab[1], lab[2]) < 7:
        distance = np.where(chroma < 4, np.abs(values[:, 0] - lab[0]), np.inf)
    else:  # a grey has no hue to be compared
        distance = np.where(chroma < 4, np.inf, distance)
    return colours[int(distance.argmin())]


@cache
def _basic() -> tuple[tuple[Colour, ...], Floats]:
    colours = tuple(colour for colour in all_colours() if colour.basic and colour.hex)
    return colours, np.stack([hex_to_lab(colour.hex) for colour in colours if colour.hex])


def _may_be_skin(lab: Floats) -> bool:
    """Whether a CIELAB value, shape (3,), is one that skin often has."""
    hue = np.degrees(np.arctan2(lab[2], lab[1]))
    return bool(25 <= lab[0] <= 88 and 30 <= hue <= 75 and 10 <= np.hypot(lab[1], lab[2]) <= 42)


def _background(lab: Floats, seen: Mask) -> Mask:
    """Pixels that join the border through pixels that look like the border."""
    rim = np.zeros(seen.shape, dtype=bool)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    edge = lab[rim & seen]
    if not len(edge):  # cut out: nothing of the background is there
        return np.zeros_like(seen)
    like, same = ~seen, ~seen
    for centre, share in _clusters(edge, np.ones(len(edge))):
        distance = np.sqrt(((lab - centre) ** 2).sum(axis=-1))
        if share >= 0.15:
            like = like | (distance < BACKGROUND_DISTANCE)
        if share >= 0.95:  # a plain backdrop shows through handles too
            same = same | (distance < BACKGROUND_DISTANCE / 3)
    joined = _joined_to(rim, like)
    through = joined | same
    return through if (~through).sum() >= 0.3 * (~joined).sum() else joined


def _joined_to(start: Mask, through: Mask) -> Mask:
    """What of `through` can be walked to from `start`, side by side."""
    reached = start & through
    height, width = through.shape
    waiting = deque(zip(*np.nonzero(reached), strict=True))
    while waiting:
        y, x = waiting.popleft()
        for row, column in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= row < height and 0 <= column < width and through[row, column] and not reached[row, column]:
                reached[row, column] = True
                waiting.append((row, column))
    return reached


def _middle(shape: tuple[int, ...]) -> Mask:
    height, width = shape
    inside = np.zeros((height, width), dtype=bool)
    inside[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return inside


def _weights(mask: Mask) -> Floats:
    """The middle of the picture counts up to five times what its corners do."""
    height, width = mask.shape
    y = np.linspace(-1, 1, height)[:, None]
    x = np.linspace(-1, 1, width)[None, :]
    return np.exp(-0.8 * (x**2 + y**2))


def _clusters(lab: Floats, weights: Floats, most: int = 6) -> list[tuple[Floats, float]]:
    """Centres with their shares of the weight, the largest first; the same picture has the same clusters always.

    Args:
        lab: shape (n, 3), n at least 1.
        weights: shape (n,).
    """
    centres = lab[[int(np.argmax(weights))]]
    while len(centres) < most:  # the next start is the pixel farthest from all there are
        far = ((lab[:, None] - centres[None]) ** 2).sum(axis=-1).min(axis=1)
        if far.max() < SAME_COLOUR**2 / 4:
            break
        centres = np.vstack([centres, lab[int(np.argmax(far))]])
    for _ in range(12):
        nearest = ((lab[:, None] - centres[None]) ** 2).sum(axis=-1).argmin(axis=1)
        sums = np.bincount(nearest, weights, len(centres))
        moved = np.stack([np.bincount(nearest, weights * lab[:, axis], len(centres)) for axis in range(3)], axis=1)
        fresh = np.where(sums[:, None] > 0, moved / np.maximum(sums, 1e-12)[:, None], centres)
        if np.allclose(fresh, centres, atol=0.1):
            break
        centres = fresh
    total = float(sums.sum())
    pairs = [(centre, float(share) / total) for centre, share in zip(fresh, sums, strict=True) if share > 0]
    return _merged(sorted(pairs, key=lambda pair: -pair[1]))


def _merged(pairs: list[tuple[Floats, float]]) -> list[tuple[Floats, float]]:
    """One colour in light and in shadow is one: lightness tells less than hue."""
    kept: list[tuple[Floats, float]] = []
    for centre, share in pairs:
        for place, (other, others) in enumerate(kept):
            apart = (centre - other) * np.array([0.5, 1, 1])
            if np.sqrt((apart**2).sum()) < SAME_COLOUR:
                kept[place] = other, others + share
                break
        else:
            kept.append((centre, share))
    return sorted(kept, key=lambda pair: -pair[1])
