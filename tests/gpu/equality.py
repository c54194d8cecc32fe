"""Part 3: packshot's loop beside the stock pipeline, one call a request, for each family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from catalogs.requests import RenderRequest
from inference.local.engine import DiffusersEngine
from tests.gpu.checks import Check, Found, Setting
from tests.gpu.pictures import apart, delivered, engine_of, furthest, request, stock, tolerance
from tests.gpu.weights import TINY, Subject, build, forget, least_layers, lent

SUBJECTS = (
    Subject("klein-4b"),
    Subject("klein-base-4b"),
    Subject("klein-9b-kv"),
    # Of dev's 56 blocks six, and of Mistral's layers those that are read: it fits beside the stock pipeline's peak.
    Subject("dev", (2, 4), least_layers("dev")),
)
PHOTOS = ((), (1,), (1, 2, 3))
BATCHES = (1, 4)
CONTROL = 3.0
"""Times what is allowed: the least by which another seed must show, else equality says nothing."""


def checks(setting: Setting) -> Iterator[Check]:
    for subject in [Subject(name) for name in TINY] if setting.tiny else SUBJECTS:
        pipe = build(subject, setting.device)
        spread: dict[int, float] = {}
        yield f"{subject.name}: the stock pipeline's own spread", partial(_spread, pipe, subject, spread)
        # The stock pipeline's pictures first: packshot cuts the text encoder they share.
        expected = {photos: _expected(pipe, subject, photos) for photos in PHOTOS}
        with lent(pipe) as copied:
            engine = engine_of(copied, subject, setting.device)
            for photos in PHOTOS:
                for batch in BATCHES:
                    name = f"{subject.name}: {len(photos)} references, batch {batch}"
                    wanted = {one: expected[photos][one] for one in _asked(subject, photos)[:batch]}
                    yield name, partial(_equal, engine, wanted, subject.precision, spread)
        del pipe, engine, copied
        forget()


def _asked(subject: Subject, photos: tuple[int, ...]) -> list[RenderRequest]:
    """Four of other prompts, seeds and photos."""
    side = 64 if subject.is_tiny else 512
    return [request(subject, n, [10 * n + photo for photo in photos], side) for n in range(max(BATCHES))]


def _expected(pipe: Any, subject: Subject, photos: tuple[int, ...]) -> dict[RenderRequest, Any]:
    return {one: stock(pipe, subject, [one])[0] for one in _asked(subject, photos)}


def _spread(pipe: Any, subject: Subject, spread: dict[int, float]) -> Found:
    """What the stock pipeline's picture changes from a batch of one to one of two, and by another seed."""
    for photos in PHOTOS:
        first, other, *_ = _asked(subject, photos)
        second = replace(other, references=first.references)
        alone = stock(pipe, subject, [first])[0]
        _, spread[len(photos)] = apart(alone, stock(pipe, subject, [first, second])[0])
    _, control = apart(alone, stock(pipe, subject, [replace(first, seed=first.seed + 1)])[0])
    allowed = tolerance(subject.precision, max(spread.values()))
    return {
        "holds": control >= CONTROL * allowed,
        "mean_by_references": {str(count): round(mean, 3) for count, mean in spread.items()},
        "mean_of_another_seed": round(control, 2),
    }


def _equal(
    engine: DiffusersEngine, wanted: dict[RenderRequest, Any], precision: str, spread: dict[int, float]
) -> Found:
    made = delivered(engine, list(wanted), at_once=True)
    references = len(next(iter(wanted)).references)
    most, mean = furthest([(made[one].pixels, wanted[one]) for one in wanted])
    allowed = tolerance(precision, spread.get(references, 0.0))
    return {
        "holds": mean <= allowed,
        "batches": sorted({result.batch_size for result in made.values()}),
        "largest": most,
        "mean": round(mean, 3),
        "allowed_mean": round(allowed, 3),
    }
