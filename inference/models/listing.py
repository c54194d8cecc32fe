"""The model table for people, with what of it fits this machine."""

from __future__ import annotations

from typing import Any

from inference.models.choice import choose
from inference.models.limits import limits_text
from inference.models.machine import Machine, this_machine
from inference.models.memory import need
from inference.models.parts import PARTS
from inference.models.specs import ModelSpec
from inference.models.table import MODELS
from inference.models.workload import Workload


def table() -> list[dict[str, Any]]:
    """The models as JSON-able rows for people.

    `memory_gib` is what a local model needs with all its parts on the device, `least_gib` what it needs in
    two-phase mode, both for one picture of 1024x1024 with one reference; `here` is the memory mode in which that fits
    what is free on this machine, "no GPU" where there is none.
    """
    machine = this_machine()
    return [_row(spec, machine) for spec in MODELS.values()]


def _row(spec: ModelSpec, machine: Machine) -> dict[str, Any]:
    prices = spec.prices
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
        **_memory(spec, machine),
        "usd_first_mp": prices and prices.first,
        "usd_further_mp": prices and prices.further,
        "usd_reference_mp": prices and prices.reference,
        "pinned": spec.pinned,
        "revision": spec.revision or None,
    }


def _memory(spec: ModelSpec, machine: Machine) -> dict[str, Any]:
    parts = PARTS.get(spec.name)
    if parts is None:  # not in this machine's memory
        return {"memory_gib": None, "least_gib": None, "here": None}
    workload = Workload(second_forward=spec.family == "base")
    resident = need(parts, spec.weight_precision, "resident", workload)
    least = need(parts, spec.weight_precision, "two-phase", workload)
    return {
        "memory_gib": round(resident.device / 2**30),
        "least_gib": round(least.device / 2**30),
        "here": _mode_here(spec, workload, machine),
    }


def _mode_here(spec: ModelSpec, workload: Workload, machine: Machine) -> str:
    if not machine.is_gpu:
        return "no GPU"
    parts, free = PARTS[spec.name], (machine.device_bytes, machine.host_bytes)
    choice = choose(parts, spec.weight_precision, workload, *free)
    if isinstance(choice, str):
        return "too large"
    return f"{choice.mode}, tiled" if choice.tiled else choice.mode
