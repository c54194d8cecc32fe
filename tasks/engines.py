"""The model a campaign names, as planning and rendering need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import CampaignError, EngineError, ModelError
from catalogs.identity import Kind, lora_marks
from catalogs.plans.file import PlanFile, PlanHeader
from catalogs.plans.rows import Geometry
from catalogs.plans.sharding import planned_geometries
from inference.engine import Engine, EngineFactory, EngineOptions, LoadReference
from inference.local.batching import reference_geometry
from inference.local.tiny import tiny_tokenizer
from inference.models.estimates import estimate_cost, estimate_seconds
from inference.models.limits import refuse_use
from inference.models.lookup import resolve_model
from inference.models.machine import cards
from inference.models.specs import ModelSpec
from inference.models.table import MODELS, TINY
from inference.models.weights import lora_hash
from inference.models.workload import Workload
from inference.prompts.compiler import ModelCompiler
from inference.prompts.tokens import TokenCounter, encoder_of
from tasks.hosted import check_hosted, hosted_engine, hosted_options
from tasks.latents import LatentShelf
from tasks.servers import as_served, server_engine, spec_of_served


@dataclass(frozen=True)
class PricedModel:
    """A model of the table and what its pictures take."""

    spec: ModelSpec

    def seconds(self, width: int, height: int, references: int) -> float:
        return estimate_seconds(self.spec, width, height, references)

    def cost(self, width: int, height: int, reference_pixels: list[int]) -> tuple[float, float]:
        return estimate_cost(self.spec, width, height, reference_pixels)


@dataclass(frozen=True)
class ChosenModel(PricedModel):
    """A model of the table with the choices of one campaign; implements `catalogs.plans.wanted.PlanningModel`.

    Attributes:
        lora_files: path, sha256 and scale of each LoRA file.
        silent: why, by address, of image servers that did not answer.
    """

    weight_precision: str
    seed_device: str
    options: str
    compiler: ModelCompiler
    lora_files: tuple[dict[str, Any], ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)

    @property
    def lora(self) -> tuple[str, ...]:
        return lora_marks(self.lora_files)

    @property
    def revision(self) -> str:
        return self.spec.revision

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def engine(self) -> str:
        return self.spec.engine

    @property
    def kind(self) -> Kind:
        return kind_of(self.spec.engine)

    @property
    def steps(self) -> int:
        return self.spec.default_steps

    @property
    def guidance(self) -> float | None:
        return self.spec.default_guidance


def choose_model(campaign: Campaign) -> ChosenModel:
    """The campaign's model, allowed for its use and with an engine that exists.

    Raises:
        ModelError: unknown, or not licensed for the campaign's use; or a bad LoRA file.
    """
    spec = _spec_of(campaign)
    problem = refuse_use(spec, campaign.use)
    if problem and campaign.model.limits:
        text = f"nothing says that {campaign.model.limits.licence} allows commercial work"
        raise ModelError(campaign.source, "model.limits", text, "write commercial: true if it does, or use: research")
    if problem:
        raise ModelError(campaign.source, "model", problem)
    if campaign.model.revision:
        spec = replace(spec, revision=campaign.model.revision)
    if spec.engine == "bfl":
        check_hosted(spec, campaign)
    silent: dict[str, str] = {}
    if spec.engine == "server":
        spec, silent = as_served(spec, campaign)
    return ChosenModel(
        spec=spec,
        weight_precision=campaign.model.weight_precision or spec.weight_precision,
        seed_device=campaign.seed_device if spec.engine == "diffusers" else "cpu",
        options=hosted_options(spec, campaign),
        compiler=ModelCompiler(spec, campaign.prompt_style, campaign.use, _counter_of(spec)),
        lora_files=_lora_files(spec, campaign),
        silent=silent,
    )


def engine_of(campaign: Campaign) -> str:
    """What makes the campaign's pictures, without opening a model: proof, diffusers, bfl or server."""
    if campaign.model.server is not None:
        return "server"
    spec = MODELS.get(campaign.model.name)
    return spec.engine if spec else "diffusers"


def kind_of(engine: str) -> Kind:
    """What an engine's pictures are."""
    return "proof" if engine == "proof" else "render"


