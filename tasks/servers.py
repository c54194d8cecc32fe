"""Image servers in a campaign: what is asked of them at plan time, and the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import ModelError, OptionError
from catalogs.plans.file import PlanHeader
from catalogs.requests import RenderRequest
from inference.engine import LoadReference
from inference.models.estimates import estimate_seconds
from inference.models.served import served_model
from inference.models.specs import ModelSpec
from inference.models.table import MODELS
from inference.servers.addresses import BadAddress, addresses_of, is_open
from tasks.stopping import stopping

if TYPE_CHECKING:
    from inference.servers.asked import Told, Usual
    from inference.servers.client import ServerKey
    from inference.servers.engine import ServerEngine
    from inference.servers.served import Served

SHOWN = 3
_SETTINGS = ("model", "revision", "precision", "steps", "guidance", "many", "needs_steps", "needs_order")


def spec_of_served(campaign: Campaign) -> ModelSpec:
    """The campaign's model by its name alone; no server is asked."""
    limits = None if campaign.model.limits is None else campaign.model.limits.model_dump()
    return served_model(campaign.model.name, limits, campaign.source)


def as_served(spec: ModelSpec, campaign: Campaign) -> tuple[ModelSpec, dict[str, str]]:
    """The campaign's model as its servers say that they serve it, and by address why others say nothing.

    Raises:
        ModelError: they serve another one, or a key of the campaign is none for servers.
        EngineError: no server answers.
    """
    from inference.servers.asked import ask_servers

    model = campaign.model
    if model.revision or model.weight_precision:
        raise ModelError(campaign.source, "model", "the servers decide on revision and precision", "leave them out")
    if campaign.seed_device != "cpu":
        raise ModelError(campaign.source, "seed_device", "servers draw their noise themselves", "leave it out")
    told = ask_servers(addresses(campaign), server_key(), with_loras=bool(model.lora))
    _refuse_others(campaign, spec.repository or model.name, told)
    _refuse_loras(campaign, told)
    first = next(iter(told.served.values()))
    return replace(spec, revision=first.revision, weight_precision=first.precision), told.silent


def addresses(campaign: Campaign) -> tuple[str, ...]:
    """The campaign's servers.

    Raises:
        ModelError: what it says is no list of them.
    """
    try:
        return addresses_of(campaign.model.server or "")
    except BadAddress as error:
        raise ModelError(
            campaign.source, "model.server", str(error), "write http://host:port, between commas"
        ) from None


def _refuse_others(campaign: Campaign, wanted: str, told: Told) -> None:
    for address, served in told.served.items():
        if served.model_for(wanted) is None:
            problem = f"{address} serves {served.says}, the campaign asks for {wanted}"
            raise ModelError(campaign.source, "model.server", problem, "start it with that model, or leave it out")
    (first, one), *others = told.served.items()
    for address, other in others:
        if (one.revision, one.precision) != (other.revision, other.precision):
            problem = f"{first} says {_said(one)}, {address} says {_said(other)}: they make different pictures"
            raise ModelError(campaign.source, "model.server", problem, "start them alike, or use one of them")


def _said(served: Served) -> str:
    return f"revision {served.revision or 'nothing'}, precision {served.precision or 'nothing'}"


def _refuse_loras(campaign: Campaign, told: Told) -> None:
    for lora in campaign.model.lora:
        name = lora.path.rpartition("/")[2].removesuffix(".safetensors")
        if not told.loras.intersection({lora.path, name}):
            problem = f"the servers do not list {name!r}"
            raise ModelError(campaign.source, "model.lora", problem, "load it into every server, or leave it out")
        if lora.scale != 1:
            raise ModelError(campaign.source, "model.lora", "a server merges a file at scale 1", "leave scale out")


