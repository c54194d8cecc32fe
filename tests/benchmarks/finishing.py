"""What finishing a picture costs, step by step, and how much of an engine's pace it takes.

    PYTHONPATH=. python tests/benchmarks/finishing.py              # steps, pace
    PYTHONPATH=. python tests/benchmarks/finishing.py --only pace

Pictures are drawn packshots, a different one each time. `steps` are milliseconds of a core a picture. `pace` is a
shard's own threads behind an engine that sleeps 250 ms a picture, beside the same loop with nothing behind it.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from catalogs.campaigns.channels import Channel
from inference.engine import Pixels
from inference.finishing.finish import finish
from inference.finishing.metadata import AssetMetadata
from inference.finishing.pixels import encode_master, thumbnail
from tasks.finishers import Finishers
from tests.drawn_packshots import drawn_packshot

META = AssetMetadata("f" * 64, "Halden & Moss", "Mug", model="klein-4b", model_revision="r1")
ENGINE_SECONDS = 0.25

WHITE: dict[str, Any] = {"crop": "subject", "fill": [0.75, 0.9], "background": {"make": "white"}}


@dataclass(frozen=True)
class Case:
    """Channels that one master of `side` pixels is finished for."""

    name: str
    side: int
    channels: tuple[Channel, ...]


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


def packshots(side: int, count: int) -> list[Pixels]:
    box = tuple(round(side * share) for share in (0.28, 0.22, 0.72, 0.82))
    return [np.asarray(drawn_packshot((side, side), box, seed=seed).picture) for seed in range(count)]  # type: ignore[arg-type]


def steps(pictures: int) -> Iterator[tuple[str, float]]:
    """Milliseconds of the processor a picture, for its file alone."""
    for case in CASES:
        made = packshots(case.side, pictures)
        for each in case.channels:
            finish(made[0], each, META)
        started = time.process_time()
        files = [finish(pixels, each, META) for pixels in made for each in case.channels]
        spent = time.process_time() - started
        for file, each in zip(files, [each for _ in made for each in case.channels], strict=True):
            assert Image.open(io.BytesIO(file.data)).size == (each.width, each.height)
        yield case.name, spent / pictures * 1000


def run(case: Case, made: list[Pixels], behind: Callable[..., None]) -> float:
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
    made, files = packshots(case.side, pictures), []

    def deliver(pixels: Pixels) -> None:
        encode_master(pixels)
        for each in case.channels:
            file = finish(pixels, each, META)
            thumbnail(file.picture)
            files.append(file.sha256)

    plain = run(case, made, lambda pixels: None)
    taken = run(case, made, deliver)
    assert len(files) == pictures * len(case.channels)
    return pictures / taken, plain / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["steps", "pace"])
    parser.add_argument("--pictures", type=int, default=40)
    asked = parser.parse_args()
    if asked.only != "pace":
        print("| file | ms |\n|---|---:|")
        for name, spent in steps(min(asked.pictures, 12)):
            print(f"| {name} | {spent:.0f} |", flush=True)
    if asked.only != "steps":
        print("\n| behind an engine of 250 ms a picture | pictures/s | of its pace |\n|---|---:|---:|")
        for case in CASES:
            rate, share = pace(case, asked.pictures)
            print(f"| {case.name} | {rate:.2f} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
