"""What `packshot check` says of a project, beside what a plan of it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner

from flows.cli import cli
from tests.trials.oracle import Plan


def check_agrees(path: str, plan: Plan | None, options: Mapping[str, Any]) -> None:
    """Rows that are left out end no command; that none is left ends both with 2.

    Args:
        plan: None where nothing was left to plan.
        options: of the plan; one of a part is not what `check` looks at.
    """
    if options.keys() & {"limit", "only"}:
        return
    said = CliRunner().invoke(cli, ["check", path, "--json"])
    code = 2 if plan is None else 0
    assert said.exit_code == code, f"check ends with {said.exit_code}, a plan with {code}: {said.output}"
    if plan is not None:
        problems = json.loads(said.stdout)["problems"]
        rows = {problem["row"] for problem in problems if problem["file"].endswith("products.parquet")}
        assert rows == plan.rejected, f"check leaves out rows {sorted(rows)}, the plan {sorted(plan.rejected)}"
