"""What finishing a picture costs, step by step, and how much of an engine's pace it takes.

    PYTHONPATH=. python tests/benchmarks/finishing.py              # files, steps, pace
    PYTHONPATH=. python tests/benchmarks/finishing.py --only pace

Pictures are drawn packshots, a different one each time. `files` and `steps` are milliseconds of a core a picture: whole
files, and what is done beside them. `pace` is a shard's own threads behind an engine that sleeps 250 ms a picture,
beside the same loop with nothing behind it; "checked" measures every picture as `quality: on` does. The goal is of its
first line: at most 3 % slower on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from catalogs.campaigns.channels import FORMATS, Channel
from catalogs.campaigns.credentials import Credentials
from catalogs.campaigns.drawn_overlay import written
from inference.credentials.development import write_development_chain
from inference.credentials.keys import load_key
from inference.credentials.manifest import Making, Source
from inference.credentials.signing import Signing
from inference.engine import Pixels
from inference.finishing.finish import Overlay, finish
from inference.finishing.metadata import AssetMetadata
from inference.finishing.overlay import paint
from inference.finishing.pixels import encode_master, thumbnail
from inference.finishing.sign import Edit
from inference.quality.bound_colours import colour_differences
from inference.quality.checks import measure, reference_of
from inference.quality.keypoints import found_again
from inference.quality.lettering import read_back
from inference.quality.likeness import framed, likeness
from inference.quality.placement import place, product_of
from inference.quality.reader import reader
from inference.quality.structure import measure_structure
from inference.quality.subject import Subject, find_subject
from tasks.finishers import Finishers
from tests.drawn_packshots import drawn_packshot, drawn_scene
from tests.overlay_sheet import FONT, LOGO_SVG, Files, drawn

META = AssetMetadata("f" * 64, "Halden & Moss", "Mug", model="klein-4b", model_revision="r1")
ENGINE_SECONDS = 0.25
MOST_SLOWED = 0.03
"""Of the engine's pace, by one JPEG of 1024 x 1024 and the checks, on two cores."""

CODES = ("#AA3344", "#2255CC")
PHOTO = Source.photo("photos/mug.png", "ab" * 32, "hero")
MAKING = Making("Mug", "klein-4b", "r1", (PHOTO,), version="0.1")
EDITS = (Edit("crop", {"width": 1024, "height": 1024}), Edit("encode", {"format": "jpeg", "quality": 92}))
FILES = Files(FONT.read_bytes(), LOGO_SVG)

WHITE: dict[str, Any] = {"crop": "subject", "fill": [0.75, 0.9], "background": {"make": "white"}}


@dataclass(frozen=True)
class Case:
    """Channels that one master of `side` pixels is finished for.

    Attributes:
        extra: of `checked`, `read` (letters, with `packshot[lettering]`), `signed` and `overlay` what is done too.
    """

    name: str
    side: int
    channels: tuple[Channel, ...]
    extra: frozenset[str] = frozenset()


def channel(side: int = 1024, **rest: Any) -> Channel:
    return Channel(**({"name": "web", "width": side, "height": side} | rest))


CASES = (
    Case("JPEG", 1024, (channel(),)),
    Case("JPEG, crop: subject", 1024, (channel(crop="subject", fill=[0.75, 0.9]),)),
    Case("JPEG, background: {make: white}", 1024, (channel(background={"make": "white"}),)),
    Case("JPEG, both", 1024, (channel(**WHITE),)),
    Case("JPEG, encode: best", 1024, (channel(encode="best"),)),
    Case("JPEG, encode: best, max_bytes: 90kB", 1024, (channel(encode="best", max_bytes="90kB"),)),
    Case("PNG", 1024, (channel(format="png"),)),
    Case("WebP", 1024, (channel(format="webp"),)),
    Case("WebP, encode: best", 1024, (channel(format="webp", encode="best"),)),
    Case("AVIF", 1024, (channel(format="avif"),)),
    Case("AVIF, encode: best, max_bytes: 60kB", 1024, (channel(format="avif", encode="best", max_bytes="60kB"),)),
    Case("JPEG of 4 megapixels, both", 2048, (channel(2048, **WHITE),)),
    Case("PNG of 4 megapixels", 2048, (channel(2048, format="png"),)),
    Case(
        "three channels: white JPEG, WebP, 4:5 JPEG",
        1024,
        (channel(**WHITE), channel(format="webp"), channel(width=1080, height=1350, crop="subject")),
    ),
)


