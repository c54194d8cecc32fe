"""Which requests share a batch: one geometry, and as many as a token budget allows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence

from catalogs.requests import Reference, RenderRequest
from inference.engine import Engine

TEXT_TOKENS = 512
TOKEN_SIDE = 16
MAX_REFERENCE_AREA = 1024 * 1024
TOKEN_BUDGET = 16_384
MAX_BATCH = 16

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


def batch_size_for(request: RenderRequest, token_budget: int = TOKEN_BUDGET) -> int:
    """Samples of one batch: past some 16k tokens a GPU gains nothing from more."""
    area = request.width * request.height
    area += sum(w * h for w, h in (reference_geometry(r.width, r.height) for r in request.references))
    tokens = TEXT_TOKENS + area // TOKEN_SIDE**2
    return max(1, min(MAX_BATCH, token_budget // tokens))


def batches(requests: Sequence[RenderRequest], engine: Engine) -> Iterator[list[RenderRequest]]:
    """Requests in batches: bucket by bucket, inside one by reference set, then as they came."""
    buckets: dict[Hashable, list[RenderRequest]] = {}
    for request in requests:
        buckets.setdefault(engine.bucket(request), []).append(request)
    for bucket in sorted(buckets, key=repr):
        ordered = sorted(buckets[bucket], key=lambda request: _contents(request.references))
        size = engine.batch_size(ordered[0])
        for start in range(0, len(ordered), size):
            yield ordered[start : start + size]


def _contents(references: Sequence[Reference]) -> tuple[str, ...]:
    return tuple(reference.sha256 for reference in references)
