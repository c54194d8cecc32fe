"""The model table: what each FLUX.2 model can do, may be used for, costs and takes in time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from catalogs.errors import ModelError

if TYPE_CHECKING:
    from inference.models.memory import Machine

Use = Literal["commercial", "research"]
EngineName = Literal["diffusers", "bfl", "proof"]
Family = Literal["klein", "base", "kv", "dev"]

FAMILIES: dict[tuple[str, bool], Family] = {
    ("Flux2KleinPipeline", True): "klein",
    ("Flux2KleinPipeline", False): "base",
    ("Flux2KleinKVPipeline", False): "kv",
    ("Flux2Pipeline", False): "dev",
}
"""What a checkpoint is, by its pipeline class and whether it says it is distilled."""
_TINY = "tiny"
HOSTED_INPUT_PIXELS = 2**22
"""References above this are shrunk to it by the hosted models before they are counted."""

APACHE = "Apache-2.0"
NON_COMMERCIAL = "FLUX Non-Commercial License v2.1"
API_TERMS = "BFL API terms"


@dataclass(frozen=True, slots=True)
class Prices:
    """USD of a hosted image, by megapixel."""

    first: float
    further: float
    reference: float


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model.

    Attributes:
        repository: Hugging Face repository, local folder, or path under the hosted API.
        revision: pinned commit, hash of local weights, or "" where the host alone decides.
        commercial: whether the licence lets the model run for a commercial campaign.
        default_steps: 0 where the host alone decides.
        steps: lowest and highest number allowed, None where the model takes none.
        guidance: lowest and highest scale allowed, None where the model takes none (distilled).
        token_limit: longest prompt in tokens; local ones count the chat template. None: no limit.
        prices: None for local models.
        pinned: whether the same request meets the same weights next month.
        seconds_per_megapixel: estimated GPU seconds per 2**20 output pixels without references, on one
            H200; right to a factor of two. 0.0 for hosted models.
        reference_factor: what one reference of 2**20 pixels takes, in output megapixels.
        family: which loop a local model was trained for, None for the others.
        fields: hosted models: what of steps, guidance and the two switches for prompt rewriting it takes.
        first_look: hosted models: seconds before the first look at a task, while nothing is known.
        deadline: hosted models: seconds after which a task is left for the next run.
        total_pixels: most pixels of output and references together, None without a limit.
        max_pixels: 4 MP; BFL's own example of it is 2048x2048, so it is 2**22 and not 4,000,000.
    """

    name: str
    engine: EngineName
    repository: str
    licence: str
    commercial: bool
    default_steps: int
    max_references: int
    revision: str = ""
    steps: tuple[int, int] | None = None
    default_guidance: float | None = None
    guidance: tuple[float, float] | None = None
    token_limit: int | None = 512
    weight_precision: str = "bfloat16"
    prices: Prices | None = None
    pinned: bool = True
    seconds_per_megapixel: float = 0.0
    reference_factor: float = 0.0
    family: Family | None = None
    fields: frozenset[str] = frozenset()
    first_look: float = 0.5
    deadline: float = 300.0
    total_pixels: int | None = None
    size_multiple: int = 16
    min_side: int = 64
    max_side: int = 4096
    max_pixels: int = 2**22

    def __post_init__(self) -> None:
        if self.steps and not self.steps[0] <= self.default_steps <= self.steps[1]:
            raise ValueError(f"{self.name}: default_steps {self.default_steps} is outside {self.steps}")
        if self.guidance is None and self.default_guidance is not None:
            raise ValueError(f"{self.name}: a default guidance, but no range")
        if (self.engine == "bfl") != (self.prices is not None):
            raise ValueError(f"{self.name}: hosted models, and only they, have prices")
        if self.max_references < 0 or self.size_multiple < 1 or self.seconds_per_megapixel < 0:
            raise ValueError(f"{self.name}: a limit is negative")


def _klein(name: str, repository: str, revision: str, seconds: float, **rest: Any) -> ModelSpec:
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


