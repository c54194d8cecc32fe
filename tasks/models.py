"""The model a campaign names, as planning and rendering need it."""

from __future__ import annotations

from dataclasses import dataclass

from catalogs.campaign import Campaign
from catalogs.errors import ModelError
from catalogs.identity import Kind
from catalogs.plan import PlanHeader
from inference.engine import EngineFactory
from inference.models import (
    ModelSpec,
    estimate_cost,
    estimate_seconds,
    refuse_use,
    require_engine,
    resolve_model,
)
from inference.prompts import ModelCompiler
from inference.tokens import TokenCounter
from tasks.hosted import check_hosted, hosted_engine, hosted_options


@dataclass(frozen=True)
class ChosenModel:
    """A model of the table with the choices of one campaign; implements `catalogs.expansion.PlanningModel`."""

    spec: ModelSpec
    revision: str
    weight_precision: str
    options: str
    compiler: ModelCompiler

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def engine(self) -> str:
        return self.spec.engine

    @property
    def kind(self) -> Kind:
        return "proof" if self.spec.engine == "proof" else "render"

    @property
    def steps(self) -> int:
        return self.spec.default_steps

    @property
    def guidance(self) -> float | None:
        return self.spec.default_guidance

    def seconds(self, width: int, height: int, references: int) -> float:
        return estimate_seconds(self.spec, width, height, references)

    def cost(self, width: int, height: int, reference_pixels: list[int]) -> tuple[float, float]:
        return estimate_cost(self.spec, width, height, reference_pixels)


def choose_model(campaign: Campaign) -> ChosenModel:
    """The campaign's model, allowed for its use and with an engine that exists.

    Raises:
        ModelError: unknown, not built yet, or not licensed for the campaign's use.
    """
    spec = resolve_model(campaign.model.name, campaign.source)
    require_engine(spec, campaign.source)
    problem = refuse_use(spec, campaign.use)
    if problem:
        raise ModelError(campaign.source, "model", problem)
    if spec.engine == "bfl":
        check_hosted(spec, campaign)
    return ChosenModel(
        spec=spec,
        revision=_revision(spec, campaign),
        weight_precision=campaign.model.weight_precision or spec.weight_precision,
        options=hosted_options(spec, campaign),
        compiler=ModelCompiler(spec, campaign.prompt_style, campaign.use, TokenCounter.for_model(spec)),
    )


def _revision(spec: ModelSpec, campaign: Campaign) -> str:
    if campaign.model.revision:
        return campaign.model.revision
    return spec.revision


def engine_factory(header: PlanHeader) -> EngineFactory:
    """How the shards of a plan get their engine; torch and httpx are imported only where one is built."""
    if header.engine == "bfl":
        return lambda load: hosted_engine(header, load)
    if header.engine == "proof":
        from inference.proof import ProofEngine

        return ProofEngine
    from inference.diffusers_engine import load_engine

    return lambda load: load_engine(header.model, header.model_revision, load, header.weight_precision)
