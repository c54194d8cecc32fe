"""What the checks of pictures find of planted faults, and how often they cry wolf.

    PYTHONPATH=. python tests/benchmarks/quality.py FOLDER      # of product photos on an even ground, PRODUCT-*.jpg

Every photo is drawn again as a render might come out (another size, place, light, grain, JPEG), with and without a
fault. A threshold is chosen on the products of one half: the one that finds most with at most 2 % false alarms. The
table is of the other half.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFilter

from catalogs.campaigns.quality import ReviewLimits
from inference.finishing.white import made_white
from inference.quality.background import white_edge
from inference.quality.bound_colours import colour_differences, main_colours
from inference.quality.checks import WORSE_ABOVE
from inference.quality.colours import ciede2000, lab
from inference.quality.duplicates import distance, mark_of
from inference.quality.keypoints import found_again, keypoints_of
from inference.quality.likeness import framed, likeness
from inference.quality.structure import measure_structure
from inference.quality.subject import Subject, find_subject

SIDE = 1024
TRIES = 3
MOST_FALSE = 0.02


@dataclass(frozen=True)
class Photo:
    """A product photo, its subject, and which product it is of."""

    product: str
    picture: Image.Image
    subject: Subject

    @property
    def half(self) -> int:
        return hashlib.sha256(self.product.encode()).digest()[0] % 2


@dataclass(frozen=True)
class Fault:
    """A way to spoil a picture, and the number that should tell; higher is worse.

    Where a check calls the lower number worse, this is less than zero, so that without its sign it is the check's.
    """

    name: str
    spoil: Callable[[Photo, np.random.Generator], tuple[Image.Image, ...]]
    clean: Callable[[Photo, np.random.Generator], tuple[Image.Image, ...]]
    measure: Callable[[Photo, tuple[Image.Image, ...]], float]
    check: str = ""

    @property
    def default(self) -> float | None:
        """What `quality: on` takes for its limit, as a number of which higher is worse."""
        limit: float | None = getattr(ReviewLimits(), self.check) if self.check else None
        return limit if limit is None or self.check in WORSE_ABOVE else -limit


def photos_of(folder: Path) -> list[Photo]:
    found = []
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as image:
            picture = image.convert("RGB")
        subject = find_subject(picture)
        if isinstance(subject, Subject) and not subject.at_edge:
            found.append(Photo(path.stem.split("-")[0], picture, subject))
    return found


def redrawn(
    photo: Photo,
    rng: np.random.Generator,
    colour: np.ndarray | None = None,
    blur: float = 0.0,
    ground: float = 255.0,
    fill: float = 1.0,
    light: float = 0.0,
) -> Image.Image:
    """The product on a square, at another size and place, in a little other light, with grain, through JPEG.

    Args:
        colour: added in CIELAB to the subject.
        blur: sigma in pixels.
        fill: how many times as large as others.
        light: share by which the subject is lighter at its right side than in its middle, and darker at its left.
    """
    box = photo.subject.box
    scale = fill * rng.uniform(0.72, 0.88) * SIDE / max(box.width, box.height)
    size = (round(box.width * scale), round(box.height * scale))
    cut = photo.picture.resize(size, Image.Resampling.LANCZOS, box=(box.left, box.top, box.right, box.bottom))
    shape = Image.fromarray(photo.subject.mask).convert("L")
    part = (box.left, box.top, box.right, box.bottom)
    across, down = shape.width / photo.picture.width, shape.height / photo.picture.height
    mask = shape.resize(
        size, Image.Resampling.BICUBIC, box=(part[0] * across, part[1] * down, part[2] * across, part[3] * down)
    ).filter(ImageFilter.GaussianBlur(1))
    place = tuple(int((SIDE - side) * rng.uniform(0.35, 0.65)) for side in size)
    if colour is not None:
        cut = shifted(cut, colour)
    values = np.full((SIDE, SIDE, 3), ground, np.float32)
    weight = np.asarray(mask, np.float32)[..., None] / 255
    part_of = np.s_[place[1] : place[1] + size[1], place[0] : place[0] + size[0]]
    shade = 1 + light * np.linspace(-1, 1, size[0], dtype=np.float32)[None, :, None]
    values[part_of] = np.asarray(cut, np.float32) * shade * weight + values[part_of] * (1 - weight)
    if blur:
        picture = Image.fromarray(values.astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur))
        values = np.asarray(picture, np.float32)
    lit = values * rng.uniform(0.97, 1.03) if ground < 250 else 255 - (255 - values) * rng.uniform(0.97, 1.03)
    lit[part_of] += rng.normal(0, 1.0, lit[part_of].shape)
    return encoded(Image.fromarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8)))


def encoded(picture: Image.Image, quality: int = 92) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return Image.open(buffer).convert("RGB")


def shifted(picture: Image.Image, by: np.ndarray) -> Image.Image:
    """Another colour by a known way in CIELAB: by the nearest sRGB of a table, fine enough for a fault."""
    values = lab(np.asarray(picture)) + by
    return Image.fromarray(to_srgb(values))


def to_srgb(values: np.ndarray) -> np.ndarray:
    y = (values[..., 0] + 16) / 116
    cubes = np.stack([y + values[..., 1] / 500, y, y - values[..., 2] / 200], axis=-1)
    xyz = np.where(cubes > 6 / 29, cubes**3, 3 * (6 / 29) ** 2 * (cubes - 4 / 29)) * [0.95047, 1.0, 1.08883]
    linear = xyz @ np.array(
        [[3.2404542, -0.969266, 0.0556434], [-1.5371385, 1.8760108, -0.2040259], [-0.4985314, 0.041556, 1.0572252]]
    )
    linear = np.clip(linear, 0, 1)
    made = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(made * 255).astype(np.uint8)


def turned(photo: Photo, rng: np.random.Generator, difference: float) -> np.ndarray:
    """A way in CIELAB along which the subject's main colours move by about that CIEDE2000."""
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([0.0, np.cos(angle), np.sin(angle)])
    mains = main_colours(photo.picture, photo.subject)
    low, high = 0.0, 120.0
    for _ in range(20):
        middle = (low + high) / 2
        moved = float(np.median(ciede2000(mains, lab(to_srgb(mains + way * middle)))))
        low, high = (middle, high) if moved < difference else (low, middle)
    return way * high


