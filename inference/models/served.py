"""A model that an image server renders with: an entry of the table, or what a campaign says of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalogs.errors import ModelError
from inference.models.specs import ModelSpec
from inference.models.table import MODELS, TINY

PREFIX = "server/"
NEEDED = ("megapixels", "references", "tokens", "steps", "licence")


def served_model(name: str, limits: Mapping[str, Any] | None, source: str) -> ModelSpec:
    """A model as servers render with it.

    Args:
        limits: of a model that is not in the table, as the campaign has them.

    Raises:
        ModelError: no such model of the table, and no limits for another one, or such that no picture keeps them.
    """
    known = MODELS.get(name)
    if known and known.engine == "diffusers":
        if limits:
            raise ModelError(source, "model.limits", f"{name} is in the table, which has them", "leave limits out")
        return replace(known, name=PREFIX + name, engine="server", revision="", weight_precision="", family=None)
    if known:
        problem = f"{name} runs on no server"
        raise ModelError(source, "model", problem, "leave `server` out, or name what the server serves")
    if limits is None:
        told = ", ".join(one for one, spec in MODELS.items() if spec.engine == "diffusers" and one != TINY)
        problem = f"{name!r} is not in the table of models ({told}), and the campaign does not say what it takes"
        raise ModelError(source, "model.limits", problem, f"write limits: with {', '.join(NEEDED)}")
    _refuse_no_size(limits, source)
    return ModelSpec(
        name=PREFIX + name,
        engine="server",
        repository=name,
        licence=limits["licence"],
        commercial=limits["commercial"],
        default_steps=limits["steps"],
        steps=(1, 200),
        default_guidance=limits["guidance"],
        guidance=None if limits["guidance"] is None else (0.0, 30.0),
        max_references=limits["references"],
        token_limit=limits["tokens"],
        weight_precision="",
        seconds_per_megapixel=limits["seconds"],
        reference_factor=0.5,
        size_multiple=limits["multiple"],
        min_side=limits["min_side"],
        max_side=limits["max_side"],
        max_pixels=int(limits["megapixels"] * 2**20),
    )


def _refuse_no_size(limits: Mapping[str, Any], source: str) -> None:
    """Refuse limits that no picture keeps."""
    multiple, most = limits["multiple"], limits["max_side"]
    least = -(-limits["min_side"] // multiple) * multiple
    if least > most:
        problem = f"no multiple of {multiple} is between min_side {limits['min_side']} and max_side {most}"
        raise ModelError(source, "model.limits", problem, "correct one of the three")
    if least * least > limits["megapixels"] * 2**20:
        problem = f"{limits['megapixels']:g} is less than the smallest picture, {least}x{least}"
        raise ModelError(source, "model.limits.megapixels", problem, "raise it, or lower min_side")
