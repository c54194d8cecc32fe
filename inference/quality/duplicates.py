"""Small numbers that stand for a picture, by which near-duplicates are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inference.quality.colours import ciede2000, lab

ALIKE_UP_TO = 4.4
"""Distance up to which two pictures are the same one made twice, see tests/benchmarks/README.md."""

_FREQUENCIES = 8
_GRID = 32
_TURN = np.arange(_GRID)
_COSINES = np.cos(np.pi * (2 * _TURN[None] + 1) * _TURN[:, None] / (2 * _GRID))[:_FREQUENCIES].astype(np.float32)
_COLOURS = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A picture in short.

    Attributes:
        shape: 64 bits, signs of its lowest spatial frequencies; alike pictures differ in few of them.
        colours: CIELAB of 4 x 4 places, as 48 numbers: shapes alone take another colour for the same picture.
    """

    shape: int
    colours: tuple[float, ...]


def mark_of(picture: Image.Image) -> Mark:
    """The mark of an RGB picture: the hash of Zauner, "Implementation and benchmarking of perceptual image hash
    functions", 2010, and its colours."""
    grey = np.asarray(picture.convert("L").resize((_GRID, _GRID), Image.Resampling.BOX), np.float32)
    frequencies = _COSINES @ grey @ _COSINES.T
    bits = (frequencies > np.median(frequencies)).ravel()
    shape = int.from_bytes(np.packbits(bits).tobytes(), "big")
    places = np.asarray(picture.resize((_COLOURS, _COLOURS), Image.Resampling.BOX))
    return Mark(shape, tuple(map(float, lab(places).ravel())))


def distance(one: Mark, other: Mark) -> float:
    """Bits in which shapes differ, of 64, and a quarter of the largest CIEDE2000 of colours in the same place."""
    here, there = (np.array(mark.colours).reshape(-1, 3) for mark in (one, other))
    return (one.shape ^ other.shape).bit_count() + float(ciede2000(here, there).max()) / 4


def nearest(mark: Mark, others: Sequence[Mark]) -> float | None:
    """The distance to the one that is most alike; None where there is none."""
    return min((distance(mark, other) for other in others), default=None)
