"""Which pictures of a set stand apart from it, against the set's own median."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

_FACTORS = {1: 0.6745, 2: 1.052}
"""By how many numbers tell a trait. Of two, normal and alike spread, distances have another median than of one: with
this factor `APART_FROM` is as rare, 1 picture of 2,149, as it is with theirs of one."""

TRAITS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "scale": (("scale",), 0.02),
    "ground": (("ground",), 0.6),
    "cast": (("cast_a", "cast_b"), 1.0),
    "light": (("light_x", "light_y"), 2.0),
    "sharpness": (("sharpness",), 0.2),
}
"""By trait the numbers that tell it (of `inference.quality.staging` and `structure`), and the least spread a set is
taken to have: one that is more alike than the eye can tell has no outliers for that. Ground and cast stand apart from
about 3 of CIELAB on."""

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


def scores(pictures: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Modified z-scores of a set's pictures by trait, NaN where nothing is told; 0 on the side that nobody minds.

    Args:
        pictures: as `outliers` takes them.
    """
    found = {}
    for trait, (names, least) in TRAITS.items():
        known = _of(pictures, names)
        distances: NDArray[np.float64] = np.full(len(known), np.nan)
        places = np.isfinite(known).all(axis=1)
        if places.sum() >= LEAST_SET:
            away = known[places] - np.median(known[places], axis=0)
            distances[places] = np.sqrt((away**2).sum(axis=1))
            distances *= _FACTORS[len(names)] / max(float(np.median(distances[places])), least)
            if trait in WORSE_BELOW:
                distances[np.flatnonzero(places)[away[:, 0] > 0]] = 0
        found[trait] = distances
    return found


def outliers(pictures: NDArray[np.float64]) -> Iterator[Outlier]:
    """What stands apart in a set.

    Args:
        pictures: of shape (pictures, `NUMBERS`); NaN where a picture has no such number, which says nothing of it.
    """
    for trait, found in scores(pictures).items():
        names, _ = TRAITS[trait]
        known = _of(pictures, names)
        for place in np.flatnonzero(found >= APART_FROM).tolist():
            middle = np.median(known[np.isfinite(found)], axis=0)
            of_it, of_set = (dict(zip(names, map(float, numbers), strict=True)) for numbers in (known[place], middle))
            yield Outlier(place, trait, of_it, of_set, float(found[place]))


def _of(pictures: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    return pictures[:, [NUMBERS.index(name) for name in names]]
