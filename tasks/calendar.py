"""Planning one campaign of a folder, as a task that fails in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from catalogs.errors import UserError
from catalogs.plans.plan import Work
from tasks.planning import prepare


@task(name="plan", task_run_name="plan {name}", cache_policy=NO_CACHE, persist_result=False)
def plan_campaign(path: str, name: str, options: Mapping[str, Any]) -> Any:
    """Plan a campaign into its store; "Unchanged" when there is nothing to do.

    Returns:
        `run_id` to render the plan with; `work`, the assets to make, finish or retire; `renders` to make for them;
        `failed`, the assets that failed for good.
    """
    try:
        prepared = prepare(path, options)
    except UserError as error:  # the files are wrong: a line for who wrote them, not a traceback
        return Failed(message=str(error), data={})
    summary = prepared.summary
    work = sum(count for kind, count in summary["work"].items() if kind != Work.NONE)
    retired = summary["actions"].get("retired", 0) if options.get("retire") else 0
    plan = {
        "run_id": prepared.run_id,
        "work": work + retired,
        "renders": summary["renders"],
        "failed": summary["failed_before"],
    }
    return plan if plan["work"] else Completed(name="Unchanged", message="everything is delivered", data=plan)
