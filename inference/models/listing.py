"""The model table for people, with what of it fits this machine."""

from __future__ import annotations

from typing import Any

from inference.models.limits import limits_text
from inference.models.memory import Machine, fitting_mode, need_of, this_machine
from inference.models.specs import ModelSpec
from inference.models.table import MODELS


def table() -> list[dict[str, Any]]:
    """The models as JSON-able rows for people.

    `memory_gib` is what a local model needs with all its parts on the device, `least_gib` what it needs in
    two-phase mode, and `here` the memory mode that fits this machine.
    """
    machine = this_machine()
    return [_row(spec, machine) for spec in MODELS.values()]


def _row(spec: ModelSpec, machine: Machine) -> dict[str, Any]:
    prices, need = spec.prices, need_of(spec)
    return {
        "name": spec.name,
        "engine": spec.engine,
        "repository": spec.repository or None,
        "licence": spec.licence,
        "commercial": spec.commercial,
        "steps": limits_text(spec.steps),
        "guidance": limits_text(spec.guidance),
        "references": spec.max_references,
        "tokens": spec.token_limit,
        "memory_gib": need and round(need.resident / 2**30),
        "least_gib": need and round(need.two_phase / 2**30),
        "here": need and (fitting_mode(need, machine) or "too large"),
        "usd_first_mp": prices and prices.first,
        "usd_further_mp": prices and prices.further,
        "usd_reference_mp": prices and prices.reference,
        "pinned": spec.pinned,
        "revision": spec.revision or None,
    }
