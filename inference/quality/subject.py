"""Where the subject of a picture stands: what differs from a ground that is even along the picture's edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inference.quality.box import Box
from inference.quality.colours import lab

LOOKED_AT = 256
"""The longer side of the picture that is looked at, in pixels; boxes are as fine as its pixels."""

EVEN_FROM = 0.75
"""Share of the edge that one smooth ground must explain: a scene has none, a product may touch an edge."""

_RING = 0.02  # of the shorter side, the strip along the edge that the ground is told from
_ROUNDS = 4  # of fitting the ground to what fits it
_LEAST_DIFFERENCE = 5.0  # in CIELAB, where the ground has no grain: what the eye tells at a glance
_GRAINS = 5.0  # times the grain of the ground
_MOST_DIFFERENCE = 12.0  # in CIELAB: what differs more from a smooth ground is none of it, however grainy it is
_LEAST_EDGE = 3.0  # CIELAB a pixel; outlines of white on white are told by them
_SPECK = 0.0004  # of the picture's area: dust is no subject

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """What stands before the ground.

    Attributes:
        box: of all that is subject, in pixels of the picture.
        mask: bool of shape (rows, columns) over the whole picture, made small: True where the subject is.
        ground: float32 of shape (rows, columns, 3), sRGB values in [0, 255] of the ground, also where it is hidden.
    """

    box: Box
    mask: Mask
    ground: Floats

    @property
    def at_edge(self) -> float:
        """The largest share of a side of the picture that the subject touches."""
        return float(max(side.mean() for side in (self.mask[0], self.mask[-1], self.mask[:, 0], self.mask[:, -1])))

    def ground_of(self, size: tuple[int, int]) -> Floats:
        """The ground as large as a picture of that width and height, float32 of shape (height, width, 3)."""
        return np.stack([enlarged(self.ground[..., i], size) for i in range(3)], axis=-1)


def enlarged(values: Floats, size: tuple[int, int]) -> Floats:
    """float32 of shape (rows, columns) over a picture of that width and height."""
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)


def find_subject(picture: Image.Image) -> Subject | str:
    """The subject of an RGB picture, or in a few words why none can be told."""
    scale = min(LOOKED_AT / max(picture.size), 1.0)
    size = (max(round(picture.width * scale), 8), max(round(picture.height * scale), 8))
    small = np.asarray(picture.resize(size, Image.Resampling.BOX), np.float32)
    seen = lab(small)
    fitted, even, grain = _fit_ground(seen)
    if even < EVEN_FROM:
        return f"the ground is not even: {even:.0%} of the edge are of one"
    differs = np.sqrt(((seen - fitted) ** 2).sum(axis=-1)) > max(_LEAST_DIFFERENCE, _GRAINS * grain)
    outlined = _edges(seen) > max(_LEAST_EDGE, _GRAINS * grain)
    mask = _filled(_closed(differs | outlined))
    mask = _without_specks(mask)
    if not mask.any():
        return "nothing stands before the ground"
    ground, _, _ = _fit_ground(small, ~mask)
    return Subject(_box(mask, picture.size), mask, np.clip(ground, 0, 255))


def _ring(rows: int, columns: int) -> Mask:
    deep = max(2, round(_RING * min(rows, columns)))
    ring = np.ones((rows, columns), bool)
    ring[deep:-deep, deep:-deep] = False
    return ring


def _fit_ground(values: Floats, where: Mask | None = None) -> tuple[Floats, float, float]:
    """The smooth ground along the edge, the share of the edge it explains, and its grain.

    A quadratic of place for each channel, fitted by least squares to what lies within three of its grains, again and
    again; the grain is the median distance.
    """
    rows, columns, channels = values.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    y, x = y / max(rows - 1, 1) * 2 - 1, x / max(columns - 1, 1) * 2 - 1
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    ring = _ring(rows, columns)
    if where is not None and (ring & where).sum() >= 64:
        ring &= where
    points, seen = terms[ring].astype(np.float64), values[ring].astype(np.float64)
    kept = np.abs(seen - np.median(seen, axis=0)).max(axis=1)
    kept = kept <= max(3 * float(np.median(kept)), _LEAST_DIFFERENCE)
    distance, grain = np.zeros(len(seen)), 0.0
    factors = np.zeros((terms.shape[-1], channels))
    for _ in range(_ROUNDS):
        if kept.sum() < 4 * terms.shape[-1]:
            return np.broadcast_to(np.median(seen, axis=0), values.shape).astype(np.float32), 0.0, 0.0
        inside = points[kept]  # by the normal equations: six terms on [-1, 1] are far from degenerate
        factors = np.linalg.solve(inside.T @ inside + 1e-9 * np.eye(terms.shape[-1]), inside.T @ seen[kept])
        distance = np.sqrt(((seen - points @ factors) ** 2).sum(axis=1))
        grain = float(np.median(distance[kept]))
        kept = distance <= min(max(3 * grain, _LEAST_DIFFERENCE), _MOST_DIFFERENCE)
    # Row by row: for all rows at once OpenBLAS wakes its threads and lets them spin, which took 60 times as long.
    fitted = terms @ factors
    return fitted.astype(np.float32), float(kept.mean()), grain


def _edges(seen: Floats) -> Floats:
    """How steeply colour changes at each pixel, CIELAB a pixel."""
    along, down = np.gradient(seen, axis=(1, 0))
    steep: Floats = np.sqrt((along**2 + down**2).sum(axis=-1))
    return steep


def _closed(mask: Mask) -> Mask:
    """Gaps of a few pixels in an outline are closed."""
    # Pillow carries edges on: without room around it, what is near an edge would be joined to that.
    image = Image.fromarray(np.pad(mask, 4).astype(np.uint8) * 255)
    return np.asarray(image.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.MinFilter(5)))[4:-4, 4:-4] > 127


def _filled(mask: Mask) -> Mask:
    """What the ground does not reach from the edge of the picture belongs to the subject."""
    reached = np.zeros_like(mask)
    for side in (np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1]):
        reached[side] = ~mask[side]
    return ~spread(reached, ~mask)


def spread(marked: Mask, free: Mask) -> Mask:
    """All of `free` that is joined to `marked`, over sides of pixels."""
    before = -1
    while (count := int(marked.sum())) != before:
        before = count
        marked = _along_rows(marked, free)
        marked = _along_rows(marked.T, free.T).T
    return marked


def _along_rows(marked: Mask, free: Mask) -> Mask:
    """Mark the whole of each run of free pixels in a row that holds a mark."""
    walled = np.pad(~free, ((0, 0), (1, 0)), constant_values=True)  # runs end with their row
    runs = np.cumsum(walled.ravel()).reshape(walled.shape)[:, 1:]
    has_mark = np.bincount(runs[free & marked], minlength=int(runs.max()) + 1) > 0
    return has_mark[runs] & free


def _without_specks(mask: Mask) -> Mask:
    """The mask without parts of less than a speck."""
    left, kept = mask.copy(), np.zeros_like(mask)
    least = max(2, round(_SPECK * mask.size))
    while left.any():
        seed = np.zeros_like(mask)
        seed.flat[int(left.argmax())] = True
        part = spread(seed, left)
        left &= ~part
        if part.sum() >= least:
            kept |= part
    return kept


def _box(mask: Mask, size: tuple[int, int]) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    across, down = size[0] / mask.shape[1], size[1] / mask.shape[0]
    return Box(columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down)