GOAL = Case("JPEG, checked: the goal", 1024, (channel(),), frozenset({"checked"}))
PACED = (
    GOAL,
    Case("JPEG, checked, signed, overlay", 1024, (channel(),), frozenset({"checked", "signed", "overlay"})),
    *CASES,
    Case("JPEG, checked, letters read", 1024, (channel(),), frozenset({"checked", "read"})),
    Case("PNG, checked", 1024, (channel(format="png"),), frozenset({"checked"})),
    Case("WebP, checked", 1024, (channel(format="webp"),), frozenset({"checked"})),
    Case("JPEG of 4 megapixels, checked", 2048, (channel(2048),), frozenset({"checked"})),
    Case("three channels, checked, signed", 1024, CASES[-1].channels, frozenset({"checked", "signed"})),
)


LETTERS = "KEEPS ITS WARMTH"


def lettered(pixels: Pixels) -> Pixels:
    """A picture with a line of print."""
    picture = Image.fromarray(pixels)
    font = ImageFont.truetype(str(FONT), picture.width // 16)
    ImageDraw.Draw(picture).text((picture.width // 2, picture.height // 10), LETTERS, "#222222", font, anchor="mm")
    return np.asarray(picture)


def packshots(side: int, count: int) -> list[Pixels]:
    box = tuple(round(side * share) for share in (0.28, 0.22, 0.72, 0.82))
    return [np.asarray(drawn_packshot((side, side), box, seed=seed).picture) for seed in range(count)]  # type: ignore[arg-type]


def files(pictures: int) -> Iterator[tuple[str, float]]:
    """Milliseconds of the processor a picture, for its file alone."""
    for case in CASES:
        made = packshots(case.side, pictures)
        for each in case.channels:
            finish(made[0], each, META)
        started = time.process_time()
        found = [finish(pixels, each, META) for pixels in made for each in case.channels]
        spent = time.process_time() - started
        for file, each in zip(found, [each for _ in made for each in case.channels], strict=True):
            assert Image.open(io.BytesIO(file.data)).size == (each.width, each.height)
        yield case.name, spent / pictures * 1000


def signing(folder: Path) -> Signing:
    """What signs with a development certificate, of the length that files carry."""
    write_development_chain(folder)
    credentials = Credentials(key=str(folder / "key.pem"), chain=str(folder / "chain.pem"))
    return Signing(load_key(credentials, "benchmark"), credentials)


def overlay_of(each: Channel) -> str:
    """A headline that is wrapped, a price on a badge and a logo, as a plan carries them."""
    said = (
        drawn(each, "en", text="Stoneware that keeps its warmth", size=8, min_size=3, anchor="top"),
        drawn(each, "en", text="49.90", size=6, anchor="bottom-right", badge={"colour": "#FFFFFF"}),
        drawn(each, logo=LOGO_SVG, width=20, anchor="bottom-left"),
    )
    overlay = written(said)
    assert overlay is not None
    return overlay


Step = Callable[[int], object]
"""What is timed, of the picture with a number."""


def steps_of(made: list[Pixels], folder: Path) -> Iterator[tuple[str, Step]]:
    """What is done beside a file of 1024 x 1024, each alone."""
    pictures = [Image.fromarray(pixels) for pixels in made]
    subjects = [found for found in map(find_subject, pictures) if isinstance(found, Subject)]
    reference = reference_of(pictures[-1])
    assert len(subjects) == len(pictures)
    assert reference is not None
    jpegs = [finish(pixels, channel(), META).data for pixels in made]
    signer, overlay = signing(folder), overlay_of(channel())
    yield "sign, development chain", lambda i: signer.sign(jpegs[i], FORMATS["jpeg"].mime, MAKING, EDITS)
    yield "overlay: two texts, a logo", lambda i: paint(pictures[i].copy(), overlay, FILES)
    yield "master as PNG", lambda i: encode_master(made[i])
    yield "thumbnail", lambda i: thumbnail(pictures[i])
    yield "check: subject and ground", lambda i: find_subject(pictures[i])
    yield "check: contrast, coherence, banding, sharpness", lambda i: measure_structure(pictures[i], subjects[i])
    yield "check: colours", lambda i: colour_differences(pictures[i], subjects[i], CODES)
    yield "check: likeness", lambda i: likeness(framed(pictures[i], subjects[i]), reference.framed)
    keypoints = reference.keypoints
    assert keypoints is not None
    yield "check: keypoints", lambda i: found_again(keypoints, pictures[i], subjects[i].box)
    scenes = [drawn_scene((1024, 1024), (380, 300, 700, 780), seed) for seed in range(len(made))]
    yield "check: keypoints in a scene", lambda i: found_again(keypoints, scenes[i], None)
    product = product_of(drawn_packshot(shadow=0).picture)
    assert product is not None
    yield "crop: subject in a scene, by its photo", lambda i: place(scenes[i], product)
    yield "all checks", lambda i: measure(pictures[i], CODES, reference)


def steps(pictures: int) -> Iterator[tuple[str, float]]:
    """Milliseconds of the processor a picture."""
    with tempfile.TemporaryDirectory() as folder:
        for name, step in steps_of(packshots(1024, pictures), Path(folder)):
            step(0)  # what is kept is there: fonts, the drawn logo, the signer's context
            started = time.process_time()
            done = [step(i) for i in range(pictures)]
            spent = time.process_time() - started
            assert None not in done
            yield name, spent / pictures * 1000


def run(made: list[Pixels], behind: Callable[..., None]) -> float:
    """Seconds until an engine of `ENGINE_SECONDS` has made every picture and the threads behind it are through."""
    started = time.perf_counter()
    with Finishers() as finishers:
        for pixels in made:
            time.sleep(ENGINE_SECONDS)
            finishers.submit(behind, pixels)
        finishers.drain()
    return time.perf_counter() - started


def pace(case: Case, pictures: int) -> tuple[float, float]:
    """Pictures a second with all that is done behind the engine, and what of the engine's own pace that is."""
    made = packshots(case.side, pictures)
    if "read" in case.extra:
        made = [lettered(pixels) for pixels in made]
        reader().read(Image.fromarray(made[0]))  # its process is there
    reference = reference_of(Image.fromarray(made[0]))
    done: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        signer = signing(Path(folder)) if "signed" in case.extra else None

        def deliver(pixels: Pixels) -> None:
            encode_master(pixels)
            if "checked" in case.extra:
                assert measure(Image.fromarray(pixels), CODES, reference)
            if "read" in case.extra:
                assert read_back([LETTERS], reader().read(Image.fromarray(pixels)).lines) > 0.9
            for each in case.channels:
                overlay = Overlay(overlay_of(each), FILES) if "overlay" in case.extra else None
                sign = partial(_signed, signer, FORMATS[each.format].mime) if signer else None
                file = finish(pixels, each, META, sign, overlay)
                thumbnail(file.picture)
                done.append(hashlib.sha256(file.data).hexdigest())

        taken = run(made, deliver)
    assert len(done) == pictures * len(case.channels)
    return pictures / taken, plain(pictures) / taken


@cache
def plain(pictures: int) -> float:
    """Seconds of the engine with nothing behind it."""
    return run([np.zeros((1, 1, 3), np.uint8)] * pictures, lambda pixels: None)


def _signed(signer: Signing, mime: str, data: bytes, edits: Any) -> bytes:
    return signer.sign(data, mime, MAKING, edits).data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["files", "steps", "pace"])
    parser.add_argument(
        "--pictures", type=int, default=60, help="the last one is not hidden: few of them say less of a pace"
    )
    parser.add_argument("--case", default="", help="only the paces of what has this in its name")
    asked = parser.parse_args()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{len(os.sched_getaffinity(0))} cores, load {load}, {asked.pictures} pictures\n")
    for name, of, head in (("files", files, "file"), ("steps", steps, "step")):
        if asked.only in (None, name):
            print(f"| {head} | ms |\n|---|---:|")
            for row, spent in of(min(asked.pictures, 12)):
                print(f"| {row} | {spent:.1f} |", flush=True)
            print()
    if asked.only in (None, "pace"):
        print("| behind an engine of 250 ms a picture | pictures/s | of its pace |\n|---|---:|---:|")
        for case in (case for case in PACED if asked.case in case.name):
            rate, share = pace(case, asked.pictures)
            goal = "" if case is not GOAL else ", met" if share >= 1 - MOST_SLOWED else ", not met"
            print(f"| {case.name} | {rate:.2f} | {share:.1%}{goal} |", flush=True)


if __name__ == "__main__":
    main()
