"""Whether a campaign's budget allows a plan."""

from __future__ import annotations

from catalogs.campaigns.campaign import Campaign
from catalogs.plans.summary import PlanSummary


def check_budget(summary: PlanSummary, campaign: Campaign) -> None:
    """Refuse a plan over its budget.

    Raises:
        CampaignError: naming the limit, the estimate and what to do.
    """
    budget = campaign.budget
    fix = "raise it, or make less with --limit or select"
    if budget.max_gpu_hours is not None and summary.seconds > budget.max_gpu_hours * 3600:
        hours = summary.seconds / 3600
        problem = f"the plan needs about {hours:.2f} GPU hours, over the limit of {budget.max_gpu_hours:g}"
        raise campaign.problem("budget.max_gpu_hours", problem, fix)
    # A plan that costs nothing more is allowed, whatever was spent.
    if budget.max_cost is not None and summary.cost_high and summary.spent + summary.cost_high > budget.max_cost:
        before = f" after {summary.spent:.2f} USD spent" if summary.spent else ""
        problem = (
            f"the plan may cost {summary.cost_low:.2f} to {summary.cost_high:.2f} USD{before}, "
            f"over the limit of {budget.max_cost:g}"
        )
        raise campaign.problem("budget.max_cost", problem, fix)