def _counter_of(spec: ModelSpec) -> TokenCounter:
    """Counts a model's tokens; tiny has a vocabulary of its own, and a checkpoint only once it was rendered with."""
    if spec.name == TINY and (known := tiny_tokenizer()):
        return TokenCounter(encoder_of(*known))
    return TokenCounter.for_model(spec)


def _spec_of(campaign: Campaign) -> ModelSpec:
    """The model by its name; no server is asked."""
    model = campaign.model
    if model.server is not None:
        return spec_of_served(campaign)
    for key, is_said in (("limits", model.limits is not None), ("server_seed", model.server_seed == "ignored")):
        if is_said:
            problem = "is for image servers, and the campaign names none"
            raise ModelError(campaign.source, f"model.{key}", problem, "leave it out, or write `server`")
    return resolve_model(model.name, campaign.source)


def _lora_files(spec: ModelSpec, campaign: Campaign) -> tuple[dict[str, Any], ...]:
    files = campaign.model.lora
    if files and spec.engine == "bfl":
        raise ModelError(campaign.source, "model.lora", f"{spec.name} takes no LoRA", "leave it out")
    if spec.engine == "server":  # the file is the servers'
        return tuple({"path": file.path, "scale": file.scale, "sha256": file.path} for file in files)
    if spec.engine != "diffusers":
        return ()  # a proof of the same campaign has no weights
    return tuple(
        {"path": file.path, "scale": file.scale, "sha256": lora_hash(file.path, campaign.source)} for file in files
    )


def engine_factory(
    header: PlanHeader, options: EngineOptions | None = None, plan: PlanFile | None = None
) -> EngineFactory:
    """How the shards of a plan get their engine; torch and httpx are imported only where one is built.

    Args:
        plan: tells a local engine the largest it will be asked for; without, it assumes an ordinary picture.

    Raises:
        ModelError: a LoRA file is not the one that was planned.
    """
    if header.engine == "bfl":
        return lambda load: hosted_engine(header, load)
    if header.engine == "server":
        return lambda load: server_engine(header, load)
    if header.engine == "proof":
        from inference.proofs.engine import ProofEngine

        return ProofEngine
    from inference.local.denoising import check_seed_device
    from inference.local.engine import load_engine
    from inference.local.loading import Source

    for file in header.lora:
        if lora_hash(file["path"], header.source) != file["sha256"]:
            raise ModelError(header.source, "model.lora", f"{file['path']} changed since it was planned", "plan again")
    lora = tuple((file["path"], file["scale"]) for file in header.lora)
    source = Source(header.model, header.model_revision, header.weight_precision, lora)

    mark = f"{header.reference_background} {header.max_reference_pixels}"
    shelf = LatentShelf(plan.store, mark) if plan else None

    def make(load: LoadReference) -> Engine:
        check_seed_device(header.seed_device)
        largest = _largest(plan) if plan else None
        return load_engine(source, load, options or EngineOptions(), largest, shelf)

    return make


def check_device(header: PlanHeader) -> None:
    """Find out before a run starts that this machine cannot draw a plan's noise.

    Raises:
        CampaignError: naming the campaign's key.
    """
    if header.seed_device != "cuda" or cards():
        return
    from inference.local.denoising import check_seed_device

    try:
        check_seed_device(header.seed_device)
    except EngineError as error:
        raise CampaignError(header.source, "", str(error)) from None


_workloads: dict[tuple[str, str], Workload | None] = {}


def _largest(plan: PlanFile) -> Workload | None:
    """`largest_workload`, found once a process: each shard asks."""
    key = (plan.uri, plan.header.run_id)
    if key not in _workloads:
        _workloads[key] = largest_workload(planned_geometries(plan))
    return _workloads[key]


def largest_workload(geometries: Iterable[Geometry]) -> Workload | None:
    """The largest of what is rendered, each measure for itself; None where nothing is."""
    workloads = (
        Workload.of(
            geometry.width,
            geometry.height,
            [reference_geometry(*size) for size in geometry.references],
            second_forward=(geometry.guidance or 0.0) > 1,
        )
        for geometry in geometries
    )
    first = next(workloads, None)
    return first and reduce(Workload.joined, workloads, first)
