"""Which pictures of a set stand apart from it, against the set's own median."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WORSE_BELOW = frozenset({"sharpness"})
"""Traits of which only the lower side stands apart: nobody minds the sharpest of a set."""

LEAST_SET = 8
"""Pictures that a set must have for one to stand apart from it."""

APART_FROM = 3.5
"""Modified z-score from which on a picture is an outlier, as B. Iglewicz and D. Hoaglin advise ("How to Detect and
Handle Outliers", 1993): 0.6745 * distance to the median / median of these distances."""

TRAITS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "scale": (("scale",), 0.02),
    "ground": (("ground",), 1.0),
    "cast": (("cast_a", "cast_b"), 1.0),
    "light": (("light_x", "light_y"), 2.0),
    "sharpness": (("sharpness",), 0.1),
}
"""By trait the numbers that tell it (of `inference.quality.staging` and `structure`), and the least spread a set is
taken to have: one that is more alike than the eye can tell has no outliers for that."""

NUMBERS = tuple(name for names, _ in TRAITS.values() for name in names)
"""In the order of the columns that `outliers` takes."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """A picture that stands apart.

    Attributes:
        place: of the picture in the set.
        found: its numbers, by name; `usual` those of the set.
        score: modified z-score.
    """

    place: int
    trait: str
    found: Mapping[str, float]
    usual: Mapping[str, float]
    score: float

    def __str__(self) -> str:
        return ", ".join(f"{name} {self.found[name]:.3g} (the set: {self.usual[name]:.3g})" for name in self.found)


def outliers(pictures: NDArray[np.float64]) -> Iterator[Outlier]:
    """What stands apart in a set.

    Args:
        pictures: of shape (pictures, `NUMBERS`); NaN where a picture has no such number, which says nothing of it.
    """
    for trait, (names, least) in TRAITS.items():
        known = pictures[:, [NUMBERS.index(name) for name in names]]
        places = np.flatnonzero(np.isfinite(known).all(axis=1))
        if len(places) < LEAST_SET:
            continue
        values = known[places]
        middle = np.median(values, axis=0)
        distances: NDArray[np.float64] = np.sqrt(((values - middle) ** 2).sum(axis=1))
        scores = 0.6745 * distances / max(float(np.median(distances)), least)
        for place, value, score in zip(places.tolist(), values, scores, strict=True):
            if score >= APART_FROM and not (trait in WORSE_BELOW and value[0] > middle[0]):
                found = dict(zip(names, map(float, value), strict=True))
                yield Outlier(place, trait, found, dict(zip(names, map(float, middle), strict=True)), float(score))
