"""A picture in numbers, which of them are worse than their limits, and how good all of them are together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from PIL import Image

from catalogs.campaigns.quality import ReviewLimits
from inference.quality.bound_colours import colour_differences
from inference.quality.keypoints import Keypoints, can_find_keypoints, found_again, keypoints_of
from inference.quality.likeness import Framed, framed, likeness
from inference.quality.staging import measure_staging
from inference.quality.structure import measure_structure
from inference.quality.subject import Subject, find_subject

WORSE_ABOVE = frozenset({"colours", "cut_off", "banding"})


class Product(NamedTuple):
    """The product of a reference photo.

    Attributes:
        keypoints: None where it has too few, or nothing here finds them.
    """

    framed: Framed
    keypoints: Keypoints | None


class Fault(NamedTuple):
    """A number that is worse than its limit."""

    check: str
    number: float
    limit: float

    def __str__(self) -> str:
        return f"{self.check} {self.number:.3g} ({'over' if self.check in WORSE_ABOVE else 'under'} {self.limit:g})"


def measure(
    picture: Image.Image, codes: Sequence[str], reference: Product | None, found: Subject | str | None = None
) -> dict[str, float]:
    """The numbers of an RGB picture by check; one that cannot be told is missing, and never good.

    Args:
        codes: colours that its prompt names, as "#RRGGBB".
        reference: the product in a photo.
        found: what `find_subject` says of the picture, where that is known.
    """
    if found is None:
        found = find_subject(picture)
    subject = found if isinstance(found, Subject) else None
    light = measure_structure(picture, subject)
    numbers = {
        "contrast": light.contrast,
        "coherence": light.coherence,
        "banding": light.banding,
        "sharpness": light.sharpness,
    }
    if differences := colour_differences(picture, subject, codes):
        numbers["colours"] = max(differences.values())
    if subject is not None:
        numbers["cut_off"] = subject.at_edge
        numbers |= measure_staging(picture, subject)
        if reference is not None:
            numbers["likeness"] = likeness(framed(picture, subject), reference.framed).score
    if reference is not None and reference.keypoints is not None:
        numbers["keypoints"] = found_again(reference.keypoints, picture, subject.box if subject else None)
    return numbers


def reference_of(photo: Image.Image, found: Subject | str | None = None) -> Product | None:
    """The product of a reference photo, None where it cannot be told from what is behind it."""
    if found is None:
        found = find_subject(photo)
    if not isinstance(found, Subject):
        return None
    return Product(framed(photo, found), keypoints_of(photo, found.box) if can_find_keypoints() else None)


def faults(numbers: Mapping[str, float], limits: ReviewLimits) -> Iterator[Fault]:
    """Which numbers are worse than their limits."""
    for check, limit in limits:
        number = numbers.get(check)
        if limit is None or number is None:
            continue
        if number > limit if check in WORSE_ABOVE else number < limit:
            yield Fault(check, number, limit)


def score(numbers: Mapping[str, float], *limits: ReviewLimits) -> float | None:
    """How far a picture is on the good side of its limits, in [0, 1]: the least of its checks; None without any.

    Of a check it is limit / (limit + number) where a larger number is worse, else number / (limit + number): 1 for a
    picture without a fault, 0.5 at the limit.

    Args:
        limits: of each check the first that is set counts.
    """
    found = []
    for check, number in numbers.items():
        limit = next((one for one in (getattr(each, check, None) for each in limits) if one is not None), None)
        if limit is not None:
            good, other = (limit, number) if check in WORSE_ABOVE else (number, limit)
            good, other = max(0.0, good), max(0.0, other)
            found.append(good / (good + other) if good + other else 0.5)
    return min(found) if found else None
