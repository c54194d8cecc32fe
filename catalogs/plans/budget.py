"""Whether a campaign's budget allows a plan."""

from __future__ import annotations

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import CampaignError
from catalogs.money import micro, micro_down, shown
from catalogs.plans.summary import PlanSummary

_FIX = "raise it, or make less with --limit or select"


def check_budget(summary: PlanSummary, campaign: Campaign) -> None:
    """Refuse a plan over its budget.

    Raises:
        CampaignError: naming the limit, the estimate and what to do.
    """
    budget = campaign.budget
    if budget.max_gpu_hours is not None and summary.seconds > budget.max_gpu_hours * 3600:
        hours = summary.seconds / 3600
        problem = f"the plan needs about {hours:.2f} GPU hours, over the limit of {budget.max_gpu_hours:g}"
        raise campaign.problem("budget.max_gpu_hours", problem, _FIX)
    if error := over_cost(summary, campaign):
        raise error


def over_cost(summary: PlanSummary, campaign: Campaign) -> CampaignError | None:
    """Why the money of a campaign does not do for a plan, or None; one that costs nothing more is always allowed."""
    if campaign.budget.max_cost is None or not summary.cost_high:
        return None
    limit, spent = micro_down(campaign.budget.max_cost), micro(summary.spent)
    if spent + summary.cost_high <= limit:
        return None
    before = f" after {shown(spent)} USD spent" if spent else ""
    problem = (
        f"the plan may cost {shown(summary.cost_low)} to {shown(summary.cost_high)} USD{before}, "
        f"over the limit of {shown(limit)}"
    )
    return campaign.problem("budget.max_cost", problem, _FIX + _of_paid(summary.uncollected))


def _of_paid(uncollected: int) -> str:
    if not uncollected:
        return ""
    what = "1 picture that is paid for and not delivered" if uncollected == 1 else f"{uncollected} that are paid for"
    return f"; `packshot render` takes up {what} all the same"
