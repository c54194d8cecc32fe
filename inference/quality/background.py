"""What lies along the edge of a picture, and the box of what stands before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.engine import Pixels
from inference.quality.box import Box

EDGE = 8
"""Pixels along each side that are looked at. JPEG of quality 85 to 95 keeps such an edge at 255, as measured."""

SAME_WITHIN = 5
"""Levels of 255 by which the ground may differ from its own colour, in any of red, green and blue."""

EVEN_FROM = 0.9
"""Share of the edge that must be of one colour for a subject to be told from it."""

SPECKS = 5e-5
"""Share of the differing pixels that may lie outside the subject's box on each side: dust is no subject."""

_STRIP = 2**20  # pixels


@dataclass(frozen=True, slots=True)
class Ground:
    """What was measured of a picture's ground.

    Attributes:
        colour: red, green and blue of the edge, the median of each.
        darkest: the least value of any colour on the edge, 255 where all of it is white.
        off_white: share of the edge's pixels that are not (255, 255, 255).
        even: share of the edge's pixels within `SAME_WITHIN` levels of `colour`.
        subject: box of what differs from `colour` by more, its shadow with it; None where nothing does, or the edge is
            not even.
        fill: the larger of subject's width / picture's width and subject's height / picture's height; 0 without one.
    """

    colour: tuple[int, int, int]
    darkest: int
    off_white: float
    even: float
    subject: Box | None
    fill: float

    @property
    def is_even(self) -> bool:
        """Whether a subject can be told from the ground."""
        return self.even >= EVEN_FROM


class Edge(NamedTuple):
    """What was measured along the four sides.

    Attributes:
        darkest: the least value of any colour, 255 where all of it is white.
        off_white: share of the pixels that are not (255, 255, 255).
    """

    darkest: int
    off_white: float


def white_edge(pixels: Pixels) -> Edge:
    """Measure how white the edge of uint8 pixels of shape (height, width, 3) is."""
    edge = _edge(pixels)
    return Edge(int(edge.min()), float((edge < 255).any(axis=1).mean()))


def measure_ground(pixels: Pixels) -> Ground:
    """Measure uint8 sRGB pixels of shape (height, width, 3), of at least one pixel.

    JPEG's ripples beside hard edges may widen the subject's box by the rest of a block, 7 px a side (15 with
    subsampled colour).
    """
    edge = _edge(pixels)
    colour = np.median(edge, axis=0).round().astype(np.uint8)
    even = float((_difference(edge, colour) <= SAME_WITHIN).mean())
    subject = _box(pixels, colour) if even >= EVEN_FROM else None
    height, width, _ = pixels.shape
    return Ground(
        colour=(int(colour[0]), int(colour[1]), int(colour[2])),
        darkest=int(edge.min()),
        off_white=float((edge < 255).any(axis=1).mean()),
        even=even,
        subject=subject,
        fill=max(subject.width / width, subject.height / height) if subject else 0.0,
    )


def strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    """First row and the one after the last of each part of a picture: all of it at once would be in memory thrice."""
    rows = max(1, _STRIP // width)
    yield from ((top, min(top + rows, height)) for top in range(0, height, rows))


def _edge(pixels: Pixels) -> Pixels:
    """The pixels along all four sides, each once, of shape (count, 3)."""
    height, width, _ = pixels.shape
    deep = min(EDGE, (min(height, width) + 1) // 2)
    top, bottom = pixels[:deep], pixels[max(deep, height - deep) :]
    between = pixels[deep : height - deep]
    left, right = between[:, :deep], between[:, max(deep, width - deep) :]
    return np.concatenate([part.reshape(-1, 3) for part in (top, bottom, left, right)])


def _difference(pixels: Pixels, colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest difference of red, green and blue to one colour, of shape (...) for pixels of shape (..., 3)."""
    found: NDArray[np.uint8] = (np.maximum(pixels, colour) - np.minimum(pixels, colour)).max(axis=-1)
    return found


def _box(pixels: Pixels, colour: NDArray[np.uint8]) -> Box | None:
    height, width, _ = pixels.shape
    by_row, by_column = np.zeros(height, np.int64), np.zeros(width, np.int64)
    for top, below in strips(width, height):
        differs = _difference(pixels[top:below], colour) > SAME_WITHIN
        by_row[top:below] = differs.sum(axis=1)
        by_column += differs.sum(axis=0)
    if not by_row.any():
        return None
    (top, bottom), (left, right) = _within(by_row), _within(by_column)
    return Box(left, top, right, bottom)


def _within(counts: NDArray[np.int64]) -> tuple[int, int]:
    """First index, and the one after the last, between which all counts lie but `SPECKS` on each side."""
    sums = counts.cumsum()
    dust = int(sums[-1] * SPECKS)
    return int(np.searchsorted(sums, dust, side="right")), int(np.searchsorted(sums, sums[-1] - dust)) + 1
