"""Which requests share a batch: one geometry, and as many as a token budget allows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain

from catalogs.requests import RenderRequest
from inference.engine import Engine

TEXT_TOKENS = 512
TOKEN_SIDE = 16
MAX_REFERENCE_AREA = 1024 * 1024
TOKEN_BUDGET = 16_384
CPU_TOKEN_BUDGET = 4_096
"""A CPU gains nothing from batches, and loses once they do not fit its caches."""
MAX_BATCH = 16
LOOK_AHEAD = 1_024
"""Requests known before their turn: what an engine does with them is its own choice."""

Geometry = tuple[int, int]
Bucket = tuple[int, int, int, float, tuple[Geometry, ...]]


def reference_geometry(width: int, height: int) -> Geometry:
    """(width, height) a reference has inside the pipeline, in pixels.

    Diffusers' rule (Flux2KleinPipeline.__call__ and Flux2ImageProcessor._resize_to_target_area): above one
    megapixel it is scaled to that area, then each side is cut down to a multiple of 16.
    """
    if width * height > MAX_REFERENCE_AREA:
        scale = math.sqrt(MAX_REFERENCE_AREA / (width * height))
        width, height = int(width * scale), int(height * scale)
    return width // TOKEN_SIDE * TOKEN_SIDE, height // TOKEN_SIDE * TOKEN_SIDE


def bucket_key(request: RenderRequest) -> Bucket:
    """What requests of one batch must agree on.

    The ordered reference sizes and not only their token count: the transformer takes the position ids of the
    first sample for all.
    """
    geometry = tuple(reference_geometry(r.width, r.height) for r in request.references)
    return request.width, request.height, request.steps, request.guidance or 0.0, geometry


def tokens_of(request: RenderRequest) -> tuple[int, int]:
    """Tokens of the picture and of all its references."""
    area = sum(w * h for w, h in (reference_geometry(r.width, r.height) for r in request.references))
    return request.width * request.height // TOKEN_SIDE**2, area // TOKEN_SIDE**2


def batch_size_for(request: RenderRequest, shares_references: bool = False, budget: int = TOKEN_BUDGET) -> int:
    """Samples of one batch: past some 16k tokens a GPU gains nothing from more.

    Args:
        shares_references: reference tokens are not computed with every sample (the KV family).
    """
    target, references = tokens_of(request)
    each = TEXT_TOKENS + target + (0 if shares_references else references)
    return max(1, min(MAX_BATCH, budget // each))


Batch = tuple[list[RenderRequest], list[RenderRequest]]


def batches(requests: Sequence[RenderRequest], engine: Engine) -> Iterator[Batch]:
    """Requests in batches, each with what comes next: bucket by bucket, inside one by reference set, then as given."""
    buckets: dict[Hashable, list[RenderRequest]] = {}
    for request in requests:
        buckets.setdefault(engine.bucket(request), []).append(request)
    waiting = [sorted(buckets[bucket], key=contents) for bucket in sorted(buckets, key=repr)]
    ordered = list(chain.from_iterable(waiting))
    place = 0
    for bucket_requests in waiting:
        end = place + len(bucket_requests)
        while place < end:
            # Asked each time: an engine may have learned that less, or more, is better.
            size = min(engine.batch_size(ordered[place]), end - place)
            yield ordered[place : place + size], ordered[place + size : place + size + LOOK_AHEAD]
            place += size


def contents(request: RenderRequest) -> tuple[str, ...]:
    """What a request's references hold, in order."""
    return tuple(reference.sha256 for reference in request.references)
