"""Planning one campaign of a folder, as a task that fails in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from catalogs.errors import UserError
from tasks.planning import prepare


@task(name="plan", task_run_name="plan {name}", cache_policy=NO_CACHE, persist_result=False)
def plan_campaign(path: str, name: str, options: Mapping[str, Any]) -> Any:
    """Plan a campaign into its store; "Unchanged" when there is nothing to do.

    Returns:
        `run_id` to render the plan with, whether there is `work`, `renders` and `assets` to make, `failed` for good.
    """
    try:
        prepared = prepare(path, options)
    except UserError as error:  # the files are wrong: a line for who wrote them, not a traceback
        return Failed(message=str(error), data={})
    summary = prepared.summary
    retiring = bool(options.get("retire") and summary["actions"].get("retired"))
    plan = {
        "run_id": prepared.run_id,
        "work": prepared.has_work or retiring,
        "renders": summary["renders"],
        "assets": summary["assets"],
        "failed": summary["failed_before"],
    }
    return plan if plan["work"] else Completed(name="Unchanged", message="everything is delivered", data=plan)
