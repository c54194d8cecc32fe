"""What a model does not take, each said in one line with what to change."""

from __future__ import annotations

import math
from collections.abc import Iterable

from inference.models.specs import ModelSpec, Use

HOSTED_INPUT_PIXELS = 2**22
"""References above this are shrunk to it by the hosted models before they are counted."""


def refuse_use(spec: ModelSpec, use: Use) -> str | None:
    """Why the licence does not allow this use and what to change, or None."""
    if use == "research" or spec.commercial:
        return None
    return (
        f"{spec.name} is under the {spec.licence}, which does not allow commercial work; "
        "use klein-4b, or set use: research"
    )


def refuse_references(spec: ModelSpec, count: int) -> str | None:
    """Why the model does not take so many references and what to change, or None."""
    if count <= spec.max_references:
        return None
    return f"has {count} references, {spec.name} takes at most {spec.max_references}; leave some out"


def refuse_size(spec: ModelSpec, width: int, height: int) -> str | None:
    """Why the model does not render this size (pixels) and which near one it does, or None."""
    if width % spec.size_multiple or height % spec.size_multiple:
        rule = f"both sides must be multiples of {spec.size_multiple}"
    elif min(width, height) < spec.min_side or max(width, height) > spec.max_side:
        rule = f"sides must be {spec.min_side} to {spec.max_side} pixels"
    elif width * height > spec.max_pixels:
        rule = f"{spec.name} renders at most {spec.max_pixels} pixels"
    else:
        return None
    return f"size {width}x{height}: {rule}; use {'x'.join(map(str, _legal_size(spec, width, height)))}"


def refuse_total(spec: ModelSpec, width: int, height: int, reference_pixels: Iterable[int]) -> str | None:
    """Why output and references (pixels) are together more than the model takes, or None."""
    if spec.total_pixels is None:
        return None
    total = width * height + sum(min(pixels, HOSTED_INPUT_PIXELS) for pixels in reference_pixels)
    if total <= spec.total_pixels:
        return None
    megapixels = f"{total / 2**20:.1f} megapixels of output and references"
    return f"{megapixels}, {spec.name} takes {spec.total_pixels / 2**20:g}; use smaller or fewer references"


def _legal_size(spec: ModelSpec, width: int, height: int) -> tuple[int, int]:
    """The nearest smaller legal size of about the same shape."""
    least, most = -(-spec.min_side // spec.size_multiple), spec.max_side // spec.size_multiple
    scale = min(1.0, math.sqrt(spec.max_pixels / max(1, width * height)))

    def side(length: int) -> int:
        return max(least, min(most, int(length * scale) // spec.size_multiple)) * spec.size_multiple

    return side(width), side(height)


def refuse_steps(spec: ModelSpec, steps: int) -> str | None:
    """Why the model does not take this number of steps and what to change, or None."""
    low, high = spec.steps or (spec.default_steps, spec.default_steps)
    if low <= steps <= high:
        return None
    if spec.steps is None:
        return f"steps {steps}: {spec.name} takes none; leave steps out"
    return f"steps {steps}: {spec.name} takes {limits_text(spec.steps)}; correct it or leave steps out"


def refuse_guidance(spec: ModelSpec, guidance: float | None) -> str | None:
    """Why the model does not take this guidance scale and what to change, or None."""
    if guidance is None:
        return None
    if spec.guidance is None:
        return f"guidance {guidance:g}: {spec.name} takes none; leave guidance out"
    if spec.guidance[0] <= guidance <= spec.guidance[1]:
        return None
    return f"guidance {guidance:g}: {spec.name} takes {limits_text(spec.guidance)}; correct it or leave guidance out"


def limits_text(limits: tuple[float, float] | None) -> str | None:
    """A range as people write it: "4", "1-50"; None for no range."""
    if limits is None:
        return None
    low, high = limits
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"