def server_warnings(campaign: Campaign, silent: Mapping[str, str]) -> list[str]:
    """What a campaign should know of its servers.

    Args:
        silent: why, by address, of those that did not answer.
    """
    if campaign.model.server is None:
        return []
    text = "is reached over a public network without encryption: prompts, photos and key can be read on the way"
    every = addresses(campaign)
    lines = [f"{address} {text}" for address in every if is_open(address)]
    if silent:
        told = [f"{address}: {why}" for address, why in list(silent.items())[:SHOWN]]
        more = [f"{len(silent) - SHOWN} more"] if len(silent) > SHOWN else []
        lines.append(f"image servers that cannot be used now: {len(silent)} of {len(every)} ({'; '.join(told + more)})")
    return lines


def server_header(spec: ModelSpec, campaign: Campaign) -> dict[str, Any]:
    """What the plan file says of image servers; {} for other engines. Never the key."""
    if spec.engine != "server":
        return {}
    return {
        "addresses": list(addresses(campaign)),
        "model": spec.repository or campaign.model.name,
        "revision": spec.revision,
        "precision": spec.weight_precision,
        "steps": spec.default_steps,
        "guidance": spec.default_guidance,
        "many": spec.max_references > 1,
        "needs_steps": any(shot.steps not in (None, spec.default_steps) for shot in campaign.shots.values()),
        "needs_order": any(len(shot.references) > 1 for shot in campaign.shots.values()),
        "may_ignore_seed": campaign.model.server_seed == "ignored",
        "reference_factor": spec.reference_factor,
        "seconds_per_megapixel": spec.seconds_per_megapixel,
    }


def server_engine(header: PlanHeader, load: LoadReference) -> ServerEngine:
    """The engine of a plan's shards."""
    from inference.servers.engine import ServerEngine
    from inference.servers.settings import ServerSettings

    said = header.server
    chosen = {name: said[name] for name in (*_SETTINGS, "may_ignore_seed")}
    settings = ServerSettings(addresses=tuple(said["addresses"]), **chosen)
    spec = estimating_spec(header)

    def units(request: RenderRequest) -> float:
        seconds = estimate_seconds(spec, request.width, request.height, len(request.references))
        return max(1e-3, seconds / spec.seconds_per_megapixel)

    return ServerEngine(settings, load, units, server_key(), stopping)


def estimating_spec(header: PlanHeader) -> ModelSpec:
    """As much of the model of a plan as an estimate asks of it."""
    said = header.server
    return ModelSpec(
        name=said["model"],
        engine="server",
        repository="",
        licence="",
        commercial=True,
        default_steps=said["steps"],
        max_references=0,
        seconds_per_megapixel=said["seconds_per_megapixel"],
        reference_factor=said["reference_factor"],
    )


def try_servers(listed: str) -> list[dict[str, str]]:
    """What each server serves and does of what it is asked; six small pictures of each.

    Raises:
        OptionError: what is listed is no list of addresses.
        EngineError: one does not answer.
    """
    from inference.servers.asked import try_server
    from inference.servers.remembered import remember

    try:
        every = addresses_of(listed)
    except BadAddress as error:
        raise OptionError("--check", listed, str(error), "write http://host:port, several between commas") from None
    found = []
    for address in every:
        served, verdicts = try_server(address, server_key(), _usual)
        remember(address, served, verdicts)
        said = {"server": address, "kind": served.kind, "serves": served.says}
        told = {"revision": served.revision or "not told", "precision": served.precision or "not told"}
        found.append({**said, **told, **verdicts.as_dict()})
    return found


def _usual(served: Served) -> Usual:
    """What a model is asked for; one that is not in the table, what most are."""
    from inference.servers.asked import Usual

    known = (spec for spec in MODELS.values() if spec.engine == "diffusers" and spec.repository)
    spec = next((one for one in known if served.model_for(one.repository)), None)
    return Usual(spec.default_steps, spec.default_guidance, spec.max_references > 1) if spec else Usual(8, None, True)


def server_key() -> ServerKey | None:
    """The servers' key from the environment, None where there is none."""
    from inference.servers.client import KEY_VARIABLE, ServerKey

    text = os.environ.get(KEY_VARIABLE, "").strip()
    return ServerKey(text) if text else None
