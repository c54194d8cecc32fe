"""A hosted model in a campaign: what is refused or warned of at plan time, and the engine with its key."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import OptionError
from catalogs.identity import canonical_json
from catalogs.journal.spend import Journal
from catalogs.journal.sums import Spent, read_spent
from catalogs.money import Micro, micro_down, usd
from catalogs.plans.file import PlanHeader
from catalogs.plans.options import PlanOptions
from catalogs.storage.store import Store
from inference.engine import LoadReference
from inference.models.specs import ModelSpec
from tasks.metrics import COST, Meter
from tasks.stopping import stopping

if TYPE_CHECKING:
    from inference.hosted.client import ApiKey
    from inference.hosted.engine import BflEngine

LEASE_SECONDS = 120.0
_SETTINGS = (
    "base_url",
    "in_flight",
    "unanswered",
    "safety_tolerance",
    "output_format",
    "prompt_upsampling",
    "retry_moderated",
    "retry_failed",
    "resubmit",
    "resend_unknown",
    "accept_price",
    "tries",
    "budget_scope",
    "machines",
)


def check_hosted(spec: ModelSpec, campaign: Campaign) -> None:
    """Refuse what a hosted model cannot do.

    Raises:
        CampaignError: naming the key and what to do.
    """
    from inference.hosted.hosts import check_base_url

    if problem := check_base_url(campaign.hosted.base_url):
        raise campaign.problem("hosted.base_url", problem, "use https://api.bfl.ai or its eu or us host")
    if campaign.hosted.prompt_upsampling and not spec.fields & {"disable_pup", "prompt_upsampling"}:
        raise campaign.problem("hosted.prompt_upsampling", f"{spec.name} never rewrites a prompt", "leave it out")
    if campaign.model.revision or campaign.model.weight_precision:
        raise campaign.problem("model", f"{spec.name} has no revision or precision to choose", "leave it out")
    if campaign.seed_device != "cpu":
        raise campaign.problem("seed_device", f"{spec.name} draws its noise itself", "leave it out")


def hosted_options(spec: ModelSpec, campaign: Campaign) -> str:
    """What else changes pixels, for the fingerprint. The tolerance only decides what is refused."""
    if spec.engine != "bfl":
        return ""
    hosted = campaign.hosted
    return canonical_json({"output_format": hosted.output_format, "prompt_upsampling": hosted.prompt_upsampling})


def model_warnings(spec: ModelSpec, campaign: Campaign) -> list[str]:
    """What a campaign should know of its model: of its price, and where it asks for reproducibility of that."""
    warnings = []
    if spec.engine == "bfl" and campaign.hosted.retry_moderated:
        warnings.append("hosted.retry_moderated: what is moderated is bought twice, which the price does not count")
    if not campaign.reproducible:
        return warnings
    if not spec.pinned:
        stays = {"bfl/pro-preview": "; bfl/pro stays", "bfl/klein-9b-preview": "; bfl/klein-9b stays"}
        text = "is not pinned: its weights may move, and the same seed then makes another picture"
        warnings.append(f"{spec.name} {text}{stays.get(spec.name, '')}")
    if spec.engine == "bfl" and campaign.hosted.prompt_upsampling:
        warnings.append("hosted.prompt_upsampling: a rewritten prompt is another one every time")
    return warnings


def spent_of(store: Store, campaign: str, scope: str) -> Spent:
    """What counts towards a budget, and what the journal holds of a campaign.

    Raises:
        SpendError: the journal cannot be read: what was spent cannot be known.
    """
    return read_spent(store, campaign, everybody=scope == "output")


def hosted_header(spec: ModelSpec, campaign: Campaign, options: PlanOptions, spent: float) -> dict[str, Any]:
    """What the plan file says of a hosted engine; {} for others. Never the key."""
    if spec.engine != "bfl":
        return {}
    return {
        **campaign.hosted.model_dump(mode="json"),
        "max_cost": campaign.budget.max_cost,
        "budget_scope": campaign.budget.scope,
        "retry_failed": options.retry_failed,
        "resubmit": options.resubmit,
        "accept_price": options.accept_price,
        "warnings": model_warnings(spec, campaign),
        "spent": spent,
    }


def check_access(header: PlanHeader) -> None:
    """Find out before a run starts that it has no key, or that the limit it is to keep to does not exist.

    Raises:
        OptionError: naming the variable or the campaign's key.
    """
    if header.engine != "bfl":
        return
    _key(header.hosted["secret_block"])
    if name := header.hosted["concurrency_limit"]:
        _check_limit(name)


def hosted_engine(header: PlanHeader, load: LoadReference) -> BflEngine:
    """The engine of a plan's shards.

    Raises:
        OptionError: there is no usable key.
    """
    from inference.hosted.engine import BflEngine
    from inference.hosted.settings import HostedSettings

    hosted, store = header.hosted, Store.at(header.output)
    chosen = {name: hosted[name] for name in _SETTINGS if name in hosted}  # plans of before say less
    limit = None if hosted["max_cost"] is None else micro_down(hosted["max_cost"])
    settings = HostedSettings(**chosen, max_cost=limit, deadline=hosted["deadline_seconds"])
    return BflEngine(
        header.model,
        settings,
        Journal(
            store, header.campaign, header.run_id, paid=partial(_count_paid, Meter(header.campaign, header.engine))
        ),
        load,
        _key(hosted["secret_block"]),
        stopping,
        slot=_slot(hosted["concurrency_limit"]),
    )


def _count_paid(meter: Meter, amount: Micro) -> None:
    meter.count(COST, usd(amount))


def _key(block: str) -> ApiKey:
    """The key from the environment, else from a Prefect block, which an unauthenticated server hands to anybody."""
    from inference.hosted.client import KEY_VARIABLE, ApiKey, key_from_environment

    if not block or os.environ.get(KEY_VARIABLE):
        return key_from_environment()
    from prefect.blocks.system import Secret

    try:
        secret: Any = Secret.load(block, _sync=True)  # type: ignore[call-arg]  # which Prefect's decorator takes
    except ValueError:
        raise OptionError("hosted.secret_block", block, "there is no such Secret block", "create it") from None
    return ApiKey(str(secret.get()).strip())


def _slot(name: str) -> Callable[[], AbstractAsyncContextManager[Any]]:
    """A Prefect global concurrency limit around every task, for runs on several machines."""
    if not name:
        return nullcontext
    return partial(_limited, name)


def _limited(name: str) -> AbstractAsyncContextManager[None]:
    from prefect.concurrency.asyncio import concurrency

    # A renewal that fails must not cut off a task that is paid for; the slots of a killed machine come free with its
    # lease.
    return concurrency(name, strict=True, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False)


def _check_limit(name: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    try:
        with get_client(sync_client=True) as client:
            client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        fix = f"run `prefect gcl create {name} --limit 24`"
        raise OptionError("hosted.concurrency_limit", name, "there is no such limit", fix) from None
