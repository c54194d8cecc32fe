"""How a run uses the hosted API."""

from __future__ import annotations

from dataclasses import dataclass

from catalogs.money import Micro


@dataclass(frozen=True)
class HostedSettings:
    """How a run uses the hosted API.

    Attributes:
        in_flight: tasks at once of the whole run.
        unanswered: submits at once of this process that wait for their answer.
        max_cost: what the budget allows over all runs, None without a limit.
        budget_scope: whose money counts towards it: the campaign's, or the whole output's.
        machines: processes that share the run.
        deadline: seconds a task may take, None for the model's own.
        tries: how often a picture is bought whose task ends in an error.
        resend_unknown: send again what may have been billed; each send counts at its highest price.
        accept_price: go on whatever is billed.
    """

    base_url: str
    in_flight: int
    unanswered: int = 4
    safety_tolerance: int = 2
    output_format: str = "png"
    prompt_upsampling: bool = False
    retry_moderated: bool = False
    retry_failed: bool = False
    resubmit: bool = False
    resend_unknown: bool = False
    accept_price: bool = False
    tries: int = 2
    max_cost: Micro | None = None
    budget_scope: str = "campaign"
    machines: int = 1
    deadline: float | None = None
