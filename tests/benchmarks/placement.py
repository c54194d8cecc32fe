"""How often the product of a photo is found in a scene, whole, and how often where it is not.

    PYTHONPATH=. python tests/benchmarks/placement.py FOLDER      # of product photos on an even ground, PRODUCT-*.jpg

Every product is laid into parts of other photos, at any size and place, turned and stretched a little, in another
light, with a shadow and grain, through JPEG; beside it the photo of another product is looked for. The least cosine is
chosen on the products of one half: the one that finds most with at most 2 % of others. The table is of the other half.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from inference.quality.box import Box
from inference.quality.keypoints import found_again, keypoints_of
from inference.quality.placement import FITS_FROM, MOST_DIFFERENCE, Placed, place, product_of
from tests.benchmarks.quality import SIDE, Photo, encoded, photos_of, threshold

TRIES = 4
TURNS = ((0.0, 4.0), (4.0, 8.0), (8.0, 15.0))
"""Degrees by which a product leans, from and to: a row each."""

_SLACK = 8  # pixels of 1024 that may be cut off


@dataclass(frozen=True)
class Trial:
    """A scene and what was looked for in it.

    Attributes:
        box: of the product that is there.
        keypoints: the share of the product's that is found again, and of the other's.
    """

    half: int
    turn: tuple[float, float]
    box: Box
    same: Placed
    other: Placed
    seconds: float
    keypoints: tuple[float, float]

    def is_whole(self) -> bool:
        found = self.same.box
        return (
            found.left <= self.box.left + _SLACK
            and found.top <= self.box.top + _SLACK
            and found.right >= self.box.right - _SLACK
            and found.bottom >= self.box.bottom - _SLACK
        )


def ground(path: Path, rng: np.random.Generator) -> np.ndarray:
    """A part of a photo in another light, with grain, as float32 of shape (SIDE, SIDE, 3)."""
    with Image.open(path) as image:
        photo = image.convert("RGB")
    side = rng.uniform(0.5, 1) * min(photo.size)
    left, top = (rng.uniform(0, whole - side) for whole in photo.size)
    part = photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    values = np.asarray(part.filter(ImageFilter.GaussianBlur(rng.uniform(0, 6))), np.float32)
    grain = Image.fromarray(rng.normal(0, rng.uniform(2, 14), (64, 64)).astype(np.float32))
    values = values * rng.uniform(0.45, 1, 3) + np.asarray(grain.resize((SIDE, SIDE)))[..., None]
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    across, down = rng.uniform(-60, 60, 2)
    lit: np.ndarray = values + (across * x + down * y)[..., None]
    return lit


def scene(photo: Photo, behind: Path, turn: tuple[float, float], rng: np.random.Generator) -> tuple[Image.Image, Box]:
    """A product in a scene, and where it is."""
    cut, mask = cut_out(photo, rng)
    degrees = rng.uniform(*turn) * rng.choice([-1, 1])
    cut, mask = (each.rotate(degrees, Image.Resampling.BICUBIC, expand=True) for each in (cut, mask))
    width, height = cut.size
    left, top = (int(rng.uniform(0, SIDE - side)) for side in cut.size)
    y, x = np.mgrid[0:height, 0:width]
    across, down = rng.uniform(-25, 25, 2)
    shade = (across * (x / width - 0.5) + down * (y / height - 0.5))[..., None]
    lit = np.asarray(cut, np.float32) * rng.uniform(0.85, 1.1) + shade
    weight = np.zeros((SIDE, SIDE), np.float32)
    inside = np.s_[top : top + height, left : left + width]
    weight[inside] = np.asarray(mask, np.float32) / 255
    cast = Image.fromarray((weight * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(18))
    shadow = np.roll(np.asarray(cast, np.float32) / 255, (12, 8), (0, 1))
    values = ground(behind, rng) * (1 - 0.4 * shadow)[..., None]
    values[inside] = lit * weight[inside][..., None] + values[inside] * (1 - weight[inside][..., None])
    values += rng.normal(0, 2, values.shape)
    rows, columns = np.flatnonzero((weight > 0.5).any(axis=1)), np.flatnonzero((weight > 0.5).any(axis=0))
    picture = encoded(Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)))
    return picture, Box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def cut_out(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """A product and its outline, stretched a little, without the rim that its white ground left."""
    box, mask = photo.subject.box, Image.fromarray(photo.subject.mask).convert("L")
    scale, stretch = rng.uniform(0.25, 0.8) * SIDE / max(box.width, box.height), rng.uniform(0.96, 1.04)
    size = (round(box.width * scale * stretch), round(box.height * scale / stretch))
    part = (box.left, box.top, box.right, box.bottom)
    across, down = mask.width / photo.picture.width, mask.height / photo.picture.height
    outline = mask.resize(
        size, Image.Resampling.BICUBIC, box=(part[0] * across, part[1] * down, part[2] * across, part[3] * down)
    )
    inner = outline.filter(ImageFilter.MinFilter(7)).filter(ImageFilter.GaussianBlur(1))
    return photo.picture.resize(size, Image.Resampling.LANCZOS, box=part), inner


def trials(photos: list[Photo], paths: list[Path]) -> Iterator[Trial]:
    for number, photo in enumerate(photos):
        strangers = [each for each in photos if each.product != photo.product and each.half == photo.half]
        behind = [path for path in paths if path.stem.split("-")[0] != photo.product]
        for row, turn in enumerate(TURNS):
            for attempt in range(TRIES):
                rng = np.random.default_rng([number, row, attempt])
                picture, box = scene(photo, behind[rng.integers(len(behind))], turn, rng)
                stranger = strangers[rng.integers(len(strangers))]
                one, other = product_of(photo.picture), product_of(stranger.picture)
                assert one is not None
                assert other is not None
                started = time.process_time()
                same = place(picture, one)
                seconds = time.process_time() - started
                another = place(picture, other)
                assert same is not None
                assert another is not None
                yield Trial(photo.half, turn, box, same, another, seconds, shares(picture, photo, stranger))


def shares(picture: Image.Image, *photos: Photo) -> tuple[float, float]:
    products = [keypoints_of(photo.picture, photo.subject.box) for photo in photos]
    one, other = (found_again(product, picture, None) for product in products if product is not None)
    return one, other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    photos, paths = photos_of(asked.folder), sorted(asked.folder.rglob("*.jpg"))
    done = list(trials(photos, paths))
    chosen = [trial for trial in done if trial.half == 0]
    alike, others = (np.array([getattr(one, name).edges for one in chosen]) for name in ("same", "other"))
    spent = sum(trial.seconds for trial in done) / len(done)
    products = len({photo.product for photo in photos})
    print(f"{len(photos)} photos of {products} products, {spent * 1000:.0f} ms a scene;")
    print(f"one half says: a cosine of {threshold(alike, others):.3f}; used are {FITS_FROM} and {MOST_DIFFERENCE:g}\n")
    limit = threshold(*(np.array([one.keypoints[which] for one in chosen]) for which in (0, 1)))
    print(f"and a share of keypoints of {limit:.3f}\n")
    print("| leans by | scenes | found | of them whole | another product | taken for it | keypoints: same | other |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for turn in TURNS:
        judged = [trial for trial in done if trial.half == 1 and trial.turn == turn]
        found = [trial for trial in judged if trial.same.fits]
        whole, wrong = sum(trial.is_whole() for trial in found), sum(trial.other.fits for trial in judged)
        same, other = (sum(trial.keypoints[which] >= limit for trial in judged) for which in (0, 1))
        print(
            f"| {turn[0]:g} to {turn[1]:g}° | {len(judged)} | {len(found)} | {whole} | {len(judged)} | {wrong} "
            f"| {same} | {other} |"
        )


if __name__ == "__main__":
    main()
