"""The size at which a channel's picture is rendered: the ladder of FLUX-legal sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

SIDE_MULTIPLE = 16
MIN_SIDE = 64
MAX_SIDE = 4096
MAX_PIXELS = 2**22
LADDER_FROM = 512
"""Long side in pixels from which targets share rungs; below it, each gets its smallest legal size."""

RATIO_TOLERANCE = 0.01
"""How far a target's ratio may lie from a family's."""

MEGAPIXEL = 2**20
LEAST_MEGAPIXELS = MIN_SIDE * MIN_SIDE * 16 / MEGAPIXEL
"""The smallest limit that holds a legal size of every shape that a channel may have."""

NEAR_RATIO = 0.03
"""How far a target's ratio may lie from a family's where a limit is given, and all of a family share a master."""

MAX_CROP_LOSS = 0.02
"""Largest share of a rung that the centre crop to a target of its family throws away."""

MAX_RATIO = 16

# Ratio family -> its rungs, landscape, ascending; portrait is the mirror image. A rung is never
# changed or put between two others without need: every channel whose master moves is rendered anew.
_LADDER: Mapping[float, Sequence[tuple[int, int]]] = MappingProxyType(
    {
        1.0: ((512, 512), (640, 640), (768, 768), (1024, 1024), (1088, 1088), (1440, 1440), (2048, 2048)),
        1.25: ((640, 512), (960, 768), (1360, 1088), (1808, 1440), (2240, 1792)),
        4 / 3: ((512, 384), (768, 576), (1024, 768), (1472, 1104), (2048, 1536), (2352, 1776)),
        2600 / 1801: ((832, 576), (1664, 1152), (2448, 1712)),
        1.5: ((528, 352), (768, 512), (1152, 768), (1504, 1008), (2016, 1344), (2496, 1664)),
        16 / 9: ((512, 288), (768, 432), (1024, 576), (1280, 720), (1920, 1088), (2560, 1440), (2720, 1536)),
        1.91: ((704, 368), (1408, 736), (2112, 1104), (2816, 1472)),
        2.0: ((640, 320), (1216, 608), (1600, 800), (2048, 1024), (2880, 1440)),
    }
)


def is_legal_size(width: int, height: int) -> bool:
    """Whether FLUX.2 renders this size: sides are multiples of 16 from 64 to 4096, at most 2**22 pixels."""
    sides = (width, height)
    return (
        all(side % SIDE_MULTIPLE == 0 and MIN_SIDE <= side <= MAX_SIDE for side in sides)
        and width * height <= MAX_PIXELS
    )


def crop_loss(width: int, height: int, target_width: int, target_height: int) -> float:
    """Share of a picture, 0 to 1, that the largest centre crop to the target's ratio throws away."""
    a, b = width * target_height, height * target_width
    return 1 - min(a, b) / max(a, b)


@cache
def master_size(width: int, height: int) -> tuple[int, int]:
    """Size in pixels at which a target of width x height is rendered; depends on nothing else.

    A target whose ratio is that of a family (within `RATIO_TOLERANCE`) gets the family's smallest rung
    that covers it, or the largest; any other the smallest legal size that covers it, or the largest
    of its shape that the pixel limit allows.
    """
    if height > width:
        mirrored = master_size(height, width)
        return mirrored[1], mirrored[0]
    rungs = _family(width / height) if width >= LADDER_FROM else ()
    for rung in rungs:
        if rung[0] >= width and rung[1] >= height:
            return rung
    if rungs:
        return rungs[-1]
    covering = _up(width), _up(height)
    return covering if is_legal_size(*covering) else _largest_of_shape(width, height)


@cache
def shared_master_size(width: int, height: int, megapixels: float) -> tuple[int, int]:
    """Size in pixels at which a target of width x height is rendered under a limit, with all others of its family.

    A target whose ratio is near that of a family (within `NEAR_RATIO`, the nearest) gets the family's largest rung
    within the limit, or the largest legal size of the family's shape where the limit is below every rung; any other
    target the largest legal size of its own shape within the limit. It depends on no other target.

    Args:
        megapixels: at least `LEAST_MEGAPIXELS`; one is 2**20 pixels.
    """
    if height > width:
        mirrored = shared_master_size(height, width, megapixels)
        return mirrored[1], mirrored[0]
    limit = int(megapixels * MEGAPIXEL)
    rungs = _nearest_family(width / height)
    within = [rung for rung in rungs if rung[0] * rung[1] <= limit]
    return within[-1] if within else _largest_of_shape(*(rungs[0] if rungs else (width, height)), limit)


def _nearest_family(ratio: float) -> Sequence[tuple[int, int]]:
    nominal = min(_LADDER, key=lambda nominal: abs(ratio / nominal - 1))
    return _LADDER[nominal] if abs(ratio / nominal - 1) <= NEAR_RATIO else ()


def _family(ratio: float) -> Sequence[tuple[int, int]]:
    for nominal, rungs in _LADDER.items():
        if abs(ratio / nominal - 1) <= RATIO_TOLERANCE:
            return rungs
    return ()


def _up(side: int) -> int:
    return max(MIN_SIDE, -(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE)


def _largest_of_shape(width: int, height: int, limit: int = MAX_PIXELS) -> tuple[int, int]:
    best, best_key = (MIN_SIDE, MIN_SIDE), (False, 0.0)
    for long in range(MIN_SIDE, MAX_SIDE + 1, SIDE_MULTIPLE):
        below = long * height // width // SIDE_MULTIPLE * SIDE_MULTIPLE
        for short in (below, below + SIDE_MULTIPLE):
            if not is_legal_size(long, short) or long * short > limit:
                continue
            loss = crop_loss(long, short, width, height)
            close = loss <= RATIO_TOLERANCE
            key = (close, float(long * short) if close else -loss)
            if key > best_key or best_key == (False, 0.0):
                best, best_key = (long, short), key
    return best
