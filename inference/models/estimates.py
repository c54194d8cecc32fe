"""What a picture will take: seconds of a GPU, or money."""

from __future__ import annotations

import math
from collections.abc import Iterable

from inference.models.limits import HOSTED_INPUT_PIXELS
from inference.models.specs import ModelSpec, Prices


def estimate_seconds(spec: ModelSpec, width: int, height: int, references: int) -> float:
    """GPU seconds of one image, references counted at 1 MP each; 0.0 for hosted models."""
    megapixels = width * height / 2**20 + spec.reference_factor * references
    return spec.seconds_per_megapixel * megapixels


def estimate_cost(spec: ModelSpec, width: int, height: int, reference_pixels: Iterable[int]) -> tuple[float, float]:
    """Price of one image in USD, low and high; (0.0, 0.0) for local models.

    BFL's formula is first MP + further output MP + reference MP, and does not say how MP are rounded.
    Low counts fractions of 2**20 pixels with the first MP as a floor; high rounds every count of
    1,000,000 pixels up. What the API answers to a submit is the truth.
    """
    if spec.prices is None:
        return 0.0, 0.0
    counted = [min(pixels, HOSTED_INPUT_PIXELS) for pixels in reference_pixels]
    low = _price(spec.prices, width * height / 2**20, sum(pixels / 2**20 for pixels in counted))
    high = _price(spec.prices, math.ceil(width * height / 1e6), sum(math.ceil(p / 1e6) for p in counted))
    return low, high


def _price(prices: Prices, output: float, references: float) -> float:
    further = max(0.0, output - 1) * prices.further
    return round(prices.first + further + references * prices.reference, 6)
