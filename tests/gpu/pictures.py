"""What is rendered on a GPU without any catalog: requests, their photos, and how far two pictures are apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from catalogs.requests import Reference, RenderRequest
from inference.engine import EngineOptions, Failed, Rendered, Result
from inference.local.batching import batches
from inference.local.checkpoints import placed
from inference.local.engine import DiffusersEngine
from tests.gpu.weights import GUIDANCE, Subject

Levels = npt.NDArray[np.int64]

PHOTO = (1200, 900)
TINY_PHOTO = (96, 72)
MEAN = 1.5
"""Of 255, over a picture: what bfloat16 may change. A batch of two changes 0.7 to 0.8 of a stock pipeline's picture,
another prompt or photo 8 to 13 (a klein of 11 blocks with these weights, on a CPU)."""
SPREAD = 2.0
"""Where the stock pipeline itself changes more from a batch of one to a batch of two, so many times that."""


def photo(size: tuple[int, int], seed: int) -> Image.Image:
    """Something between a flat packshot and noise, so that encoders work as hard as on a photo."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = random.integers(-6, 7, (size[1], size[0], 3), dtype=np.int16)
    return Image.fromarray(np.clip(np.asarray(small).astype(np.int16) + grain, 0, 255).astype(np.uint8))


@cache
def drawn(size: tuple[int, int], number: int) -> Image.Image:
    return photo(size, number)


def load(reference: Reference) -> Image.Image:
    """The photo of a reference that `request` named."""
    return drawn((reference.width, reference.height), int(reference.sha256))


def request(
    subject: Subject, number: int, references: Sequence[int] = (), side: int | None = None, **other: Any
) -> RenderRequest:
    """A request of four steps, of two for a tiny checkpoint.

    Args:
        number: of prompt and seed.
        references: numbers of its photos.
        side: pixels of the picture; those of the subject's own ordinary size without.
    """
    size = TINY_PHOTO if subject.is_tiny else PHOTO
    side = side or (64 if subject.is_tiny else 1024)
    fields: dict[str, Any] = {
        "prompt": f'{{"scene":"mug {number} on marble","mood":"calm"}}',
        "references": tuple(Reference(f"/{one}.jpg", str(one), "hero", *size) for one in references),
        "width": side,
        "height": side,
        "seed": 1000 + number,
        "take": 0,
        "steps": 2 if subject.is_tiny else 4,
        "guidance": GUIDANCE[subject.family],
        "model": subject.name,
        "model_revision": "random",
        "weight_precision": subject.precision,
    }
    return RenderRequest(**{**fields, **other})


def engine_of(
    pipe: Any, subject: Subject, device: torch.device, options: EngineOptions | None = None, precision: str = ""
) -> DiffusersEngine:
    """packshot's engine on the modules of a pipeline, which gives up its text encoder (`tests.gpu.weights.lent`)."""
    options = options or EngineOptions(compile="off", tune=False)
    checkpoint = placed(pipe, subject.family, precision or subject.precision, options, device)
    return DiffusersEngine(checkpoint, load, options)


def rendered(
    engine: DiffusersEngine, requests: Sequence[RenderRequest], at_once: bool = False
) -> dict[RenderRequest, Result]:
    """Answers to some requests, in the batches the engine asks for and as a shard asks: the next one started first.

    Args:
        at_once: all in one batch, whatever the engine asks for.
    """
    if at_once:
        return {result.request: result for result in engine.render(requests)}
    results: dict[RenderRequest, Result] = {}
    pending: Any = ()
    engine.begin(requests)
    for batch, upcoming in batches(requests, engine):
        engine.prepare(upcoming)
        following = engine.render(batch)
        results |= {result.request: result for result in pending}
        pending = following
    return results | {result.request: result for result in pending}


def delivered(
    engine: DiffusersEngine, requests: Sequence[RenderRequest], at_once: bool = False
) -> dict[RenderRequest, Rendered]:
    """The pictures of some requests; AssertionError where one is missing: the engine has looked at each for numbers
    that are not finite and for a single colour."""
    results = rendered(engine, requests, at_once)
    failed = [result for result in results.values() if isinstance(result, Failed)]
    assert not failed, f"{len(failed)} of {len(requests)} failed: {failed[0].reason}: {failed[0].detail}"
    made = {asked: result for asked, result in results.items() if isinstance(result, Rendered)}
    assert len(made) == len(set(requests)), f"{len(made)} of {len(requests)} were delivered"
    for asked, result in made.items():
        assert result.pixels.shape == (asked.height, asked.width, 3), result.pixels.shape
    return made


def stock(pipe: Any, subject: Subject, requests: Sequence[RenderRequest]) -> list[Levels]:
    """Pictures of the stock pipeline in one call, of requests that share their references, size, steps and guidance."""
    return [np.asarray(picture).astype(int) for picture in called(pipe, subject.family, requests, load)]


def called(pipe: Any, family: str, requests: Sequence[RenderRequest], open_photo: Any) -> list[Image.Image]:
    """One call of a stock pipeline, as its documentation shows it; see `stock`."""
    first = requests[0]
    images = [open_photo(reference) for reference in first.references]
    scale = {} if family == "kv" else {"guidance_scale": first.guidance or 1.0}
    made: list[Image.Image] = pipe(
        prompt=[one.prompt for one in requests],
        image=images or None,
        height=first.height,
        width=first.width,
        num_inference_steps=first.steps,
        generator=[torch.Generator().manual_seed(one.seed) for one in requests],
        **scale,
    ).images
    return made


def apart(one: Any, other: Any) -> tuple[int, float]:
    """Largest and mean difference of two pictures, in 1/255."""
    difference = np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int))
    return int(difference.max()), float(difference.mean())


def furthest(pairs: Sequence[tuple[Any, Any]]) -> tuple[int, float]:
    """The largest of both over pairs of pictures."""
    found = [apart(*pair) for pair in pairs]
    return max(most for most, _ in found), max(mean for _, mean in found)


def tolerance(precision: str, spread: float = 0.0) -> float:
    """Largest mean difference that is rounding.

    Args:
        spread: mean difference of the stock pipeline's own pictures, made in batches of one and of two.
    """
    return 0.1 if precision == "float32" else max(MEAN, SPREAD * spread)