def _guided(name: str, repository: str, revision: str, seconds: float, **rest: Any) -> ModelSpec:
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
    _klein("klein-4b", _BFL + "klein-4B", "e7b7dc27f91deacad38e78976d1f2b499d76a294", 0.5),
    _klein(
        "klein-9b",
        _BFL + "klein-9B",
        "92196c8e11f7b6cf2b7493e037d8c5345c559216",
        1.0,
        **_RESEARCH,
    ),
    # References run once a set, not at every step.
    _klein(
        "klein-9b-kv",
        _BFL + "klein-9b-kv",
        "a6dfb36eca3a3906eb2fd460795adfb844e5fcce",
        1.0,
        family="kv",
        reference_factor=0.4,
        **_RESEARCH,
    ),
    _guided("klein-base-4b", _BFL + "klein-base-4B", "a3b4f4849157f664bdbc776fd7453c2783562f4d", 12.0),
    _guided("klein-base-9b", _BFL + "klein-base-9B", "32773329fbe7e81a90ef971740e8ba4b0364ecf3", 25.0, **_RESEARCH),
    # BFL advises at most about six references for dev on one's own hardware.
    _guided(
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
    _klein(_TINY, "", "1", 15.0, reference_factor=0.3, weight_precision="float32"),
    # Takes whatever the campaign's real model takes, so that the same file can be proofed.
    ModelSpec(
        name="proof",
        engine="proof",
        repository="",
        revision="1",
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


def resolve_model(name: str, source: str) -> ModelSpec:
    """The model a campaign names: an entry of the table, or a local folder saved by diffusers.

    A relative folder is relative to the campaign file `source`. A folder's revision is the hash of its
    weights; the first call on a large one reads them all.

    Raises:
        ModelError: no such name or folder, or a folder of another pipeline.
    """
    if name in MODELS:
        return MODELS[name]
    folder = Path(source).parent / Path(name).expanduser()
    if folder.is_dir():
        return _local_model(folder.resolve(), source)
    raise ModelError(source, "model", f"there is no model {name!r}", _nearest(name))


def _nearest(name: str) -> str:
    import difflib

    for spec in _SPECS:
        if spec.repository and name.lower() in (
            spec.repository.lower(),
            spec.repository.lower().split("/")[-1],
        ):
            return f"did you mean {spec.name!r}?"
    close = difflib.get_close_matches(name.lower(), MODELS, n=2, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(map(repr, close)) + "?"
    return "use one of " + ", ".join(MODELS) + " or a folder saved by a FLUX.2 pipeline of diffusers"


def _local_model(folder: Path, source: str) -> ModelSpec:
    index = _read_json(folder / "model_index.json")
    if index is None:
        raise ModelError(
            source,
            "model",
            f"{folder} holds no readable model_index.json",
            "name a folder saved by diffusers",
        )
    family = FAMILIES.get((index.get("_class_name", ""), bool(index.get("is_distilled", False))))
    if family is None:
        problem = f"{folder} holds a {index.get('_class_name')}, which is no FLUX.2 pipeline of this engine"
        raise ModelError(source, "model", problem, _usable())
    from inference.models.weights import weights_hash

    common: dict[str, Any] = {
        "name": str(folder),
        "repository": str(folder),
        "revision": weights_hash(folder),
    }
    alike = _same_architecture(folder)
    licence = "that of the folder's weights" if alike.commercial else alike.licence
    common |= {"seconds": _seconds(alike, family), "licence": licence, "commercial": alike.commercial}
    if family in ("klein", "kv"):
        return _klein(family=family, **common)
    return _guided(family=family, **common)


def _same_architecture(folder: Path) -> ModelSpec:
    """The table's model of the same size: 24 attention heads are the 4B, 32 the 9B, 48 dev."""
    config = _read_json(folder / "transformer" / "config.json") or {}
    names = {24: "klein-4b", 32: "klein-9b", 48: "dev"}
    return MODELS[names.get(config.get("num_attention_heads", 0), _TINY)]


def _seconds(alike: ModelSpec, family: Family) -> float:
    """Time of a picture under the steps of another family of the same size."""
    times = {"klein-4b": "klein-base-4b", "klein-9b": "klein-base-9b"}
    if family == "base" and alike.name in times:
        return MODELS[times[alike.name]].seconds_per_megapixel
    return alike.seconds_per_megapixel


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _usable() -> str:
    names = [spec.name for spec in _SPECS if spec.name != _TINY]
    return f"use {', '.join(names)} or a folder saved by a FLUX.2 pipeline"


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
    scale = min(1.0, math.sqrt(spec.max_pixels / max(1, width * height)))

    def side(length: int) -> int:
        multiple = int(length * scale) // spec.size_multiple * spec.size_multiple
        return max(spec.min_side, min(spec.max_side, multiple))

    return side(width), side(height)


def refuse_steps(spec: ModelSpec, steps: int) -> str | None:
    """Why the model does not take this number of steps and what to change, or None."""
    low, high = spec.steps or (spec.default_steps, spec.default_steps)
    if low <= steps <= high:
        return None
    if spec.steps is None:
        return f"steps {steps}: {spec.name} takes none; leave steps out"
    return f"steps {steps}: {spec.name} takes {_range(spec.steps)}; correct it or leave steps out"


def refuse_guidance(spec: ModelSpec, guidance: float | None) -> str | None:
    """Why the model does not take this guidance scale and what to change, or None."""
    if guidance is None:
        return None
    if spec.guidance is None:
        return f"guidance {guidance:g}: {spec.name} takes none; leave guidance out"
    if spec.guidance[0] <= guidance <= spec.guidance[1]:
        return None
    return f"guidance {guidance:g}: {spec.name} takes {_range(spec.guidance)}; correct it or leave guidance out"


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


def table() -> list[dict[str, Any]]:
    """The models as JSON-able rows for people.

    `memory_gib` is what a local model needs with all its parts on the device, `least_gib` what it needs in
    two-phase mode, and `here` the memory mode that fits this machine.
    """
    from inference.models.memory import this_machine

    machine = this_machine()
    return [_row(spec, machine) for spec in _SPECS]


def _row(spec: ModelSpec, machine: Machine) -> dict[str, Any]:
    from inference.models.memory import fitting_mode, need_of

    prices, need = spec.prices, need_of(spec)
    return {
        "name": spec.name,
        "engine": spec.engine,
        "repository": spec.repository or None,
        "licence": spec.licence,
        "commercial": spec.commercial,
        "steps": _range(spec.steps),
        "guidance": _range(spec.guidance),
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


def _range(limits: tuple[float, float] | None) -> str | None:
    if limits is None:
        return None
    low, high = limits
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"
