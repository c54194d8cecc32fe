"""What of planted faults `packshot outliers` finds in sets of pictures, and how often it cries wolf.

    PYTHONPATH=. python tests/benchmarks/outliers.py FOLDER     # of product photos on an even ground, PRODUCT-*.jpg

Sets are drawn as a shot of a brand has them: 12 to 24 pictures of the products of one half, on one ground, lit from one
side, each at another size and place and in a little other light. One picture of a set at a time is spoiled. Scores are
the program's; the other pictures of the set are the clean ones. A threshold is chosen on the sets of one half: the one
that finds most with at most 2 % false alarms. The table is of the other half.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from inference.finishing.pixels import decode_master, thumbnail
from inference.quality.checks import measure
from inference.quality.duplicates import ALIKE_UP_TO, distance, mark_of
from inference.quality.outliers import APART_FROM, NUMBERS, TRAITS, outliers, scores
from tests.benchmarks.quality import TRIES, Photo, encoded, faults, photos_of, redrawn, shifted, threshold

SPOILED = 2  # pictures of a set, one after another
SMALLEST, LARGEST = 12, 24
GROUNDS = {"white": 255.0, "grey": 225.0}
LIGHT = 0.2


@dataclass(frozen=True)
class Style:
    """What the pictures of a brand's shot have in common.

    Attributes:
        ground: a name in `GROUNDS`.
        light: share by which a product is lighter at its right side than in its middle.
    """

    ground: str
    light: float


Draw = Callable[[Photo, Style, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Fault:
    """A way to spoil a picture of a set, the trait that should tell, and whether the ground makes a difference."""

    name: str
    trait: str
    draw: Draw
    by_ground: bool = False


@dataclass(frozen=True)
class Trial:
    """A set with one spoiled picture.

    Attributes:
        bad: score of the spoiled picture in the fault's trait; `good` of the others.
        is_apart: whether the program calls it apart, by whatever trait.
    """

    half: int
    ground: str
    bad: float
    good: tuple[float, ...]
    is_apart: bool


def drawn(
    photo: Photo, style: Style, rng: np.random.Generator, blur: float = 0.0, fill: float = 1.0, turned: float = 1.0
) -> Image.Image:
    """A picture of a set.

    Args:
        turned: how many times the light of the set falls on it; from the other side below zero.
    """
    light = style.light * turned + rng.uniform(-0.03, 0.03)
    return redrawn(photo, rng, blur=blur, ground=GROUNDS[style.ground], fill=fill, light=light)


def darker(photo: Photo, style: Style, rng: np.random.Generator, levels: float) -> Image.Image:
    """In less light, so that the ground loses that many levels of 255."""
    values = np.asarray(drawn(photo, style, rng), np.float32) * (1 - levels / GROUNDS[style.ground])
    return Image.fromarray(np.rint(values).astype(np.uint8))


def cast(photo: Photo, style: Style, rng: np.random.Generator, by: float) -> Image.Image:
    """In coloured light; where the ground is white also darker, as no colour is as light as white."""
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([-by if style.ground == "white" else 0.0, by * np.cos(angle), by * np.sin(angle)])
    return shifted(drawn(photo, style, rng), way)


FAULTS = (
    Fault("product half as large", "scale", partial(drawn, fill=0.5)),
    Fault("ground darker by 10 of 255", "ground", partial(darker, levels=10), by_ground=True),
    Fault("ground darker by 25 of 255", "ground", partial(darker, levels=25), by_ground=True),
    Fault("cast of CIELAB 4", "cast", partial(cast, by=4), by_ground=True),
    Fault("cast of CIELAB 8", "cast", partial(cast, by=8), by_ground=True),
    Fault(f"light of {LIGHT * 100:g} % from the other side", "light", partial(drawn, turned=-1)),
    Fault(f"light of {LIGHT * 200:g} % from the other side", "light", partial(drawn, turned=-2)),
    Fault("blurred, sigma 2 px", "sharpness", partial(drawn, blur=2)),
)


def numbers_of(picture: Image.Image) -> list[float]:
    found = measure(encoded(picture), (), None)
    return [found.get(name, np.nan) for name in NUMBERS]


def trials(photos: list[Photo], style: Style, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, list[Trial]]]:
    """The numbers of a set with nothing planted, and what is found where something is, by fault."""
    size = int(rng.integers(SMALLEST, LARGEST + 1))
    chosen = [photos[number] for number in np.resize(rng.permutation(len(photos)), size)]
    clean = np.array([numbers_of(drawn(photo, style, rng)) for photo in chosen])
    found: dict[str, list[Trial]] = defaultdict(list)
    for place in rng.choice(size, SPOILED, replace=False).tolist():
        for fault in FAULTS:
            spoiled = clean.copy()
            spoiled[place] = numbers_of(fault.draw(chosen[place], style, rng))
            told = np.nan_to_num(scores(spoiled)[fault.trait])
            is_apart = place in {one.place for one in outliers(spoiled)}
            good = tuple(np.delete(told, place).tolist())
            found[fault.name].append(Trial(chosen[place].half, style.ground, float(told[place]), good, is_apart))
    return clean, found


def told(name: str, done: list[Trial], least: float) -> str:
    """A row of the table."""
    bad, good = ({half: np.array(values) for half, values in each.items()} for each in by_half(done))
    limit = threshold(bad[0], good[0])
    numbers = [
        *(f"{limit:.2f}", len(bad[1]), (bad[1] >= limit).sum(), len(good[1]), (good[1] >= limit).sum()),
        *((bad[1] >= least).sum(), (good[1] >= least).sum(), sum(one.is_apart for one in done if one.half == 1)),
    ]
    return "| " + " | ".join(map(str, [name, *numbers])) + " |"


def by_half(done: list[Trial]) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """The scores of spoiled pictures and of clean ones."""
    halves = {half: [trial for trial in done if trial.half == half] for half in (0, 1)}
    bad = {half: [trial.bad for trial in of] for half, of in halves.items()}
    return bad, {half: list(chain.from_iterable(trial.good for trial in of)) for half, of in halves.items()}


def rows(done: Mapping[str, list[Trial]]) -> Iterator[str]:
    for fault in FAULTS:
        for ground in GROUNDS if fault.by_ground else ("",):
            wanted = [trial for trial in done[fault.name] if ground in trial.ground]
            yield told(f"{fault.name}, on {ground}" if ground else fault.name, wanted, APART_FROM)


def nothing_planted(sets: list[np.ndarray]) -> str:
    apart = [[(one.place, one.trait) for one in outliers(each)] for each in sets]
    by_trait = {trait: sum(trait == one for each in apart for _, one in each) for trait in TRAITS}
    which = ", ".join(f"{count} by {trait}" for trait, count in by_trait.items())
    wrong = f"{sum(len(dict(each)) for each in apart)} of {sum(map(len, sets))} pictures apart"
    return f"{wrong}, in {sum(map(bool, apart))} of {len(sets)} sets; {which}"


def near_duplicates(photos: list[Photo]) -> Iterator[str]:
    """The same picture a little moved, and another of the same product, by their small pictures as the program does."""
    fault = next(each for each in faults(photos) if each.name == "the same picture twice")
    pairs: dict[tuple[int, bool], list[float]] = defaultdict(list)
    for number, photo in enumerate(photos):
        for attempt in range(2 * TRIES):
            for bad, make in ((True, fault.spoil), (False, fault.clean)):
                made = make(photo, np.random.default_rng([number, attempt, bad]))
                one, other = (mark_of(Image.fromarray(decode_master(thumbnail(each)))) for each in made)
                pairs[photo.half, bad].append(-distance(one, other))
    limit = threshold(np.array(pairs[0, True]), np.array(pairs[0, False]))
    counts = {
        at: [sum(number >= at for number in pairs[1, bad]) for bad in (True, False)] for at in (limit, -ALIKE_UP_TO)
    }
    yield "| pairs | threshold | planted | found | clean | false alarms | limit | found | false alarms |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    row = (-limit, len(pairs[1, True]), counts[limit][0], len(pairs[1, False]), counts[limit][1])
    yield "| the same picture twice | {:.2f} | {} | {} | {} | {} |".format(*row) + (
        f" {ALIKE_UP_TO:g} | {counts[-ALIKE_UP_TO][0]} | {counts[-ALIKE_UP_TO][1]} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", type=int, default=40, help="of each half")
    asked = parser.parse_args()
    photos = photos_of(asked.folder)
    print("\n".join(near_duplicates(photos)), flush=True)
    done: dict[str, list[Trial]] = defaultdict(list)
    clean: dict[int, list[np.ndarray]] = {0: [], 1: []}
    for half in (0, 1):
        own = [photo for photo in photos if photo.half == half]
        for number in range(asked.sets):
            rng = np.random.default_rng([half, number])
            style = Style(list(GROUNDS)[number % len(GROUNDS)], LIGHT * rng.choice([-1, 1]))
            numbers, found = trials(own, style, rng)
            clean[half].append(numbers)
            for name, each in found.items():
                done[name] += each
    print(f"\n| fault | threshold | planted | found | clean | false alarms | at {APART_FROM:g}: found ", end="")
    print("| false alarms | found by any trait |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(rows(done)) + "\n")
    for half, sets in clean.items():
        print(f"nothing planted, {'the other' if half else 'the chosen'} half: {nothing_planted(sets)}")


if __name__ == "__main__":
    main()
