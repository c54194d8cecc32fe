"""The model table: what each FLUX.2 model can do, may be used for, costs and takes in time."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from inference.models.specs import APACHE, API_TERMS, NON_COMMERCIAL, ModelSpec, Prices

TINY = "tiny"


def klein(name: str, repository: str, revision: str, seconds: float, **rest: Any) -> ModelSpec:
    """A distilled klein: four steps, no guidance; as many references as the hosted klein takes."""
    return ModelSpec(
        name=name,
        engine="diffusers",
        repository=repository,
        revision=revision,
        default_steps=4,
        steps=(4, 4),
        max_references=4,
        seconds_per_megapixel=seconds,
        **{"family": "klein", "reference_factor": 1.3, "licence": APACHE, "commercial": True, **rest},
    )


def guided(name: str, repository: str, revision: str, seconds: float, **rest: Any) -> ModelSpec:
    """An undistilled klein, or dev: many steps, with guidance."""
    return ModelSpec(
        name=name,
        engine="diffusers",
        repository=repository,
        revision=revision,
        default_steps=50,
        steps=(1, 100),
        default_guidance=4.0,
        guidance=(1.0, 20.0),
        seconds_per_megapixel=seconds,
        reference_factor=1.3,
        **{"family": "base", "max_references": 4, "licence": APACHE, "commercial": True, **rest},
    )


def _hosted(name: str, path: str, prices: Prices, **rest: Any) -> ModelSpec:
    """A hosted model. The API reads 32,000 tokens and keeps steps to itself, except flex."""
    return ModelSpec(
        name=f"bfl/{name}",
        engine="bfl",
        repository=path,
        licence=API_TERMS,
        commercial=True,
        prices=prices,
        token_limit=32_000,
        weight_precision="",
        **{"default_steps": 0, "max_references": 8, "fields": _PUP, "first_look": 2.0, **rest},
    )


_BFL = "black-forest-labs/FLUX.2-"
_RESEARCH: dict[str, Any] = {"licence": NON_COMMERCIAL, "commercial": False}
_PUP = frozenset(("disable_pup",))
_HOSTED_KLEIN: dict[str, Any] = {
    "default_steps": 4,
    "max_references": 4,
    "fields": frozenset(),
    "first_look": 0.5,
    "deadline": 120.0,
}
# "Up to 9 MP input and output", and a 2 MP output leaves room for seven references of 1 MP.
_PRO: dict[str, Any] = {"total_pixels": 9 * 2**20}
_KLEIN_4B_PRICES = Prices(0.014, 0.001, 0.001)
_KLEIN_9B_PRICES = Prices(0.015, 0.002, 0.002)
_PRO_PRICES = Prices(0.03, 0.015, 0.015)

# Times follow from the models' FLOPs at about 40 % of an H200's bf16 peak, plus text encoder and VAE.
_SPECS = (
    klein("klein-4b", _BFL + "klein-4B", "e7b7dc27f91deacad38e78976d1f2b499d76a294", 0.5),
    klein(
        "klein-9b",
        _BFL + "klein-9B",
        "92196c8e11f7b6cf2b7493e037d8c5345c559216",
        1.0,
        **_RESEARCH,
    ),
    # References run once a set, not at every step.
    klein(
        "klein-9b-kv",
        _BFL + "klein-9b-kv",
        "a6dfb36eca3a3906eb2fd460795adfb844e5fcce",
        1.0,
        family="kv",
        reference_factor=0.4,
        **_RESEARCH,
    ),
    guided("klein-base-4b", _BFL + "klein-base-4B", "a3b4f4849157f664bdbc776fd7453c2783562f4d", 12.0),
    guided("klein-base-9b", _BFL + "klein-base-9B", "32773329fbe7e81a90ef971740e8ba4b0364ecf3", 25.0, **_RESEARCH),
    # BFL advises at most about six references for dev on one's own hardware.
    guided(
        "dev",
        _BFL + "dev",
        "26afe3a78bb242c0a8bb181dcc8937bb16e5c66c",
        28.0,
        family="dev",
        max_references=6,
        **_RESEARCH,
    ),
    _hosted("klein-4b", "flux-2-klein-4b", _KLEIN_4B_PRICES, **_HOSTED_KLEIN),
    _hosted("klein-9b", "flux-2-klein-9b", _KLEIN_9B_PRICES, **_HOSTED_KLEIN),
    _hosted("klein-9b-preview", "flux-2-klein-9b-preview", _KLEIN_9B_PRICES, pinned=False, **_HOSTED_KLEIN),
    _hosted("pro", "flux-2-pro", _PRO_PRICES, **_PRO),
    _hosted("pro-preview", "flux-2-pro-preview", _PRO_PRICES, pinned=False, **_PRO),
    _hosted(
        "flex",
        "flux-2-flex",
        Prices(0.05, 0.05, 0.05),
        default_steps=50,
        steps=(1, 50),
        default_guidance=5.0,
        guidance=(1.5, 10.0),
        pinned=False,
        fields=frozenset(("prompt_upsampling", "steps", "guidance")),
        first_look=4.0,
    ),
    _hosted("max", "flux-2-max", Prices(0.07, 0.03, 0.03), pinned=False, first_look=4.0),
    # Random weights under klein's rules; seconds are those of a CPU.
    klein(TINY, "", "1", 15.0, reference_factor=0.3, weight_precision="float32"),
    # Takes whatever the campaign's real model takes, so that the same file can be proofed.
    ModelSpec(
        name="proof",
        engine="proof",
        repository="",
        revision="3",
        licence=APACHE,
        commercial=True,
        default_steps=1,
        steps=(1, 200),
        guidance=(0.0, 30.0),
        max_references=10,
        token_limit=None,
        weight_precision="",
        seconds_per_megapixel=0.05,
    ),
)

MODELS = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every model by name."""