def found_in(picture: Image.Image) -> Subject | None:
    subject = find_subject(picture)
    return subject if isinstance(subject, Subject) else None


def colour_of(photo: Photo) -> str:
    """The photo's own largest colour, as a catalog would have it."""
    small = photo.picture.resize((64, 64), Image.Resampling.BOX)
    inside = np.asarray(Image.fromarray(photo.subject.mask).resize((64, 64)))
    pixels = np.asarray(small)[inside]
    clusters = Image.fromarray(pixels[None]).quantize(6, Image.Quantize.MAXCOVERAGE, kmeans=3)
    counts = np.bincount(np.asarray(clusters).ravel(), minlength=6)
    red, green, blue = (clusters.getpalette() or [])[int(counts.argmax()) * 3 :][:3]
    return f"#{red:02X}{green:02X}{blue:02X}"


def by_colour(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    return max(colour_differences(made[0], found_in(made[0]), [colour_of(photo)]).values())


def by_blur(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    return -measure_structure(made[0], found_in(made[0])).sharpness


def by_edge(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    subject = found_in(made[0])
    if subject is None:
        return 0.0
    return subject.at_edge


def by_white(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    return white_edge(np.asarray(made[0])).off_white


def by_likeness(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    subject = found_in(made[0])
    if subject is None:
        return 0.0
    return -likeness(framed(made[0], subject), framed(photo.picture, photo.subject)).score


def by_keypoints(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    product, subject = keypoints_of(photo.picture, photo.subject.box), found_in(made[0])
    assert product is not None
    return -found_again(product, made[0], subject.box if subject else None)


def by_mark(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    return -distance(mark_of(made[0]), mark_of(made[1]))


def by_contrast(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    return -measure_structure(made[0], None).contrast


def by_noise(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    return -measure_structure(made[0], None).coherence


def by_banding(photo: Photo, made: tuple[Image.Image, ...]) -> float:
    return measure_structure(made[0], None).banding


def run_print(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
    """What is on the product runs, by some 2 % of its size; its outline stays."""
    box, (width, height) = photo.subject.box, photo.picture.size
    sigma = 0.03 * max(box.width, box.height)
    mask = Image.fromarray(photo.subject.mask).convert("L").resize((width, height))
    inside = mask.filter(ImageFilter.MinFilter(9)).filter(ImageFilter.GaussianBlur(8))
    weight = np.asarray(inside, np.float32) / 255
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ways = []
    for _ in range(2):
        way = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), sigma)
        ways.append(way * 0.02 * max(box.width, box.height) / way.std() * weight)
    moved = cv2.remap(np.asarray(photo.picture), *np.float32([x + ways[0], y + ways[1]]), cv2.INTER_LINEAR)
    return (redrawn(replace(photo, picture=Image.fromarray(moved)), rng),)


def cut_off(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
    whole = redrawn(photo, rng)
    subject = find_subject(whole)
    assert isinstance(subject, Subject)
    box, share = subject.box, rng.uniform(0.04, 0.15)
    left, top, right, bottom = 0.0, 0.0, float(SIDE), float(SIDE)
    side = rng.integers(4)
    if side == 0:
        left = box.left + share * box.width
    elif side == 1:
        top = box.top + share * box.height
    elif side == 2:
        right = box.right - share * box.width
    else:
        bottom = box.bottom - share * box.height
    return (whole.crop((round(left), round(top), round(right), round(bottom))),)


def noise(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
    grain = int(rng.choice([64, 128, 256, 1024]))
    small = Image.fromarray(rng.integers(0, 256, (grain, grain, 3), dtype=np.uint8))
    return (encoded(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)),)


def banded(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
    """The same picture on a ground that falls off, with few levels of it left."""
    levels = rng.integers(3, 9)
    values = np.asarray(fallen_off(photo, rng), np.float32)
    return (Image.fromarray((np.floor(values / levels) * levels).astype(np.uint8)),)


def fallen_off(photo: Photo, rng: np.random.Generator) -> Image.Image:
    values = np.asarray(redrawn(photo, rng, ground=235.0), np.float32)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    light = 1 - rng.uniform(0.08, 0.2) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    return Image.fromarray(np.rint(values * light[..., None]).astype(np.uint8))


def plain(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
    return (redrawn(photo, rng),)


def faults(photos: list[Photo]) -> Iterator[Fault]:
    for difference in (6, 12, 20):

        def recoloured(photo: Photo, rng: np.random.Generator, by: float = difference) -> tuple[Image.Image, ...]:
            return (redrawn(photo, rng, colour=turned(photo, rng, by)),)

        yield Fault(f"recoloured by CIEDE2000 {difference}", recoloured, plain, by_colour, "colours")
    for sigma in (1.0, 2.0, 4.0):

        def blurred(photo: Photo, rng: np.random.Generator, by: float = sigma) -> tuple[Image.Image, ...]:
            return (redrawn(photo, rng, blur=by),)

        yield Fault(f"blurred, sigma {sigma:g} px", blurred, plain, by_blur)
    yield Fault("cut off, 4 to 15 %", cut_off, plain, by_edge, "cut_off")
    for level in (253, 248):

        def off_white(photo: Photo, rng: np.random.Generator, at: float = level) -> tuple[Image.Image, ...]:
            return (redrawn(photo, rng, ground=at),)

        def white(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
            return (encoded(made_white(redrawn(photo, rng, ground=245.0))),)

        yield Fault(f"ground of {level}", off_white, white, by_white)

    def other(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
        strangers = [each for each in photos if each.product != photo.product and each.half == photo.half]
        return (redrawn(strangers[rng.integers(len(strangers))], rng),)

    def twins(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
        one = redrawn(photo, rng)
        moved = one.rotate(rng.uniform(-0.5, 0.5), fillcolor="white", translate=(3, -2))
        return (one, encoded(moved, 85))

    def siblings(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
        return (redrawn(photo, rng), redrawn(photo, rng))

    yield Fault("another product", other, plain, by_likeness, "likeness")
    yield Fault("a print that runs, by likeness", run_print, plain, by_likeness, "likeness")
    yield Fault("a print that runs, by keypoints", run_print, plain, by_keypoints)
    yield Fault("another product, by keypoints", other, plain, by_keypoints)
    yield Fault("the same picture twice", twins, siblings, by_mark)

    def blank(photo: Photo, rng: np.random.Generator) -> tuple[Image.Image, ...]:
        return (encoded(Image.new("RGB", (SIDE, SIDE), (int(rng.integers(256)),) * 3)),)

    yield Fault("blank", blank, plain, by_contrast, "contrast")
    yield Fault("noise", noise, plain, by_noise, "coherence")
    yield Fault("banding", banded, lambda photo, rng: (encoded(fallen_off(photo, rng)),), by_banding, "banding")


def threshold(bad: np.ndarray, good: np.ndarray) -> float:
    """The least that finds most with at most `MOST_FALSE` false alarms: half-way to the next number below."""
    numbers = np.unique(np.concatenate([bad, good]))
    for lower, number in pairwise(numbers):
        if (good >= number).mean() <= MOST_FALSE:
            return float((lower + number) / 2)
    return float(numbers[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    photos = photos_of(asked.folder)
    print(f"{len(photos)} photos of {len({photo.product for photo in photos})} products, {TRIES} of each a fault\n")
    print("| fault | threshold | planted | found | clean | false alarms | `quality: on` | found | false alarms | ms |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for fault in faults(photos):
        if asked.only not in fault.name:
            continue
        numbers: dict[tuple[int, bool], list[float]] = {(half, bad): [] for half in (0, 1) for bad in (False, True)}
        spent = 0.0
        for number, photo in enumerate(photos):
            for attempt in range(TRIES):
                for bad, make in ((True, fault.spoil), (False, fault.clean)):
                    made = make(photo, np.random.default_rng([number, attempt, bad]))
                    started = time.process_time()
                    numbers[photo.half, bad].append(fault.measure(photo, made))
                    spent += time.process_time() - started
        limit = threshold(np.array(numbers[0, True]), np.array(numbers[0, False]))
        bad_ones, good_ones = np.array(numbers[1, True]), np.array(numbers[1, False])
        found, wolves = int((bad_ones >= limit).sum()), int((good_ones >= limit).sum())
        each = spent / (2 * TRIES * len(photos)) * 1000
        default = fault.default
        told: tuple[str, ...] = ("-",) * 3
        if default is not None:
            told = (f"{abs(default):g}", str((bad_ones > default).sum()), str((good_ones > default).sum()))
        row = (fault.name, f"{abs(limit):.3g}", len(bad_ones), found, len(good_ones), wolves, *told, f"{each:.0f}")
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
